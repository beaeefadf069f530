"""Attaching reads much and leaves nothing behind, whatever becomes of the reader."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pytest

from ptlive.arrays import u64
from ptlive.errors import PtliveError
from ptlive.target.attach import attach
from ptlive.wire.gdb_stub import GdbStub
from ptlive.wire.packet_stub import PacketStub
from tests.qemu_process import PATTERN_AT, RAM_BYTES, Qemu, still_guest

if TYPE_CHECKING:
    from collections.abc import Iterator

Transport = Literal["stub", "gdb"]

pytestmark = pytest.mark.qemu

# Attach, change what a stepped probe changes, tell so, and wait for the end.
READER = """
import sys, time
from ptlive.arrays import u64
from ptlive.target.attach import attach
from ptlive.target.process import orderly_signals
print("imported", flush=True)
with orderly_signals(), attach(sys.argv[1], transport=sys.argv[4]) as target:
    target.memory.read(u64(0x100000, 0x200000), 4096)
    if sys.argv[2] == "change":
        stub, journal = target.stub, target.journal
        registers = stub.registers(1)
        journal.record_registers(stub, 1, {n: registers[n] for n in ("rip", "rax", "cr2", "cr3")})
        journal.record_memory(0x300000, bytes(stub.read_physical(u64(0x300000), 3000)[0][0]))
        journal.record_memory(0x300010, bytes(stub.read_physical(u64(0x300010), 16)[0][0]))
        stub.write_physical([(0x300000, b"x" * 3000), (0x300010, b"y" * 16)])
        stub.step(1, {"rax": 0x1234, "cr2": 0x5678, "cr3": 0x1000})
    print("ready", flush=True)
    if sys.argv[3] == "busy":
        addresses = u64(*range(0x100000, 0x1000000, 8192))
        while True:
            target.stub.read_physical(addresses, 4096)
    # A signal that comes right before a sleep is seen after it.
    while True:
        time.sleep(0.05)
"""


@contextlib.contextmanager
def reader(
    guest: Qemu, change: str = "read", then: str = "sleep", transport: str = "stub"
) -> Iterator[subprocess.Popen[str]]:
    """Run the reader; the block begins when its imports are done.

    (While it imports, Python may drop a KeyboardInterrupt: importlib has callbacks
    from whose exceptions nothing comes.)
    """
    with subprocess.Popen(
        [sys.executable, "-c", READER, guest.gdb, change, then, transport],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    ) as child:
        try:
            wait_for_line(child, "imported")
            yield child
        finally:
            child.kill()


# What takes long is tried through gdb with the long tests only.
EACH_WAY = ["stub", pytest.param("gdb", marks=pytest.mark.long)]


@pytest.fixture(params=["stub", "gdb"])
def transport(request: pytest.FixtureRequest) -> Transport:
    found: Transport = request.param
    return found


def wait_for_line(child: subprocess.Popen[str], line: str) -> None:
    assert child.stdout is not None
    assert child.stdout.readline() == f"{line}\n"


def test_reads_memory_and_state(guest: Qemu, transport: Transport) -> None:
    before = guest.state()
    with attach(guest.gdb, transport=transport) as target:
        assert target.memory_source == transport
        assert target.was_running == before[2]
        assert target.accelerator == "TCG"
        assert target.version.startswith(tuple("0123456789"))
        assert target.ram_map.ram_bytes >= RAM_BYTES - (1 << 18)
        assert [cpu.vcpu for cpu in target.cpus] == [1, 2]
        assert target.cpus[0].rip == 0xFFF0
        assert target.cpus[0].maxphyaddr == 40
        assert target.cpus[0].gbpages is True
        assert [cpu.halted for cpu in target.cpus] == [False, True]
        data, valid = target.memory.read(u64(PATTERN_AT, PATTERN_AT + 4096, 1 << 40), 16)
        assert valid.tolist() == [True, True, False]
        assert data.view("<u8").tolist() == [
            [PATTERN_AT] * 2,
            [PATTERN_AT + 4096] * 2,
            [0, 0],
        ]
    assert guest.state() == before
    assert guest.phy_mem_mode() == 0


def test_attaches_over_tcp(tmp_path: Path) -> None:
    with still_guest(tmp_path, tcp=True) as guest:
        before = guest.state()
        for _ in range(3):
            with attach(guest.gdb) as target:
                assert target.was_running
            assert guest.state() == before


@pytest.mark.skipif(not os.access("/dev/kvm", os.W_OK), reason="/dev/kvm cannot be opened here")
def test_under_kvm_registers_and_steps_are_as_under_tcg(tmp_path: Path) -> None:
    with still_guest(tmp_path, accelerator="kvm") as guest:
        before = guest.state()
        with attach(guest.gdb) as target:
            assert target.was_running
            assert target.accelerator == "KVM, unknown"
            stub = target.stub
            # Nothing has fetched the registers from KVM when the first is written.
            old = stub.registers(1)
            target.journal.record_registers(stub, 1, {name: old[name] for name in ("rip", "rax")})
            assert stub.step(1, {"rax": 5}) == old | {"rax": 5}
            assert stub.step(1, {"rax": 6})["rax"] == 6
        assert guest.state() == before


def test_attaches_to_a_path_with_a_space(tmp_path: Path) -> None:
    folder = tmp_path / "with space"
    folder.mkdir()
    with still_guest(folder) as guest, attach(guest.gdb) as target:
        assert target.was_running


@pytest.mark.parametrize("mode", [0, 1])
def test_leaves_phy_mem_mode_after_an_error(guest: Qemu, mode: int, transport: Transport) -> None:
    guest.phy_mem_mode(switch_to=mode)
    before = guest.state()

    def fail() -> None:
        with attach(guest.gdb, transport=transport) as target:
            target.memory.read(u64(0), 4096)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert guest.state() == before
    assert guest.phy_mem_mode() == mode


@pytest.mark.parametrize("then", ["sleep", "busy"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_leaves_everything_after_a_signal(
    guest: Qemu, number: int, then: str, transport: Transport
) -> None:
    guest.phy_mem_mode(switch_to=1)
    before = guest.state()
    with reader(guest, "change", then, transport) as child:
        wait_for_line(child, "ready")
        time.sleep(0.2 if then == "busy" else 0)
        # The whole process group, as a terminal does it.
        os.killpg(child.pid, number)
        assert child.wait(20) != 0
    wait_for_guards(guest)
    assert guest.state() == before
    assert guest.phy_mem_mode() == 1


@pytest.mark.parametrize("transport", EACH_WAY)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_leaves_everything_whenever_it_is_ended(
    guest: Qemu, number: int, transport: Transport
) -> None:
    """Ends the reader at many moments of its life, before, during and after attaching."""
    guest.phy_mem_mode(switch_to=1)
    before = guest.state()
    for moment in range(10):
        with reader(guest, "change", "busy", transport) as child:
            time.sleep(0.03 * moment)
            child.send_signal(number)
            assert child.wait(20) != 0
        # Killed between fork and exec of its guard, that one is not seen as one at once.
        deadline = time.monotonic() + 10
        while guards(guest) or guest.state() != before:
            assert time.monotonic() < deadline
            time.sleep(0.05)
    assert guest.phy_mem_mode() == 1


def test_undoes_what_the_journal_noted(guest: Qemu) -> None:
    before = guest.state()
    with attach(guest.gdb) as target:
        stub, journal = target.stub, target.journal
        old = target.memory.read(u64(0x300000), 4)[0].tobytes()
        journal.record_memory(0x300000, old)
        stub.write_physical([(0x300000, b"abcd")])
        assert target.memory.read(u64(0x300000), 4)[0].tobytes() == b"abcd"
        journal.record_registers(stub, 2, {"rbx": stub.registers(2)["rbx"]})
        stub.write_registers(2, {"rbx": 7})
        assert stub.registers(2)["rbx"] == 7
    assert guest.state() == before


def test_says_that_qemu_is_gone(guest: Qemu) -> None:
    def read_from_the_dead() -> None:
        with attach(guest.gdb) as target:
            guest.kill()
            target.memory.read(u64(*range(0, 1 << 20, 4096)), 4096)

    with pytest.raises(PtliveError, match="QEMU closed the connection"):
        read_from_the_dead()


def test_refuses_a_second_client_without_disturbing_the_first(guest: Qemu) -> None:
    before = guest.state()
    with attach(guest.gdb) as target:
        with (
            pytest.raises(PtliveError, match="another client holds the stub"),
            attach(guest.gdb),
        ):
            pass
        assert target.memory.read(u64(PATTERN_AT), 8)[1].all()
    time.sleep(0.2)
    assert guest.state() == before


def test_names_gdb_when_it_is_missing(guest: Qemu, monkeypatch: pytest.MonkeyPatch) -> None:
    before = guest.state()
    monkeypatch.setenv("PATH", "/nonexistent")
    with (
        pytest.raises(PtliveError, match="gdb is not installed"),
        attach(guest.gdb, transport="gdb"),
    ):
        pass
    # Nobody else needs it.
    with attach(guest.gdb) as target:
        assert target.memory.read(u64(PATTERN_AT), 8)[1].all()
    assert guest.state() == before


def test_the_guards_death_alone_does_no_harm(guest: Qemu) -> None:
    before = guest.state()
    with attach(guest.gdb) as target:
        for pid in guards(guest):
            os.kill(pid, signal.SIGKILL)
            time.sleep(0.1)
        with pytest.raises(PtliveError, match="guards the guest's state has ended"):
            target.journal.record_memory(0x300000, b"x")
        assert target.memory.read(u64(PATTERN_AT), 8)[1].all()
    assert guest.state() == before


def guards(guest: Qemu) -> list[int]:
    """The process ids of the guards of this guest."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                command = (entry / "cmdline").read_bytes()
                if b"guard_process" in command and guest.gdb.encode() in command:
                    found.append(int(entry.name))
    return found


def wait_for_guards(guest: Qemu) -> None:
    deadline = time.monotonic() + 10
    while guards(guest) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert guards(guest) == []


def test_nothing_is_left_running(guest: Qemu) -> None:
    with attach(guest.gdb):
        assert len(guards(guest)) == 1
    assert guards(guest) == []
    with reader(guest) as child:
        wait_for_line(child, "ready")
    wait_for_guards(guest)


def test_says_that_nothing_listens(tmp_path: Path) -> None:
    with pytest.raises(PtliveError, match="nothing listens"), attach(f"unix:{tmp_path}/none"):
        pass


def test_is_told_by_the_caller_whether_the_guest_ran(guest: Qemu) -> None:
    before = guest.state()
    with attach(guest.gdb, was_running=not before[2]) as target:
        assert target.was_running is not before[2]
    assert guest.running() is not before[2]


def test_guest_is_put_back_when_gdb_is_killed(guest: Qemu) -> None:
    before = guest.state()

    def lose_gdb() -> None:
        with attach(guest.gdb, transport="gdb") as target:
            stub = target.stub
            assert isinstance(stub, GdbStub)
            old = target.memory.read(u64(0x300000), 8)[0].tobytes()
            target.journal.record_memory(0x300000, old)
            stub.write_physical([(0x300000, b"new data")])
            os.kill(stub.gdb.pid, signal.SIGKILL)
            stub.registers(1)

    with pytest.raises(PtliveError, match="gdb ended"):
        lose_gdb()
    assert guest.state() == before


def test_guest_is_put_back_when_the_connection_is_lost(guest: Qemu) -> None:
    before = guest.state()

    def lose_connection() -> None:
        with attach(guest.gdb) as target:
            stub = target.stub
            assert isinstance(stub, PacketStub)
            old = target.memory.read(u64(0x300000), 8)[0].tobytes()
            target.journal.record_memory(0x300000, old)
            stub.write_physical([(0x300000, b"new data")])
            stub._raw._socket.shutdown(socket.SHUT_RDWR)
            stub.registers(1)

    with pytest.raises(PtliveError, match="QEMU closed the connection"):
        lose_connection()
    assert guest.state() == before


def test_the_next_client_is_not_disturbed_by_a_killed_one(guest: Qemu) -> None:
    """A client that is killed amid a bulk read leaves QEMU in the middle of a packet."""
    before = guest.state()
    for moment in range(5):
        with reader(guest, "read", "busy") as child:
            wait_for_line(child, "ready")
            for pid in guards(guest):
                os.kill(pid, signal.SIGKILL)
            time.sleep(0.02 * moment)
            child.kill()
            child.wait()
        with attach(guest.gdb, was_running=before[2]) as target:
            [row] = target.memory.read(u64(PATTERN_AT), 8)[0]
            assert row.tobytes() == PATTERN_AT.to_bytes(8, "little")
        assert guest.state() == before
