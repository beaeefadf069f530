"""How much is mapped, with what, how often, and what its tables cost: counted on a graph.

A leaf entry counts once as entry, and as often as addresses reach it as reached; a table
that many paths, rights or roots share counts once. Nothing here follows a path: how often
each node is reached is passed down the graph, for all roots, or some, or some ranges.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ptlive.analysis.find import Spans
from ptlive.paging.select import Leaves, leaves

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from ptlive.analysis.regions.build import TargetOf
    from ptlive.arrays import U64, Index
    from ptlive.paging.graph import Floor, Graph

#: The fields that tell whether a page was used, where a format has them.
ACCESSED, DIRTY = "A", "D"


class Cell(NamedTuple):
    """Leaves that are alike: their size in bits, rights, what they lie in, whether used."""

    bits: int
    rights: int
    target: int
    accessed: bool
    dirty: bool


@dataclass
class Count:
    """entries: distinct ones; reached: how often addresses reach them; bytes: of addresses."""

    entries: int = 0
    reached: int = 0
    bytes: int = 0
    accessed: int = 0
    dirty: int = 0

    def add(self, cell: Cell, entries: int, reached: int) -> None:
        """Add leaves; accessed and dirty count those reached."""
        self.entries += entries
        self.reached += reached
        self.bytes += reached << cell.bits
        self.accessed += reached * cell.accessed
        self.dirty += reached * cell.dirty


class Counted(NamedTuple):
    """Leaves by what they are: how many distinct entries, and how often reached.

    several: for entries that are of several kinds, as they are reached with several rights,
    which kinds these are, and how many entries
    """

    cells: dict[Cell, tuple[int, int]]
    several: dict[tuple[Cell, ...], int]

    def by(self, key: Callable[[Cell], int]) -> dict[int, Count]:
        """Add up the cells that have the same key, in the keys' order; each entry once."""
        found: dict[int, Count] = {}
        for cell, (entries, reached) in self.cells.items():
            found.setdefault(key(cell), Count()).add(cell, entries, reached)
        for cells, entries in self.several.items():
            for one, times in Counter(map(key, cells)).items():
                found[one].entries -= entries * (times - 1)
        return dict(sorted(found.items()))

    @property
    def total(self) -> Count:
        """All of them."""
        return self.by(lambda _: 0).get(0, Count())


class Kinds:
    """The leaves of a graph by kind, so that they can be counted for many roots and ranges."""

    def __init__(self, graph: Graph, target: TargetOf) -> None:
        """Take the graph, and what says what pages lie in."""
        self.graph = graph
        self.floors = [_FloorKinds(floor, target) for floor in graph.floors]

    def count(self, paths: list[U64]) -> Counted:
        """Count the leaves of nodes that are reached so often, see `sums.paths_from`."""
        cells: dict[Cell, tuple[int, int]] = {}
        several: Counter[tuple[Cell, ...]] = Counter()
        for floor, each in zip(self.floors, paths, strict=True):
            for cell, entries, reached in floor.count(each):
                before = cells.get(cell, (0, 0))
                cells[cell] = (before[0] + entries, before[1] + reached)
            several.update(floor.several(each))
        return Counted(cells, several)


class _FloorKinds:
    """The leaves of one floor, their kinds by number."""

    def __init__(self, floor: Floor, target: TargetOf) -> None:
        every = leaves(floor)
        self.node, bits = every.node, every.bits.astype(np.uint64)
        columns = (
            bits,
            every.rights,
            target(every.pa, bits).astype(np.uint64),
            every.field(ACCESSED),
            every.field(DIRTY),
        )
        self.kind = np.zeros(bits.size, dtype=np.intp)
        for column in columns:
            different, which = np.unique(column, return_inverse=True)
            self.kind = self.kind * different.size + which
        _, first, self.kind = np.unique(self.kind, return_index=True, return_inverse=True)
        values = zip(*(column[first].tolist() for column in columns), strict=True)
        self.cells = [Cell(b, r, t, bool(a), bool(d)) for b, r, t, a, d in values]
        # An entry may stand in several nodes: of other rights above, or of parts in range.
        _, which, nodes = np.unique(floor.nodes.table, return_inverse=True, return_counts=True)
        self.repeated = (nodes > 1)[which][self.node]
        self.address = every.entry_pa

    def count(self, paths: U64) -> Iterable[tuple[Cell, int, int]]:
        """Yield each kind, how many distinct entries of it are reached, and how often."""
        if not self.cells:
            return
        # Of many roots and areas each reaches few of all leaves.
        here = np.flatnonzero((paths > 0)[self.node])
        reached = _sums(self.kind[here], self.node[here], paths, len(self.cells))
        again = self.repeated[here]
        some = here[again]
        pairs = np.stack([self.kind[some].astype(np.uint64), self.address[some]])
        kind = np.concatenate(
            [self.kind[here[~again]], np.unique(pairs, axis=1)[0].astype(np.intp)]
        )
        entries = np.bincount(kind, minlength=len(self.cells)).tolist()
        for cell, one, many in zip(self.cells, entries, reached, strict=True):
            if many:
                yield cell, one, many

    def several(self, paths: U64) -> dict[tuple[Cell, ...], int]:
        """Return how many entries are of several kinds at once, by which these are."""
        found: dict[tuple[Cell, ...], int] = {}
        here = np.flatnonzero((paths > 0)[self.node] & self.repeated)
        pairs = np.stack([self.address[here], self.kind[here].astype(np.uint64)])
        address, kind = np.unique(pairs, axis=1)
        first = np.flatnonzero(np.append([True], address[1:] != address[:-1])[: address.size])
        count = np.diff(np.append(first, address.size))
        for many in np.unique(count[count > 1]).tolist():
            rows = kind[first[count == many][:, None] + np.arange(many)]
            for row, entries in zip(*np.unique(rows, axis=0, return_counts=True), strict=True):
                found[tuple(self.cells[number] for number in row.tolist())] = int(entries)
        return found


def _sums(group: Index, node: Index, paths: U64, groups: int) -> list[int]:
    """Add up how often nodes are reached by group, exactly: that may be 2**45 each."""
    different, which = np.unique(paths, return_inverse=True)
    which = which[node]
    total = [0] * groups
    counts = np.bincount(group * different.size + which, minlength=groups * different.size)
    for at in np.flatnonzero(counts).tolist():
        total[at // different.size] += int(counts[at]) * int(different[at % different.size])
    return total


def distinct_bytes(graph: Graph, paths: list[U64]) -> int:
    """Return how many different physical bytes are mapped from nodes that are reached."""
    first, last = [np.zeros(0, dtype=np.uint64)], [np.zeros(0, dtype=np.uint64)]
    for floor, each in zip(graph.floors, paths, strict=True):
        every = leaves(floor)
        some = Leaves(floor, every.edge[each[every.node] > 0])
        first.append(some.pa)
        last.append(some.last_pa)
    mapped = Spans(np.concatenate(first), np.concatenate(last)).merged()
    # Of all 2**64 bytes there would be one too many for a uint64.
    total: int = sum((mapped.last - mapped.first).tolist(), len(mapped))
    return total
