"""A guest that a debugger holds, which we are in: looked at between two of its commands.

The guest is the debugger's: it is neither stopped nor let run here. What does not change as
long as a connection lasts is asked once; the registers and the memory map are asked each time,
since between two times the user may have done anything, by the monitor too.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from ptlive.memory.bounded import BoundedMemory
from ptlive.memory.cache import FrameCache
from ptlive.memory.ram_map import RamMap
from ptlive.memory.stub import StubMemory
from ptlive.target import sources
from ptlive.target.attach import Target, check_same
from ptlive.target.cpu import accelerator, cpuid, read_cpus
from ptlive.target.journal import Journal
from ptlive.wire.preflight import spaced

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ptlive.target.running import Guest
    from ptlive.target.sources import Source
    from ptlive.wire.inside_stub import InsideStub
    from ptlive.wire.qmp import Qmp


class DebuggedGuest:
    """The guest at the far end of one connection of a debugger.

    address: what to call where it is; pid: QEMU's process, if it is one of this machine
    running: the bundled guest that it is, if it is one
    send: hands a line of the journal to whoever undoes it, should the debugger be killed
    """

    def __init__(
        self,
        stub: InsideStub,
        address: str,
        pid: int | None,
        running: Guest | None,
        send: Callable[[str], None],
    ) -> None:
        self._stub, self._address, self._pid, self._send = stub, address, pid, send
        self.running = running
        self._looked: tuple[tuple[int, int, dict[str, int]], Target] | None = None
        with stub.held():
            self._version = spaced(stub.monitor("info version").strip())
            self._accelerator = accelerator(stub)
            self._cpuid = cpuid(stub)
            self._told = ""
            self._look_at_map()

    @contextmanager
    def hold(self, qmp: Qmp | None = None, *, known_map: bool = False) -> Iterator[Target]:
        """Look at the guest for a `with` block; whatever was changed is undone at its end.

        qmp: a session with the same QEMU; known_map: do not ask for the memory map again.
        Raises PtliveError when the connection is lost.
        """
        with self._stub.held():
            journal = Journal(self._send)
            try:
                yield self._target(journal, qmp, known_map=known_map)
            finally:
                self._cache.drop()
                if len(journal):
                    journal.undo(self._stub)

    @contextmanager
    def look(self, vcpu: int, moment: int) -> Iterator[Target]:
        """Look at the guest as one vCPU sees it, for a `with` block.

        moment: as long as it is the same, only the vCPU's registers are asked for again, so
        that a change is seen that nobody tells of.
        """
        with self._stub.held(), self._stub.together():
            seen = (moment, vcpu, self._stub.registers(vcpu))
            if self._looked is None or self._looked[0] != seen:
                self._looked = seen, self._target(Journal(self._send), None)
            target = self._looked[1]
            yield sources.with_source(target, self.choose(target, sources.AUTO))

    def choose(self, target: Target, wanted: str) -> Source:
        """Return what to read memory through, as `sources.choose` does; it is kept."""
        if wanted == sources.QMP:
            return sources.choose(target, wanted, self.running)  # its session ends with the block
        if wanted not in self._sources:
            self._sources[wanted] = sources.choose(target, wanted, self.running)
        return self._sources[wanted]

    def _target(self, journal: Journal, qmp: Qmp | None, *, known_map: bool = False) -> Target:
        stub = self._stub
        if qmp is not None:
            check_same(stub, qmp, self._address)
        if not known_map:
            self._look_at_map()
        return Target(
            address=self._address,
            stub=stub,
            cpus=tuple(read_cpus(stub, self._cpuid)),
            ram_map=self._ram_map,
            memory=self._cache,
            journal=journal,
            was_running=False,
            accelerator=self._accelerator,
            version=self._version,
            pid=self._pid,
            qmp=qmp,
        )

    def _look_at_map(self) -> None:
        """Ask for the memory map; if it is another one, what reads by it is, too."""
        told = self._stub.monitor("info mtree -f")
        if told == self._told:
            return
        self._ram_map = RamMap.parse(told)
        source = StubMemory(self._stub)
        self._cache = FrameCache(BoundedMemory(source, self._ram_map), source.generation)
        self._sources: dict[str, Source] = {}
        self._told = told
