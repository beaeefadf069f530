"""Hold a running or stopped guest through its gdb stub, and leave it as it was found."""

from __future__ import annotations

import dataclasses
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from ptlive.errors import PtliveError
from ptlive.memory.bounded import BoundedMemory
from ptlive.memory.cache import FrameCache
from ptlive.memory.ram_map import RamMap
from ptlive.memory.stub import StubMemory
from ptlive.target.cpu import CpuState, accelerator, read_cpus
from ptlive.target.guard import Guard
from ptlive.target.journal import Journal
from ptlive.wire.packet_stub import PacketStub

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ptlive.arrays import Memory
    from ptlive.target.from_file.saved import FileNotes
    from ptlive.wire.gdb_stub import GdbStub
    from ptlive.wire.preflight import Preflight
    from ptlive.wire.qmp import Qmp
    from ptlive.wire.stub import Stub


#: Seconds for a halted vCPU to wake: an idle Linux has a timer within one or two.
WAKING = 10.0


@dataclass(frozen=True)
class Target:
    """An attached guest: stopped, and nobody else can talk to its stub."""

    address: str
    stub: Stub
    cpus: tuple[CpuState, ...]
    ram_map: RamMap
    memory: Memory
    """RAM and ROM only; through the stub each frame is read once until a step or a write."""
    journal: Journal
    """Where a change is written down before it is made; undone when the guest is let go."""
    was_running: bool | None
    """None if that cannot be known; the guest is then left stopped."""
    accelerator: str
    version: str
    notes: tuple[str, ...] = field(default=())
    """What the user should be told about this attachment."""
    pid: int | None = None
    """QEMU's process, if it is one of this machine and the stub's socket tells."""
    qmp: Qmp | None = None
    """A QMP session with the same QEMU, if there is one."""
    memory_source: str = "stub"
    """What `memory` is read through; see `ptlive.target.sources`."""
    file: FileNotes | None = None
    """What is to be told of it, if it is no live guest but a file."""


@contextmanager
def attach(
    address: str,
    *,
    was_running: bool | None = None,
    qmp: Qmp | None = None,
    transport: Literal["stub", "gdb"] = "stub",
    program: str | None = None,
) -> Iterator[Target]:
    """Attach to the stub at `address` (`HOST:PORT` or `unix:PATH`) for a `with` block.

    At its end, however it ends, what the journal noted is undone, `PhyMemMode` is as
    before, and the guest runs again if it ran. `was_running` is for a caller who knows
    it from elsewhere; `qmp`, a session with the same QEMU, tells it too. `transport` is who
    carries the packets: we ourselves, or gdb, of which `program` is the one to start. Raises
    PtliveError when there is no stub to attach to, and when the guest could not be put back.
    """
    if was_running is None and qmp is not None:
        was_running = qmp.running()
    session = _gdb_session(address, program) if transport == "gdb" else _Session(Guard(address))
    try:
        yield session.open(address, was_running, qmp)
    except BaseException:
        session.close()
        raise
    if not session.close():
        raise PtliveError(f"the guest at {address} could not be put back as it was found")


def awake(target: Target, vcpu: int) -> Target:
    """Let the guest run until a halted vCPU wakes; return its state as it is then.

    Raises PtliveError if nothing wakes it.
    """
    halted = {cpu.vcpu: cpu for cpu in target.cpus if cpu.halted}.get(vcpu)
    if halted is None:
        return target
    # It stands behind its HLT: when the interrupt that wakes it is handled, it goes on there.
    if not target.stub.run_to(vcpu, halted.pc, WAKING):
        raise PtliveError(f"vCPU {vcpu} is halted, and nothing woke it within {WAKING:.0f} s")
    return dataclasses.replace(target, cpus=tuple(read_cpus(target.stub)))


def _gdb_session(address: str, program: str | None) -> _Session:
    # Only who wants gdb needs it and what drives it.
    from ptlive.wire.gdb_stub import GdbStub

    stub = GdbStub(program)
    try:
        return _Session(Guard(address, stub.gdb), stub)
    except BaseException:
        stub.abandon()
        raise


class _Session:
    """What one attachment has to give back, whatever state it reached."""

    def __init__(self, guard: Guard, gdb: GdbStub | None = None) -> None:
        self._guard = guard
        self._gdb = gdb
        self._stub: GdbStub | PacketStub | None = gdb
        self._journal = Journal(guard.send)
        self._resume: bool | None = None

    def open(self, address: str, was_running: bool | None, qmp: Qmp | None) -> Target:
        found = self._guard.preflight()
        if was_running is None:
            was_running = found.was_running
        else:
            self._guard.set_resume(was_running)
        self._resume = bool(was_running)
        stub = self._stub = self._connect(found)
        if qmp is not None:
            try:
                check_same(stub, qmp, address)
            except PtliveError:
                # Then what it told of running was no matter of this guest.
                self._resume = bool(found.was_running)
                self._guard.set_resume(self._resume)
                raise
        ram_map = RamMap.parse(stub.monitor("info mtree -f"))
        source = StubMemory(stub)
        return Target(
            address=address,
            stub=stub,
            cpus=tuple(read_cpus(stub)),
            ram_map=ram_map,
            memory=FrameCache(BoundedMemory(source, ram_map), source.generation),
            journal=self._journal,
            was_running=was_running,
            accelerator=accelerator(stub),
            version=found.version,
            notes=_notes(was_running, found),
            pid=found.pid,
            qmp=qmp,
            memory_source="gdb" if self._gdb else "stub",
        )

    def _connect(self, found: Preflight) -> GdbStub | PacketStub:
        if self._gdb is not None:
            self._gdb.connect(found.gdb_target, found.phy_mem_mode)
            return self._gdb
        return PacketStub(self._guard.take_connection(), found.phy_mem_mode)

    def close(self) -> bool:
        """Give everything back; return whether the guest is as it was found.

        If the stub cannot do it any more, or we are interrupted, the guard does it.
        """
        done = False
        try:
            if self._resume is not None and self._stub is not None:
                self._journal.undo(self._stub)
                self._stub.close(resume=self._resume)
                done = True
        except PtliveError:
            pass
        finally:
            if self._stub is not None:
                self._stub.abandon()
            restored = self._guard.close(release=done)
        return done or restored


def check_same(stub: Stub, qmp: Qmp, address: str) -> None:
    """Raise PtliveError unless QMP is that of the guest that the stub has stopped."""
    by_stub, by_qmp = stub.monitor("info registers -a"), qmp.human("info registers -a")
    if qmp.running() or by_stub.split() != by_qmp.split():
        raise PtliveError(f"the QMP at {qmp.address} is not that of the guest at {address}")


def _notes(was_running: bool | None, found: Preflight) -> tuple[str, ...]:
    if was_running is not None:
        return ()
    return (
        f"QEMU {found.version} does not tell whether the guest was running: it is left "
        "stopped (--qmp tells it)",
    )
