"""What a proxy knows of packets: how they are cut out of a stream, what they do, what they set."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ptlive.wire.packet import PacketError, frame
from ptlive.wire.proxy_packets import (
    INTERRUPT,
    LONGEST_REQUEST,
    Kind,
    Requests,
    answered_by_stop,
    framed,
    kind,
    lets_run,
)
from ptlive.wire.proxy_settings import Settings

GARBAGE = st.sampled_from([b"", b"+", b"-", b"#01#01", b"++", b"x", b"%"])


@settings(deadline=None)
@given(
    st.lists(st.tuples(GARBAGE, st.binary(max_size=40) | st.none()), max_size=8),
    st.lists(st.integers(1, 9), min_size=1),
)
def test_packets_are_found_however_they_are_cut(
    said: list[tuple[bytes, bytes | None]], cuts: list[int]
) -> None:
    stream = b"".join(
        junk + (b"\x03" if payload is None else frame(payload)) for junk, payload in said
    )
    requests, found, at = Requests(), [], 0
    while at < len(stream):
        size = cuts[at % len(cuts)]
        bodies, bad = requests.feed(stream[at : at + size])
        assert bad == 0
        found += bodies
        at += size
    wanted = [INTERRUPT if payload is None else frame(payload)[1:-3] for _, payload in said]
    assert found == wanted
    assert all(framed(body) == b"$" + body + framed(body)[-3:] for body in found)


def test_a_damaged_packet_is_asked_for_again() -> None:
    assert Requests().feed(b"$m0,8#00$m0,8#xy" + frame(b"g")) == ([b"g"], 2)


def test_a_packet_without_an_end_is_refused_in_linear_time() -> None:
    requests = Requests()
    for at in range(LONGEST_REQUEST):
        assert requests.feed(b"\x03" if at else b"$") == ([], 0)
    with pytest.raises(PacketError, match="too long"):
        requests.feed(b"x")


@pytest.mark.parametrize(
    ("payload", "does"),
    [
        *((one, Kind.ASKS) for one in (b"?", b"g", b"p10", b"m0,8", b"Hgp1.1", b"T1", b"qC")),
        *((one, Kind.ASKS) for one in (b"vCont?", b"qXfer:features:read:target.xml:0,ffb")),
        (b"Qqemu.PhyMemMode:1", Kind.ASKS),
        (b"qRcmd," + b"info mtree".hex().encode(), Kind.ASKS),
        (b"qRcmd," + b"system_reset".hex().encode(), Kind.CHANGES),
        (b"qRcmd,zz", Kind.CHANGES),
        *((one, Kind.CHANGES) for one in (b"G00", b"P1=0", b"M0,1:00", b"X0,1:x", b"Z0,0,1")),
        *((one, Kind.CHANGES) for one in (b"z1,0,1", b"", b"what nobody knows")),
        *((one, Kind.RESUMES) for one in (b"c", b"C05", b"s", b"S05", b"vCont;c", b"bc", b"bs")),
        *((one, Kind.RESUMES) for one in (b"D", b"D;1", b"k", b"vKill;1", b"vAttach;1")),
    ],
)
def test_what_packets_do(payload: bytes, does: Kind) -> None:
    assert kind(payload) is does


@pytest.mark.parametrize(
    ("payload", "runs", "stops"),
    [
        (b"vCont;s:p1.1", True, True),
        (b"c", True, True),
        (b"?", False, True),
        (b"vAttach;1", False, True),
        (b"vCont?", False, False),
        (b"D;1", False, False),
        (b"k", False, False),
        (b"m0,8", False, False),
    ],
)
def test_which_packets_are_answered_by_a_stop(payload: bytes, runs: bool, stops: bool) -> None:
    assert (lets_run(payload), answered_by_stop(payload)) == (runs, stops)


def monitor(command: bytes) -> bytes:
    return b"qRcmd," + command.hex().encode()


@pytest.mark.parametrize(
    ("payload", "reply", "name", "value"),
    [
        (b"Hgp1.2", b"OK", "thread_g", b"p1.2"),
        (b"Hc2", b"OK", "thread_c", b"2"),
        (b"Qqemu.PhyMemMode:1", b"OK", "physical", b"1"),
        (b"Qqemu.sstep=5", b"OK", "sstep", b"5"),
        (monitor(b"cpu 1"), b"OK", "cpu", b"1"),
        (b"vCont;c", b"T05thread:p01.02;", "thread_g", b"p01.02"),
        (b"vCont;c", b"T05watch:1234;thread:p01.02;", "thread_c", b"p01.02"),
    ],
)
def test_what_is_set_can_be_set_again(
    payload: bytes, reply: bytes, name: str, value: bytes
) -> None:
    before = Settings(b"p1.1", b"p1.1", b"0", b"7", b"0")
    after = before.after(payload, reply)
    assert getattr(after, name) == value
    back = after.packets_to(before)
    assert back
    again = after
    for packet in back:
        again = again.after(packet, b"OK")
    assert again == before
    assert before.packets_to(before) == []


@pytest.mark.parametrize(
    ("payload", "reply"),
    [
        (b"Hgp1.9", b"E22"),
        (b"Hc-1", b"OK"),
        (b"Hgp1.-1", b"OK"),
        (b"Qqemu.PhyMemMode:1", b""),
        (b"m0,8", b"OK"),
        (monitor(b"info cpus"), b"OK"),
    ],
)
def test_what_sets_nothing(payload: bytes, reply: bytes) -> None:
    before = Settings(b"p1.1", b"p1.1", b"0", b"7", b"0")
    assert before.after(payload, reply) == before


def test_a_cpu_of_which_the_monitor_complains_is_not_chosen() -> None:
    assert Settings(cpu=b"0").after(monitor(b"cpu 9"), b"OK", silent=False).cpu == b"0"


def test_what_is_not_known_is_left_alone() -> None:
    assert Settings(b"p1.1", b"p1.1", b"0", b"7", b"0").packets_to(Settings()) == []
