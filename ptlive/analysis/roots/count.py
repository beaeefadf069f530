"""What lies below root tables: counted for each of many in one walk, and bounded."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ptlive.arrays import pieces
from ptlive.errors import PtliveError
from ptlive.paging import rights
from ptlive.paging.format import Kind
from ptlive.paging.walk import walk

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ptlive.analysis.roots.frames import Frames
    from ptlive.arrays import U8, U64, Bool, Index, Memory
    from ptlive.paging.format import Format
    from ptlive.paging.graph import Floor, Graph

# A walk keeps some 30 bytes for each entry that is not zero: 500 MB. All processes of a
# guest of 64 GB have fewer, and RAM that was filled to keep us busy has more.
_MOST_ENTRIES = 1 << 24
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
    """A memory of which a level's tables are read while they hold a bounded number of entries."""

    def __init__(self, source: Memory) -> None:
        self._source = source

    def read(self, addresses: U64, length: int) -> tuple[U8, Bool]:
        """See `ptlive.arrays.Memory.read`."""
        return self._source.read(addresses, length)

    def stream(self, addresses: U64, length: int) -> Iterator[tuple[U8, Bool]]:
        """See `ptlive.arrays.Streaming.stream`."""
        most = len(addresses) * length // 8 > _MOST_ENTRIES
        entries = 0
        for data, valid in pieces(self._source, addresses, length):
            if most:
                entries += int(np.count_nonzero(data.view(np.uint64)))
                if entries > _MOST_ENTRIES:
                    raise _TooMuchError("there are too many tables to walk")
            yield data, valid


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
        try:
            graph = walk(fmt, _Limited(memory), roots[some], ranges)
        except _TooMuchError:
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


def covering(graph: Graph, pa: U64) -> Index:
    """Return how many leaf entries of a walk map each of these bytes of physical memory."""
    found = np.zeros(pa.size, dtype=np.intp)
    for floor in graph.floors:
        edges = np.flatnonzero(floor.kind == Kind.LEAF)
        if not edges.size:
            continue
        size = np.uint64(1) << floor.leaf_bits(edges)
        first = floor.fmt.level(floor.lvl).leaf_address(floor.entry[edges])
        # A table may stand in several nodes, its entries are the same.
        at = floor.entry_address(floor.position[edges], floor.node[edges])
        _, once = np.unique(at, return_index=True)
        begin, end = np.sort(first[once]), np.sort((first + (size - np.uint64(1)))[once])
        found += np.searchsorted(begin, pa, "right") - np.searchsorted(end, pa)
    return found


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
    fmt, edges = floor.fmt, floor.kind.size
    value = np.zeros((len(_COLUMNS), edges), dtype=np.uint64)
    down = np.flatnonzero(floor.child >= 0)
    value[:, down] = below[:, floor.child[down]]
    leaf = np.flatnonzero(floor.kind == Kind.LEAF)
    value[_COLUMNS.index("leaves"), leaf] = 1
    value[_COLUMNS.index("bytes"), leaf] = np.uint64(1) << floor.leaf_bits(leaf)
    value[_COLUMNS.index("user"), leaf] = _of_user(fmt, floor.rights[leaf])
    pa = fmt.level(floor.lvl).leaf_address(floor.entry[leaf])
    value[_COLUMNS.index("in_ram"), leaf] = frames.hold(pa)
    bad = (floor.kind == Kind.MALFORMED) | (floor.kind == Kind.UNREADABLE)
    value[_COLUMNS.index("bad"), bad] = 1
    # Wraps as a sum does, so that differences are right all the same.
    total = np.zeros((len(_COLUMNS), edges + 1), dtype=np.uint64)
    np.cumsum(value, axis=1, out=total[:, 1:])
    sums = total[:, floor.first_edge[1:]] - total[:, floor.first_edge[:-1]]
    sums[_COLUMNS.index("tables")] += floor.readable
    if floor.lvl > 1:
        junk = floor.rest.position[~fmt.present(floor.rest.entry)]
        own = np.diff(np.searchsorted(junk, floor.start)).astype(np.uint64)
        sums[_COLUMNS.index("junk")] += own
    return sums


def _of_user(fmt: Format, folded: U64) -> Bool:
    """Tell which folded rights are those of user mode; of none in a format without it."""
    if all(right.name != "user" for right in fmt.rights):
        return np.zeros(folded.size, dtype=np.bool_)
    return rights.granted(fmt, folded, "user")
