"""What QEMU's stub is sent and what it says, to the letter (gdb manual, "Packets"; gdbstub.c)."""

from __future__ import annotations

import pytest

from ptlive.errors import PtliveError
from ptlive.wire.stub_packets import (
    StepFlags,
    accepted,
    halted,
    memory_writes,
    packet_size,
    unhex,
)

BITS = b"ENABLE=1,NOIRQ=2,NOTIMER=4"


@pytest.mark.parametrize(
    ("features", "size"),
    [(b"PacketSize=1000;qXfer:features:read+", 4096), (b"PacketSize=10", 512), (b"", 512)],
)
def test_how_much_a_packet_holds(features: bytes, size: int) -> None:
    assert packet_size(features) == size


def test_steps_are_switched_and_switched_back() -> None:
    flags = StepFlags.told(b"0x1", BITS)
    assert flags.switch() == [b"Qqemu.sstep=7"]
    assert flags.switch_back() == [b"Qqemu.sstep=1"]


def test_steps_that_are_as_wanted_are_left_alone() -> None:
    flags = StepFlags.told(b"0x7", BITS)
    assert flags.switch() == flags.switch_back() == []


@pytest.mark.parametrize(("flags", "bits"), [(b"", b""), (b"0x1", b"ENABLE=1"), (b"E22", b"E22")])
def test_without_holding_interrupts_back_there_are_no_steps(flags: bytes, bits: bytes) -> None:
    with pytest.raises(PtliveError, match="cannot hold interrupts back"):
        StepFlags.told(flags, bits).switch()


def test_long_writes_are_cut() -> None:
    data = bytes(range(256)) * 5
    first, second, third = memory_writes([(0x2000, data), (0x10, b"\x01")])
    assert first == b"M2000,400:" + data[:1024].hex().encode()
    assert second == b"M2400,100:" + data[1024:].hex().encode()
    assert third == b"M10,1:01"


@pytest.mark.parametrize(("reply", "said"), [(b"E22", "E22"), (b"", "not supported")])
def test_what_is_refused_is_one_sentence(reply: bytes, said: str) -> None:
    with pytest.raises(PtliveError, match=f"refuses the packet M0,1: {said}$"):
        accepted([b"Hg1", b"M0,1:00"], [b"OK", reply])


@pytest.mark.parametrize(
    ("said", "sleeps"),
    [(b"CPU#0 [halted ]", True), (b"CPU#1 [running]", False), (b"main thread", None)],
)
def test_a_vcpu_that_sleeps(said: bytes, sleeps: bool | None) -> None:
    assert halted(said.hex().encode()) is sleeps


@pytest.mark.parametrize("digits", [b"0", b"E22", b"\xff\xff", b"zz"])
def test_what_is_no_bytes(digits: bytes) -> None:
    assert unhex(digits) is None
    assert halted(digits) is None
