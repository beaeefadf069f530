"""Packets out, replies in: many in flight, and after an interruption as before."""

from __future__ import annotations

import socket
import threading
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ptlive.wire.packet import Decoder, Packet, PacketError, frame
from ptlive.wire.raw import ConnectionGoneError, RawStub
from tests.wire.scripted_socket import DESCRIPTION

if TYPE_CHECKING:
    from collections.abc import Iterator


class Peer:
    """Echoes each packet behind a `q`; to what is asked of QEMU it answers as QEMU does."""

    def __init__(self) -> None:
        self.ours, self.theirs = socket.socketpair()
        self.seen: list[bytes] = []
        self.held_back: list[bytes] = []
        self.hold_back = False
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def _serve(self) -> None:
        decoder = Decoder()
        while data := self.theirs.recv(4096):
            for event in decoder.feed(data.replace(b"\x03#01#01", b"").replace(b"#01#01", b"")):
                if isinstance(event, Packet):
                    self.seen.append(event.payload)
                    self._answer(event.payload)

    def _answer(self, payload: bytes) -> None:
        reply = b"+" + frame(b"q" + payload)
        if payload.startswith(b"qXfer:features:read:target.xml:0,"):
            reply = b"+" + frame(b"m" + DESCRIPTION[: int(payload.rpartition(b",")[2], 16)])
        elif payload.startswith(b"qRcmd,"):
            command = bytes.fromhex(payload[6:].decode())
            reply = b"+" + frame(b"O" + (command * 2).hex().encode()) + frame(b"OK")
        if self.hold_back:
            self.held_back.append(reply)
        else:
            self.theirs.sendall(b"".join([*self.held_back, reply]))
            self.held_back.clear()


@pytest.fixture
def peer() -> Iterator[Peer]:
    found = Peer()
    yield found
    found.ours.close()
    found.thread.join(5)
    found.theirs.close()
    assert not found.thread.is_alive()


def test_replies_come_in_the_order_of_the_packets(peer: Peer) -> None:
    stub = RawStub(peer.ours, patience=5)
    packets = [b"%d$#}*" % n + b"x" * (n % 300) for n in range(1000)]
    assert stub.ask_all(packets) == [b"q" + packet for packet in packets]
    assert peer.seen == packets


def test_the_monitors_output_belongs_to_its_command(peer: Peer) -> None:
    stub = RawStub(peer.ours, patience=5)
    assert stub.monitor_all(["a", "bb", ""]) == ["aa", "bbbb", ""]
    assert stub.monitor("info") == "infoinfo"


def test_what_an_interrupted_exchange_left_is_passed_over(peer: Peer) -> None:
    stub = RawStub(peer.ours, patience=5)
    for _ in range(40):
        # The interruption comes when two of three have been answered, and is not the last.
        stub.begin()
        stub.send(frame(b"one") + frame(b"two") + frame(b"three"))
        assert stub.next_reply()[0] == b"qone"
        assert stub.busy
        assert stub.ask(b"four") == b"qfour"
        assert not stub.busy


def test_an_interrupted_recovery_is_recovered_from(peer: Peer) -> None:
    stub = RawStub(peer.ours, patience=0.1)
    stub.begin()
    peer.hold_back = True
    stub.send(frame(b"one"))
    for _ in range(3):
        with pytest.raises(TimeoutError):
            stub.ask(b"two")
    peer.hold_back = False
    assert RawStub.ask(stub, b"three") == b"qthree"


def test_a_silent_peer_ends_in_a_time_out() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        stub = RawStub(ours, patience=0.1)
        with pytest.raises(TimeoutError):
            stub.ask(b"g")
        assert stub.busy


def test_a_peer_that_is_gone_is_told() -> None:
    ours, theirs = socket.socketpair()
    stub = RawStub(ours, patience=1)
    theirs.close()
    with ours, pytest.raises(ConnectionGoneError):
        stub.ask(b"g")


def test_a_guest_that_stops_for_ever_is_an_error() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(frame(b"T05thread:p01.01;") * 1000)
        with pytest.raises(PacketError, match="again and again"):
            RawStub(ours, patience=1).ask(b"g")


def test_a_damaged_packet_among_several_is_an_error() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(b"+$OK#9a+$OK#9b")
        with pytest.raises(PacketError, match="damaged"):
            RawStub(ours, patience=1).ask_all([b"a", b"b"])


@settings(deadline=None)
@given(
    st.lists(
        st.binary(max_size=50)
        | st.sampled_from([b"+", b"-", b"$", b"#", b"T05#b9", b"$OK#9a", b"$O4#b3", b"%x#00"])
    ).map(b"".join)
)
def test_random_bytes_are_a_reply_or_an_error(noise: bytes) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(noise)
        theirs.shutdown(socket.SHUT_WR)
        stub = RawStub(ours, patience=0.5)
        for _ in range(3):
            try:
                assert isinstance(stub.ask(b"g"), bytes)
            except (PacketError, TimeoutError):
                return
