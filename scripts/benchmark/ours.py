"""All that the benchmark asks of ptlive stands here: attach, walk, translate, verify."""

from __future__ import annotations

import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from ptlive.errors import PtliveError
from ptlive.memory.cache import FrameCache
from ptlive.paging import compiled
from ptlive.paging.paths import Paths, leaves
from ptlive.space import AddressSpace, open_space
from ptlive.target import sources
from ptlive.target.attach import attach
from ptlive.verify.choice import choose
from ptlive.verify.run import Plan, verify
from ptlive.verify.twins import run as twin
from ptlive.wire.qmp import Qmp
from scripts.benchmark.plain_c import Leaves
from scripts.benchmark.timing import Way, WrongResultError, since

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ptlive.arrays import U8, U64
    from ptlive.memory.ram_map import RamMap
    from scripts.benchmark.guest import Subject
    from scripts.benchmark.timing import Run

#: The name under which QEMU has the RAM of a bundled guest (target/machine.py).
_REGION = "ram"
#: The walk over shared memory by numpy alone.
NUMPY = "shared, numpy"
#: What is added to a source's name where the leaves' addresses are not listed: the entries of
#: all levels, decoded, with their folded rights, in arrays by level.
DECODED = ", decoded"
SOURCES = ("shared", "proc", "qmp", "stub", "gdb")


@dataclass(frozen=True)
class Verified:
    """One verification by a twin."""

    probes: int
    seconds: float
    disagreed: int


class Ours:
    """ptlive on one stopped guest."""

    def __init__(self, subject: Subject) -> None:
        self._subject = subject
        with attach(subject.guest.gdb) as target:
            #: The guest's RAM, mapped: (guest physical address, its bytes) of each piece.
            self.pieces = _mapped(Path(subject.guest.ram), target.ram_map)

    def ways(self, expected: Leaves) -> list[Way]:
        """Return the walk over each source of memory; each has to find the expected leaves.

        It is the compiled one where numba is installed, and over shared memory numpy's too.
        """
        ways = [Way(source, partial(self._walks, source, source, expected)) for source in SOURCES]
        if compiled.load():
            ways.append(Way(NUMPY, partial(self._walks, NUMPY, "shared", expected)))
            # What is compiled only once is no part of a measurement.
            with suppress(PtliveError), self.space("shared") as space:
                space.walk()
        return ways

    @contextmanager
    def space(self, source: str) -> Iterator[AddressSpace]:
        """Attach, and open the guest's address space over one source of memory.

        Raises PtliveError where there is none.
        """
        guest = self._subject.guest
        by: Literal["stub", "gdb"] = "gdb" if source == "gdb" else "stub"
        with Qmp(guest.qmp) as qmp, attach(guest.gdb, qmp=qmp, transport=by) as target:
            chosen = sources.choose(target, source, guest)
            yield open_space(target.cpus[0], chosen.memory, target.ram_map)

    @contextmanager
    def _walks(self, name: str, source: str, expected: Leaves) -> Iterator[Run]:
        if name == NUMPY:
            compiled.unload()
        else:
            compiled.load()
        last: list[Paths] = []
        with self.space(source) as space:

            def run() -> Mapping[str, float]:
                last.clear()
                _forget(space)
                begun = time.perf_counter()
                graph, paths = _paths(space)
                seconds = since(begun)
                last.append(paths)
                return {f"{name}{DECODED}": graph, name: seconds}

            yield run
        for paths in last:
            wrong = expected.difference(_as_leaves(paths))
            if wrong:
                raise WrongResultError(f"the walk over {source} is not as the plain one: {wrong}")

    def translations(self, source: str, name: str, va: U64, expected: U64) -> Way:
        """Return the translation of many addresses in one batch, which must be as expected."""

        @contextmanager
        def opened() -> Iterator[Run]:
            last: list[U64] = []
            with self.space(source) as space:

                def run() -> Mapping[str, float]:
                    _forget(space)
                    begun = time.perf_counter()
                    last[:] = [space.translate(va).pa]
                    return {name: since(begun)}

                yield run
            if last and (last[0] != expected).any():
                raise WrongResultError(f"translations over {source} are not as in the leaves")

        return Way(name, opened)

    def verify(self) -> Verified:
        """Have a twin make every kind of access to every leaf and hole, and compare."""
        guest = self._subject.guest
        with Qmp(guest.qmp) as qmp, attach(guest.gdb, qmp=qmp) as target:
            begun = time.perf_counter()
            fastest = sources.with_source(target, sources.choose(target, sources.AUTO, guest))
            space = open_space(fastest.cpus[0], fastest.memory, fastest.ram_map)
            choice = choose((twin.ORACLE,), fastest, [space], guest)
            plan = Plan(choice.oracles, guest=guest, ram=choice.ram, version=choice.version)
            report = verify(fastest, choice.spaces[0], plan)
            return Verified(sum(report.accesses.values()), since(begun), report.disagreed)


def _forget(space: AddressSpace) -> None:
    """Drop what earlier walks have read, where something keeps that."""
    if isinstance(space.memory, FrameCache):
        space.memory.drop()


def _paths(space: AddressSpace) -> tuple[float, Paths]:
    """Walk, and make arrays of the leaves; also return the seconds until all was decoded."""
    begun = time.perf_counter()
    graph = space.walk()
    for floor in graph.floors:
        assert floor.rights.size == floor.entry.size  # they are folded when they are asked for
    seconds = since(begun)
    paths = Paths.concatenate(list(leaves(graph)))
    _as_leaves(paths)
    return seconds, paths


def _as_leaves(paths: Paths) -> Leaves:
    return Leaves(paths.va, paths.pa, paths.rights, paths.entry, paths.lvl)


def _mapped(file: Path, ram_map: RamMap) -> list[tuple[int, U8]]:
    """Map the file of the guest's RAM; return (guest physical address, bytes) of each piece."""
    ram = np.memmap(file, np.uint8, mode="r")
    return [
        (region.first, ram[region.offset :][: region.last - region.first + 1])
        for region in ram_map.regions
        if region.name == _REGION
    ]
