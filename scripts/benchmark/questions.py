"""What is asked of a real guest, each beside the bare work that it takes at least.

Which roots are there, which regions, who maps these frames, what is wrong; a snapshot, an
export. All over shared memory, in this process, without text: what a command prints is in
`commands`.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from ptlive.analysis.audit.context import Context, Root
from ptlive.analysis.audit.rules import RULES
from ptlive.analysis.audit.run import audit
from ptlive.analysis.find import Spans, find
from ptlive.analysis.regions.build import regions
from ptlive.analysis.roots.find import find_roots
from ptlive.arrays import pieces
from ptlive.errors import PtliveError
from ptlive.memory.snapshot.write import create
from ptlive.paging.select import only
from ptlive.show.data.columns import Source
from ptlive.show.data.write import export
from ptlive.space import TARGET_NAMES
from scripts.benchmark import bare, peers
from scripts.benchmark.timing import Way, WrongResultError, since

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ptlive.analysis.find import Found
    from ptlive.analysis.regions.build import Regions
    from ptlive.analysis.roots.find import FoundRoots
    from ptlive.arrays import U64
    from ptlive.paging.graph import Graph
    from ptlive.space import AddressSpace
    from scripts.benchmark.guest import Subject
    from scripts.benchmark.ours import Ours
    from scripts.benchmark.plain_c import Leaves
    from scripts.benchmark.timing import Run

_T = TypeVar("_T")

WALK, REGIONS, WRITABLE = "walk", "regions", "walk, regions that are writable"
ROOTS, FIND, AUDIT = "roots", "find", "audit"
SNAPSHOT, EXPORT = "snapshot", "export"
#: Ratios that are kept by name: time of the first over time of the second.
PAIRS = {
    "regions_vs_walk": (REGIONS, WALK),
    "roots_vs_numpy_over_ram": (ROOTS, bare.PASS),
    "roots_vs_memcpy_of_ram": (ROOTS, bare.COPY),
    "find_vs_searchsorted": (FIND, bare.SEARCH),
    "audit_vs_walk": (AUDIT, WALK),
    "snapshot_vs_zstd": (SNAPSHOT, bare.ZSTD),
    "export_vs_pyarrow": (EXPORT, bare.PYARROW),
    "writable_vs_gdb_pt_dump": (WRITABLE, peers.FILTERED),
}
_FRAME = 1 << 12
_LISTED = 100  # mappings of a frame, as the command lists them


class Questions:
    """What is asked of one stopped guest."""

    def __init__(
        self, subject: Subject, ours: Ours, expected: Leaves, frames: U64, folder: Path
    ) -> None:
        """Take the guest, its leaves, the frames that are asked for, and a place for files."""
        self._subject, self._ours, self._expected = subject, ours, expected
        self._frames, self._folder = frames, folder

    def ways(self) -> list[Way]:
        """Return each question behind the bare work that it takes; they stand side by side."""
        ram = bare.held(Path(self._subject.guest.ram))
        ends = bare.ends_of(self._expected)
        return [
            self._way(WALK, lambda space: lambda: _decoded(space)),
            self._way(REGIONS, self._regions, self._check_regions),
            self._way(AUDIT, self._audit),
            self._way(WRITABLE, lambda space: lambda: _writable(space)),
            bare.way(bare.SEARCH, lambda: bare.mapped(ends, self._frames)),
            self._way(FIND, self._find, self._check_find),
            bare.way(bare.PASS, lambda: bare.look_through(ram)),
            bare.way(bare.COPY, lambda: bare.copy(ram)),
            self._way(ROOTS, self._roots, self._check_roots),
            self._zstd(),
            self._way(SNAPSHOT, self._snapshot),
            self._way(EXPORT, self._export),
            Way(bare.PYARROW, self._pyarrow),
        ]

    def _way(
        self,
        name: str,
        prepared: Callable[[AddressSpace], Callable[[], _T]],
        check: Callable[[_T], None] = lambda _: None,
    ) -> Way:
        """Return a question.

        prepared: anew for each time, and not timed; check: whether the answer is right
        """

        @contextmanager
        def opened() -> Iterator[Run]:
            with self._ours.space("shared") as space:

                def run() -> dict[str, float]:
                    work = prepared(space)
                    begun = time.perf_counter()
                    answer = work()
                    seconds = since(begun)
                    check(answer)
                    return {name: seconds}

                yield run

        return Way(name, opened)

    def _regions(self, space: AddressSpace) -> Callable[[], Regions]:
        graph = _decoded(space)
        return lambda: regions(graph, space.target_of)

    def _check_regions(self, found: Regions) -> None:
        _agree("pages of the regions", int(found.pages.sum()), len(self._expected))

    def _audit(self, space: AddressSpace) -> Callable[[], object]:
        graph = _decoded(space)
        roots = (Root(int(space.root[0]), space.origin),)

        def work() -> object:
            context = Context(graph, roots, (), space.target_of, TARGET_NAMES)
            return audit(context, RULES)

        return work

    def _find(self, space: AddressSpace) -> Callable[[], Found]:
        graph, asked = _decoded(space), Spans(self._frames, self._frames)
        return lambda: find(graph, asked, _LISTED)

    def _check_find(self, found: Found) -> None:
        wrong = found.count != bare.mapped(bare.ends_of(self._expected), self._frames)
        _agree("addresses that others map", int(wrong.sum()), 0)

    def _roots(self, space: AddressSpace) -> Callable[[], FoundRoots]:
        known = {int(space.root[0]): (1,)}
        return lambda: find_roots(space.format, space.memory, space.ram_map.ram, known)

    def _check_roots(self, found: FoundRoots) -> None:
        _agree("the first root", found.roots[0].root, self._subject.root)

    def _tables(self, space: AddressSpace) -> U64:
        graph = space.walk()
        found = np.concatenate([floor.nodes.table for floor in graph.floors])
        return np.unique(found & ~np.uint64(_FRAME - 1))

    def _snapshot(self, space: AddressSpace) -> Callable[[], None]:
        frames = self._tables(space)
        file = self._folder / "bench.snapshot"

        def work() -> None:
            with create(file, force=True) as writer:
                done = 0
                for data, valid in pieces(space.memory, frames, _FRAME):
                    some = frames[done : done + len(valid)]
                    writer.add(some[valid], data[valid])
                    done += len(valid)
                writer.finish({})
            _agree("frames kept", writer.frames, frames.size)

        return work

    def _zstd(self) -> Way:
        @contextmanager
        def opened() -> Iterator[Run]:
            with self._ours.space("shared") as space:
                data, _ = space.memory.read(self._tables(space), _FRAME)
            flat = np.ascontiguousarray(data).reshape(-1)
            with bare.way(
                bare.ZSTD, lambda: bare.compress(flat, self._folder / "bench.zst")
            ).open() as run:
                yield run

        return Way(bare.ZSTD, opened)

    def _export(self, space: AddressSpace) -> Callable[[], None]:
        graph = space.walk()
        root = int(space.root[0])
        source = Source(graph, root, space.origin, space.target_of, TARGET_NAMES)

        def work() -> None:
            done = export(self._parquet, [source])
            _agree("rows written", sum(done.written), len(self._expected))

        return work

    @property
    def _parquet(self) -> Path:
        return self._folder / "bench.parquet"

    @contextmanager
    def _pyarrow(self) -> Iterator[Run]:
        if not self._parquet.exists():
            raise PtliveError("nothing was exported")
        from pyarrow import parquet

        table = parquet.read_table(self._parquet)
        file = self._folder / "bare.parquet"
        with bare.way(bare.PYARROW, lambda: bare.write_parquet(table, file)).open() as run:
            yield run


def _decoded(space: AddressSpace) -> Graph:
    graph = space.walk()
    for floor in graph.floors:
        assert floor.rights.size == floor.entry.size  # they are folded when they are asked for
    return graph


def _writable(space: AddressSpace) -> object:
    write = np.uint64(space.format.right("write").mask)
    graph = only(space.walk(), lambda leaf: (leaf.rights & write) != 0)
    return regions(graph, space.target_of)


def _agree(what: str, ours: int, other: int) -> None:
    if ours != other:
        raise WrongResultError(f"{what}: {ours:,} and not {other:,}")
