"""The codec: any payload, cut anywhere, and nothing unbounded."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ptlive.wire.packet import LONGEST_PACKET, Decoder, Packet, PacketError, checksum, frame


@given(st.lists(st.binary(max_size=40)), st.data())
def test_any_payload_survives_any_cut(payloads: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(b"+" + frame(payload) for payload in payloads)
    decoder, events, at = Decoder(), [], 0
    while at < len(stream):
        size = data.draw(st.integers(1, 9))
        events += decoder.feed(stream[at : at + size])
        at += size
    expected: list[Packet | bytes] = []
    for payload in payloads:
        expected += [b"+", Packet(payload, intact=True)]
    assert events == expected


@given(st.binary(max_size=200))
def test_any_bytes_are_packets_or_an_error(data: bytes) -> None:
    try:
        events = Decoder().feed(data)
    except PacketError:
        return
    assert all(isinstance(event, Packet) or event in (b"+", b"-") for event in events)


def test_run_lengths_are_expanded() -> None:
    # The manual's own example: "0* " is four zeros.
    assert Decoder().feed(b"$0* #7a") == [Packet(b"0000", intact=True)]


def test_a_wrong_checksum_is_told() -> None:
    assert Decoder().feed(b"$OK#00") == [Packet(b"OK", intact=False)]


def test_notifications_are_passed_over() -> None:
    assert Decoder().feed(b"%Stop:T05#ab$OK#9a") == [Packet(b"OK", intact=True)]


@pytest.mark.parametrize(
    "garbage", [b"HTTP/1.1 400 Bad Request\r\n", b"SSH-2.0-x\r\n", b"\0", b"$#zz", b"$* #4a"]
)
def test_what_is_no_packet_is_an_error(garbage: bytes) -> None:
    with pytest.raises(PacketError):
        Decoder().feed(garbage)


@pytest.mark.parametrize("body", [b"a}", b"a*"])
def test_half_an_escape_is_an_error(body: bytes) -> None:
    with pytest.raises(PacketError, match="escape"):
        Decoder().feed(b"$%s#%02x" % (body, checksum(body)))


def test_an_endless_packet_is_an_error() -> None:
    decoder = Decoder()
    decoder.feed(b"$" + b"a" * (LONGEST_PACKET - 1))
    with pytest.raises(PacketError, match="too long"):
        decoder.feed(b"a" * 2)


def test_an_endless_run_is_an_error() -> None:
    body = b"0" + b"*~" * (LONGEST_PACKET // 90)
    with pytest.raises(PacketError, match="too long"):
        Decoder().feed(b"$%s#%02x" % (body, checksum(body)))


def test_time_is_linear_however_the_bytes_come() -> None:
    payload = b"a" * (LONGEST_PACKET - 8)
    stream = frame(payload) * 4
    started = time.process_time()
    decoder = Decoder()
    events = [event for byte in stream for event in decoder.feed(bytes((byte,)))]
    assert len(events) == 4
    # A quadratic decoder takes minutes for this.
    assert time.process_time() - started < 5
