"""What a guest's memory is read through: the fastest of the ways that are open, by name.

Measured on the 1,670 table frames of a guest of 512 MB (TCG, minima of one run): the mapped
file 0.6 ms, as memcpy; QEMU's process 0.9 ms; the stub's packets 65 ms; pmemsave 35 ms, since
there most frames are near another, but 0.5 ms for each that is not, which a larger guest
has; through gdb 500 ms. So QMP comes after the stub, and first only where there is no stub.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ptlive.errors import PtliveError
from ptlive.memory.cache import FrameCache
from ptlive.memory.host import Host
from ptlive.memory.shared import open_shared
from ptlive.memory.stub import StubMemory

if TYPE_CHECKING:
    from collections.abc import Callable

    from ptlive.arrays import Memory
    from ptlive.target.attach import Target
    from ptlive.target.running import Guest

AUTO, SHARED, PROC, QMP, STUB, GDB = "auto", "shared", "proc", "qmp", "stub", "gdb"
SOURCES = (AUTO, SHARED, QMP, PROC, STUB, GDB)
#: SDM vol. 3A table 4-12: the address of the root table, in bits 51:12 of CR3.
_ROOT = (1 << 52) - (1 << 12)


@dataclass(frozen=True)
class Source:
    """Physical memory, RAM and ROM only, what it is read through, and why not faster."""

    name: str
    memory: Memory
    why: tuple[str, ...] = ()


def choose(
    target: Target, wanted: str = AUTO, guest: Guest | None = None, *, live: bool = False
) -> Source:
    """Return the source that is wanted (of SOURCES), or the fastest that there is.

    target: as attached, with the memory that its own connection reads; guest: the bundled
    guest that it is; live: whether it runs. Raises PtliveError where the source that was
    named cannot be had.

    The memory of a stopped guest that is mapped, or read from QEMU's process, is not kept
    in a cache: it is as fast as one, and shows at once what is written through the stub.
    """
    own = target.memory_source
    if wanted == own or target.file is not None:
        return Source(own, target.memory)
    if wanted in (STUB, GDB):
        reason = "it needs the gdb stub" if own == QMP else f"the guest is attached by {own}"
        raise PtliveError(f"memory cannot be read by {wanted}: {reason}")
    host = host_of(target, guest, target.memory, live=live)
    ways: dict[str, Callable[[], Memory]] = {
        SHARED: lambda: open_shared(host),
        PROC: lambda: _by_process(host),
        QMP: lambda: _by_qmp(target),
    }
    if wanted != AUTO:
        try:
            return Source(wanted, ways[wanted]())
        except PtliveError as error:
            raise PtliveError(f"memory cannot be read by {wanted}: {error}") from error
    why: list[str] = []
    for name in (SHARED, PROC):
        try:
            return Source(name, ways[name](), tuple(why))
        except PtliveError as error:
            why.append(f"not {name}: {error}")
    return Source(own, target.memory, tuple(why))


def host_of(target: Target, guest: Guest | None, memory: Memory, *, live: bool = False) -> Host:
    """Return what is known of the QEMU of an attached guest; memory: to compare with."""
    pid = guest.pid if guest else (target.qmp.pid if target.qmp else None) or target.pid
    values = [cpu.registers.get("cr3") for cpu in target.cpus]
    return Host(
        monitor_many=target.stub.monitor_many,
        ram_map=target.ram_map,
        memory=memory,
        pid=pid,
        known=guest.ram if guest else None,
        roots=frozenset(cr3 & _ROOT for cr3 in values if cr3 is not None),
        live=live,
    )


def with_source(target: Target, source: Source) -> Target:
    """Return the target as it is read through this source."""
    if source.memory is target.memory:
        return target
    return replace(target, memory=source.memory, memory_source=source.name)


def _by_process(host: Host) -> Memory:
    # Seldom needed, and every import is felt at the start of a command.
    from ptlive.memory.proc import open_process

    return open_process(host)


def _by_qmp(target: Target) -> Memory:
    from ptlive.memory.qmp import QmpMemory

    if target.qmp is None:
        raise PtliveError("no QMP is known (--qmp names it)")
    memory = QmpMemory(target.qmp, target.ram_map, target.journal.record_folder)
    # What we write or step through the stub makes frames stale all the same.
    return FrameCache(memory, StubMemory(target.stub).generation)
