"""What lies below root tables: counted for each of many in one walk, and bounded."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ptlive.arrays import pieces
from ptlive.errors import PtliveError
from ptlive.paging import rights
from ptlive.paging.format import Kind
from ptlive.paging.select import leaves
from ptlive.paging.sums import of_nodes, running
from ptlive.paging.walk import walk

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ptlive.analysis.roots.frames import Frames
    from ptlive.arrays import U8, U64, Bool, Index, Memory
    from ptlive.paging.format import Format
    from ptlive.paging.graph import Floor, Graph

# As many pages as are 16 GB by 4K. A walk keeps some 50 bytes for each.
_MOST_ENTRIES = 1 << 22
# Entries above the last level: 2 GB of tables. They take 200 bytes each where tables are met
# by several paths, and eight times that where all rights differ by path.
_MOST_UPPER = 1 << 19
_FEW = 16
# So many address spaces are walked at once.
_TOGETHER = 256
# After so many that were too large for this, no more are tried: each took seconds.
_PATIENCE = 4

_COLUMNS = ("leaves", "bytes", "user", "in_ram", "bad", "junk", "tables")


class Counts(NamedTuple):
    """What is reached from root tables, uint64[n] each; of rows that are not `known` zeros.

    leaves, bytes: pages and their bytes; user: leaves that user mode may access; in_ram:
    leaves that lie in RAM; bad: malformed entries and unreadable tables; junk: entries
    above the last level that are not present and not zero; tables: without the root

    known: bool[n], whether the walk could be made; visited: all tables below the roots,
    uint64[m], ascending
    """

    leaves: U64
    bytes: U64
    user: U64
    in_ram: U64
    bad: U64
    junk: U64
    tables: U64
    known: Bool
    visited: U64


class _TooMuchError(PtliveError):
    """A walk over more entries than we keep."""


class _Limited:
    """A memory for one walk, whose tables may hold a bounded number of entries.

    upper: how many levels there are above the last; each is read at once
    """

    def __init__(self, source: Memory, upper: int) -> None:
        self._source = source
        self._upper = upper
        self._room = _MOST_UPPER

    def read(self, addresses: U64, length: int) -> tuple[U8, Bool]:
        """See `ptlive.arrays.Memory.read`."""
        return self._source.read(addresses, length)

    def stream(self, addresses: U64, length: int) -> Iterator[tuple[U8, Bool]]:
        """See `ptlive.arrays.Streaming.stream`."""
        if self._upper == 0:
            self._room = _MOST_ENTRIES
        self._upper -= 1
        # Mostly there are too few tables to hold so many.
        if len(addresses) * length // 8 <= self._room // _FEW:
            self._room -= len(addresses) * length // 8
            yield from pieces(self._source, addresses, length)
            return
        for data, valid in pieces(self._source, addresses, length):
            self._room -= int(np.count_nonzero(data.view(np.uint64)))
            if self._room < 0:
                raise _TooMuchError("there are too many tables to walk")
            yield data, valid


def walk_within(
    fmt: Format, memory: Memory, roots: U64, ranges: tuple[U64, U64] | None = None
) -> Graph | None:
    """Walk address spaces, everything by default; None where that takes too much memory."""
    try:
        return walk(fmt, _Limited(memory, fmt.top - 1), roots, ranges)
    except _TooMuchError:
        return None


def count(
    fmt: Format, memory: Memory, frames: Frames, roots: U64, ranges: tuple[U64, U64] | None
) -> Counts:
    """Walk address spaces over ranges, everything by default, and count what each has."""
    rows = {name: np.zeros(roots.size, dtype=np.uint64) for name in _COLUMNS}
    known = np.zeros(roots.size, dtype=np.bool_)
    visited = [np.zeros(0, dtype=np.uint64)]
    # Halves of what is too much are tried until single ones are.
    todo = [np.arange(roots.size)[at : at + _TOGETHER] for at in range(0, roots.size, _TOGETHER)]
    todo.reverse()
    failed = 0
    while todo:
        some = todo.pop()
        if failed >= _PATIENCE:
            break
        graph = walk_within(fmt, memory, roots[some], ranges)
        if graph is None:
            if some.size == 1:
                failed += 1
                continue
            half = some.size // 2
            todo += [some[half:], some[:half]]
            continue
        known[some] = True
        for name, values in _counted(graph, frames, some.size).items():
            rows[name][some] = values
        visited += [np.unique(floor.nodes.table) for floor in graph.floors[1:]]
    return Counts(**rows, known=known, visited=np.unique(np.concatenate(visited)))


class Covered(NamedTuple):
    """How bytes of memory are mapped, intp[n] each: how often, and the largest page's level."""

    times: Index
    lvl: Index


def covering(graph: Graph, pa: U64) -> Covered:
    """Return by which leaf entries of a walk these bytes of physical memory are mapped."""
    times = np.zeros(pa.size, dtype=np.intp)
    lvl = np.zeros(pa.size, dtype=np.intp)
    for floor in graph.floors:
        some = leaves(floor)
        # A table may stand in several nodes, its entries are the same.
        once = np.unique(some.entry_pa, return_index=True)[1]
        begin, end = np.sort(some.pa[once]), np.sort(some.last_pa[once])
        here = np.searchsorted(begin, pa, "right") - np.searchsorted(end, pa)
        times += here
        lvl = np.where(here > 0, np.maximum(lvl, floor.lvl), lvl)
    return Covered(times, lvl)


def _counted(graph: Graph, frames: Frames, spaces: int) -> dict[str, U64]:
    """Add up what lies below each node, from the last floor upwards, then for each root."""
    below = np.zeros((len(_COLUMNS), 0), dtype=np.uint64)
    for floor in reversed(graph.floors):
        below = _of_nodes(floor, frames, below)
    total = np.zeros((len(_COLUMNS), spaces), dtype=np.uint64)
    tops = graph.tops
    for row, values in zip(total, below, strict=True):
        np.add.at(row, tops.space, values[tops.node])
    # The root table is no table below it, and is one for each of its ranges.
    total[_COLUMNS.index("tables")] -= np.bincount(tops.space, minlength=spaces).astype(np.uint64)
    return dict(zip(_COLUMNS, total, strict=True))


def _of_nodes(floor: Floor, frames: Frames, below: U64) -> U64:
    """Return the sums of each node of a floor, one row for each column."""
    fmt, some, one = floor.fmt, leaves(floor), np.uint64(1)
    bad = np.flatnonzero((floor.kind == Kind.MALFORMED) | (floor.kind == Kind.UNREADABLE))
    none = some.edge[:0]
    own: dict[str, tuple[Index, U64 | np.uint64]] = {
        "leaves": (some.edge, one),
        "bytes": (some.edge, one << some.bits.astype(np.uint64)),
        "user": (some.edge, _of_user(fmt, some.rights).astype(np.uint64)),
        "in_ram": (some.edge, frames.hold(some.pa).astype(np.uint64)),
        "bad": (bad, one),
    }
    sums = np.zeros((len(_COLUMNS), floor.readable.size), dtype=np.uint64)
    # Column by column: there may be many millions of edges.
    for row, name in enumerate(_COLUMNS):
        total = running(floor, *own.get(name, (none, one)), below[row])
        sums[row] = of_nodes(floor, total)
    sums[_COLUMNS.index("tables")] += floor.readable
    if floor.lvl > 1:
        junk = floor.rest.position[~fmt.present(floor.rest.entry)]
        count = np.diff(np.searchsorted(junk, floor.start)).astype(np.uint64)
        sums[_COLUMNS.index("junk")] += count
    return sums


def _of_user(fmt: Format, folded: U64) -> Bool:
    """Tell which folded rights are those of user mode; of none in a format without it."""
    if all(right.name != "user" for right in fmt.rights):
        return np.zeros(folded.size, dtype=np.bool_)
    return rights.granted(fmt, folded, "user")
