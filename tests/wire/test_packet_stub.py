"""What is particular to the stub by our own packets: what is lost, left or interrupted."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

import numpy as np
import pytest

from ptlive.arrays import u64
from ptlive.errors import PtliveError
from ptlive.wire.address import StubAddress
from ptlive.wire.packet_stub import PacketStub
from ptlive.wire.preflight import hold
from ptlive.wire.raw import RawStub
from tests.interruption import for_ever, interrupt
from tests.qemu_process import PATTERN_AT, RAM_BYTES, Qemu, still_guest
from tests.wire.fake_stub import FakeStub

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ptlive.arrays import U64

FRAMES = np.arange(PATTERN_AT, RAM_BYTES, 4096, dtype=np.uint64)


@contextmanager
def held(guest: Qemu) -> Iterator[PacketStub]:
    found, connection = hold(guest.gdb)
    stub = PacketStub(connection, found.phy_mem_mode)
    try:
        yield stub
    finally:
        stub.abandon()


def mode(stub: PacketStub) -> bytes:
    return stub._raw.ask(b"qqemu.PhyMemMode")


def assert_reads_right(stub: PacketStub, frames: U64 = FRAMES) -> None:
    data, valid = stub.read_physical(frames, 4096)
    assert valid.all()
    assert (data.view("<u8") == frames[:, None]).all()
    assert mode(stub) == b"0"


@pytest.mark.qemu
def test_streams_what_it_reads(packet_stub: PacketStub) -> None:
    # A piece is overwritten by the next: what is kept is copied.
    pieces = [(d.copy(), v.copy()) for d, v in packet_stub.stream_physical(FRAMES, 4096)]
    assert len(pieces) > 10
    assert all(valid.all() for _, valid in pieces)
    rows = np.concatenate([data for data, _ in pieces])
    assert (rows.view("<u8") == FRAMES[:, None]).all()
    assert mode(packet_stub) == b"0"


@pytest.mark.qemu
def test_scattered_and_repeated_rows_of_any_length(packet_stub: PacketStub) -> None:
    generator = np.random.default_rng(1)
    for length in (8, 64, 2048, 3000, 4096):
        addresses = generator.choice(FRAMES, 300)
        data, valid = packet_stub.read_physical(addresses, length)
        assert valid.all()
        assert (data[:, :8].copy().view("<u8") == addresses[:, None]).all()
        streamed = [d.copy() for d, _ in packet_stub.stream_physical(addresses, length)]
        assert (np.concatenate(streamed) == data).all()


@pytest.mark.qemu
def test_a_stream_that_is_left_does_no_harm(packet_stub: PacketStub) -> None:
    pieces = packet_stub.stream_physical(FRAMES, 4096)
    next(pieces)
    packet_stub.registers(1)
    assert mode(packet_stub) == b"0"
    with pytest.raises(PtliveError, match="something else was asked"):
        next(pieces)


@pytest.mark.qemu
@pytest.mark.parametrize("how", ["closed", "forgotten"])
def test_a_closed_stream_does_no_harm(
    packet_guest: Qemu, packet_stub: PacketStub, how: str
) -> None:
    del packet_guest
    for pieces_taken in (1, 3):
        pieces = packet_stub.stream_physical(FRAMES, 4096)
        for _ in range(pieces_taken):
            next(pieces)
        if how == "closed":
            pieces.close()  # type: ignore[attr-defined]  # it is a generator
        del pieces
        assert packet_stub.read_virtual(0x9000, 16) is not None
        assert_reads_right(packet_stub)


@pytest.mark.qemu
@pytest.mark.parametrize("delay", [0.002, 0.005, 0.01, 0.03, 0.05, 0.1])
def test_an_interrupted_read_leaves_it_usable(packet_stub: PacketStub, delay: float) -> None:
    interrupt(delay, lambda: for_ever(lambda: packet_stub.read_physical(FRAMES, 4096)))
    registers = packet_stub.registers(1)
    assert registers["cr0"] & 1 == 0
    assert_reads_right(packet_stub)


@pytest.mark.qemu
@pytest.mark.parametrize("delay", [0.002, 0.005, 0.02])
def test_an_interrupted_step_can_be_followed_by_others(
    packet_stub: PacketStub, delay: float
) -> None:
    before = packet_stub.registers(1)
    interrupt(delay, lambda: for_ever(lambda: packet_stub.step(1, {"rax": 1})))
    assert packet_stub.step(1, {"rax": 2})["rax"] == 2
    packet_stub.write_registers(1, {"rax": before["rax"]})
    assert packet_stub.registers(1) == before


@pytest.mark.qemu
@pytest.mark.parametrize("vcpus", [1, 2])
def test_runs_until_an_address_or_for_so_long(tmp_path: Path, vcpus: int) -> None:
    with still_guest(tmp_path, stopped=True, vcpus=vcpus) as guest, held(guest) as stub:
        generation = stub.generation
        # The still guest jumps from its first instruction to that same instruction.
        assert stub.run_to(1, 0xFFFFFFF0, 5) or stub.run_to(1, 0xFFF0, 5)
        assert not stub.run_to(1, 0x1234, 0.2)
        assert not guest.running()
        assert stub.registers(1)["rip"] == 0xFFF0
        assert stub.generation > generation
        if vcpus == 2:
            # The first one comes there again and again, the second one sleeps.
            assert not stub.run_to(2, 0xFFFFFFF0, 0.3)
        interrupt(0.2, lambda: stub.run_to(1, 0x1234, 5))
        assert stub.registers(1)["rip"] == 0xFFF0
        assert not guest.running()
        stub.close(resume=True)
        time.sleep(0.1)
        assert guest.running(), "a breakpoint was left"


@pytest.mark.qemu
def test_close_lets_go_as_it_is_told(tmp_path: Path) -> None:
    with still_guest(tmp_path) as guest:
        for resume in (True, False, True):
            with held(guest) as stub:
                assert not guest.running()
                stub.close(resume=resume)
                stub.close(resume=not resume)
                assert guest.running() is resume
                with pytest.raises(PtliveError, match="was closed"):
                    stub.registers(1)


@pytest.mark.qemu
@pytest.mark.parametrize("asked", [True, False])
def test_close_puts_phy_mem_mode_and_the_way_of_stepping_back(tmp_path: Path, asked: bool) -> None:
    with still_guest(tmp_path, stopped=True) as guest:
        guest.phy_mem_mode(switch_to=1)
        with closing(StubAddress.parse(guest.gdb).connect(5)) as connection:
            stub = PacketStub(connection)
            assert stub._raw.ask(b"Qqemu.sstep=1") == b"OK"
            stub.close(resume=False)
        assert guest.phy_mem_mode() == 1
        if asked:
            found, connection = hold(guest.gdb)
            stub = PacketStub(connection, found.phy_mem_mode)
        else:
            stub = PacketStub(StubAddress.parse(guest.gdb).connect(5))
        assert mode(stub) == b"0"
        assert stub.step(1, {"rax": 5})["rax"] == 5
        assert stub._raw.ask(b"qqemu.sstep") == b"0x1"
        stub.close(resume=False)
        assert guest.phy_mem_mode() == 1


@pytest.mark.qemu
def test_refusals_are_told_by_name(packet_stub: PacketStub) -> None:
    with pytest.raises(PtliveError, match="the guest has no vCPU 9"):
        packet_stub.run_to(9, 0, 1)
    assert packet_stub.read_virtual(1 << 40, 1) in (None, b"\0")
    assert packet_stub.registers(1)


@pytest.mark.qemu
def test_much_is_written_at_once(packet_stub: PacketStub) -> None:
    block = bytes(range(256)) * 256
    packet_stub.write_physical([(0x9000 + n, block[n : n + 1]) for n in range(2000)])
    packet_stub.write_physical([(0x20000, block)])
    assert packet_stub.read_physical(u64(0x9000), 2000)[0].tobytes() == block[:2000]
    assert packet_stub.read_physical(u64(0x20000), len(block))[0].tobytes() == block


@pytest.mark.qemu
def test_many_commands_of_the_monitor_are_in_flight(packet_stub: PacketStub) -> None:
    told = packet_stub.monitor_many([f"p {n}" for n in range(2000)])
    assert [int(text, 0) for text in told] == list(range(2000))
    assert len(packet_stub.monitor("info mtree")) > 8192


@pytest.mark.qemu
@pytest.mark.parametrize("streaming", [True, False])
def test_says_when_qemu_ends(tmp_path: Path, streaming: bool) -> None:
    gone = "QEMU closed the connection: the guest is gone"
    with still_guest(tmp_path) as guest, held(guest) as stub:
        threading.Timer(0.05, guest.kill).start()
        with pytest.raises(PtliveError, match=gone):
            for_ever(
                lambda: list(stub.stream_physical(FRAMES, 4096)) if streaming else stub.registers(1)
            )
        with pytest.raises(PtliveError, match=gone):
            stub.registers(1)
        with pytest.raises(PtliveError, match=gone):
            stub.close(resume=True)


def test_a_silent_stub_ends_in_a_time_out(tmp_path: Path) -> None:
    with closing(FakeStub(tmp_path / "s", silent=True)) as fake:
        connection = StubAddress.parse(fake.address).connect(5)
        with connection, pytest.raises(PtliveError, match="has not answered within 0 s"):
            PacketStub(connection, patience=0.2)


def test_a_stub_that_describes_no_registers_is_refused(tmp_path: Path) -> None:
    with closing(FakeStub(tmp_path / "s")) as fake:
        connection = StubAddress.parse(fake.address).connect(5)
        with connection, pytest.raises(PtliveError, match="the list of vCPUs cannot be read"):
            PacketStub(connection)


@pytest.mark.parametrize(
    "greeting", [b"HTTP/1.1 400 Bad Request\r\n", b"$" + b"x" * (1 << 17), b"$OK#00", b"+$*#2a"]
)
def test_what_is_no_stub_is_one_sentence(greeting: bytes) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.setblocking(False)
        theirs.send(greeting)
        with pytest.raises(PtliveError, match="QEMU's stub does not answer as it should"):
            PacketStub(ours, patience=0.5)


@pytest.mark.qemu
@pytest.mark.parametrize("begun", [b"$", b"$m", b"$m1000,8", b"$m1000,8#", b"$m1000,8#1", b"$a}"])
def test_what_a_client_before_has_begun_is_ended(tmp_path: Path, begun: bytes) -> None:
    with still_guest(tmp_path, stopped=True) as guest:
        with closing(StubAddress.parse(guest.gdb).connect(5)) as connection:
            connection.sendall(begun)
        with held(guest) as stub:
            assert mode(stub) == b"0"
            stub.close(resume=False)
        with closing(StubAddress.parse(guest.gdb).connect(5)) as connection:
            connection.sendall(begun)
        with RawStub(StubAddress.parse(guest.gdb).connect(5)) as raw:
            raw.busy = True
            assert raw.ask(b"qqemu.PhyMemMode") == b"0"
