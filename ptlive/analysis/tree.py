"""The tables of a walk as a tree: runs of alike entries, and what they lead to.

A table that several entries refer to stands in the tree once; where it comes again, it is
only referred to. So the tree is as large as the graph, however many paths lead through it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ptlive.arrays import changes
from ptlive.paging import fields
from ptlive.paging.format import Kind
from ptlive.paging.sums import of_nodes, running

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ptlive.analysis.regions.build import TargetOf
    from ptlive.arrays import U8, U64, Bool
    from ptlive.paging.graph import Floor, Graph


class Run(NamedTuple):
    """Neighbouring entries of one table that are alike.

    depth: how far from the root; first, last: their indices; va, last_va: by the path that
        the tree shows
    refers_to: the physical address of the first one's page or table; same: whether all refer
        to that; contiguous: whether they follow each other
    bits: log2 of the size of a page; rights (folded), attributes (packed), target: of leaves
    leaves: how many are reached by these entries
    again: the table below stands in the tree already; cut: it is not to be shown; paths: by
        how many paths it is reached in all
    """

    depth: int
    lvl: int
    kind: Kind
    first: int
    last: int
    va: int
    last_va: int
    entries: int
    refers_to: int
    same: bool
    contiguous: bool
    bits: int
    rights: int
    attributes: int
    target: int
    leaves: int
    again: bool
    paths: int
    cut: bool


@dataclass(eq=False)
class _Edges:
    """A floor's entries that are shown, in order, and where a new run begins."""

    floor: Floor
    pa: U64
    attributes: U64
    target: U8
    begins: Bool
    leaves: U64  # uint64[n+1]: how many are reached by the entries before each


class Tree:
    """The tree of one root of a walk, to be read from the root down."""

    def __init__(self, graph: Graph, target: TargetOf, depth: int | None = None) -> None:
        """Take the graph; depth: how many levels of tables to show, all by default."""
        self.graph = graph
        self.depth = len(graph.floors) if depth is None else depth
        self.floors: list[_Edges] = []
        below = np.zeros(0, dtype=np.uint64)
        for floor in reversed(graph.floors):
            self.floors.insert(0, _edges(floor, target, below))
            below = of_nodes(floor, self.floors[0].leaves)

    def runs(self, space: int = 0) -> Iterator[Run]:
        """Yield the runs of a root, each followed by what lies below it."""
        seen: set[tuple[int, int]] = set()
        tops = self.graph.tops
        for top in np.flatnonzero(tops.space == space).tolist():
            yield from self._node(0, int(tops.node[top]), int(tops.base[top]), seen)

    def _node(self, depth: int, node: int, base: int, seen: set[tuple[int, int]]) -> Iterator[Run]:
        here = self.floors[depth]
        floor = here.floor
        begin, end = floor.first_edge[node : node + 2].tolist()
        first = begin + np.flatnonzero(here.begins[begin:end])
        last = np.append(first[1:], end)[: first.size] - 1
        for at, to in zip(first.tolist(), last.tolist(), strict=True):
            yield from self._run(depth, at, to, base, seen)

    def _is_empty(self, depth: int, node: int) -> bool:
        first = self.graph.floors[depth].first_edge
        return bool(first[node] == first[node + 1])

    def _run(
        self, depth: int, at: int, to: int, base: int, seen: set[tuple[int, int]]
    ) -> Iterator[Run]:
        here = self.floors[depth]
        floor = here.floor
        kind = Kind(int(floor.kind[at]))
        ends = np.array([at, to], dtype=np.intp)
        index, offset = floor.index(ends).tolist(), floor.offset(ends).tolist()
        bits = int(floor.leaf_bits(ends[:1])[0])
        span = 1 << (bits if kind is Kind.LEAF else int(floor.nodes.shift[floor.node[at]]))
        # Of a group of entries that make one leaf, the first may be out of range.
        first_va, last_va = (base + each // span * span for each in offset)
        child = int(floor.child[at])
        cut = kind is Kind.TABLE and (depth + 1 >= self.depth or self._is_empty(depth + 1, child))
        again = kind is Kind.TABLE and not cut and (depth + 1, child) in seen
        below = self.graph.floors[depth + 1].nodes if child >= 0 else None
        yield Run(
            depth=depth,
            lvl=floor.lvl,
            kind=kind,
            first=index[0],
            last=index[1],
            va=first_va,
            last_va=last_va + span - 1,
            entries=to - at + 1,
            refers_to=int(here.pa[at]),
            same=bool((here.pa[at : to + 1] == here.pa[at]).all()),
            contiguous=bool((np.diff(here.pa[at : to + 1]) == span).all()),
            bits=bits,
            rights=int(floor.rights[at]),
            attributes=int(here.attributes[at]),
            target=int(here.target[at]),
            leaves=int(here.leaves[to + 1] - here.leaves[at]),
            again=again,
            paths=int(below.paths[child]) if below is not None else 0,
            cut=cut,
        )
        if kind is Kind.TABLE and not cut and not again:
            seen.add((depth + 1, child))
            yield from self._node(depth + 1, child, base + offset[0], seen)


def _edges(floor: Floor, target: TargetOf, below: U64) -> _Edges:
    """Return a floor's entries, and which are not alike the one before.

    below: how many leaves the nodes of the floor below lead to
    """
    level, edge = floor.fmt.level(floor.lvl), np.arange(floor.entry.size)
    leaf = floor.kind == Kind.LEAF
    pa = np.where(leaf, level.leaf_address(floor.entry), level.table_address(floor.entry))
    attributes = np.where(
        leaf, fields.pack_attributes(floor.fmt, floor.lvl, floor.entry), np.uint64(0)
    )
    lies_in = np.zeros(edge.size, dtype=np.uint8)
    lies_in[leaf] = target(pa[leaf], floor.leaf_bits(edge[leaf]))
    rights = np.where(leaf, floor.rights, np.uint64(0))
    bits = np.where(leaf, floor.leaf_bits(edge), np.uint64(0))
    # Of entries that are wrong each is told by itself, unless they are equal.
    wrong = (floor.kind == Kind.MALFORMED) | (floor.kind == Kind.UNREADABLE)
    told = np.where(wrong, floor.entry, np.uint64(0))
    begins = changes(floor.node, floor.kind, floor.child, attributes, lies_in, rights, bits, told)
    begins[1:] |= floor.position[1:] != floor.position[:-1] + 1
    return _Edges(floor, pa, attributes, lies_in, begins, running(floor, leaf, np.uint64(1), below))


def merged_tables(runs: Iterator[Run]) -> Iterator[Run]:
    """Join neighbouring runs whose tables are not shown: how many entries is enough."""
    held: Run | None = None
    for run in runs:
        if held is not None and run.cut and (held.lvl, held.last_va + 1) == (run.lvl, run.va):
            held = held._replace(
                last=run.last,
                last_va=run.last_va,
                entries=held.entries + run.entries,
                leaves=held.leaves + run.leaves,
                same=held.same and run.same and held.refers_to == run.refers_to,
                contiguous=False,
            )
            continue
        if held is not None:
            yield held
        held = run if run.cut else None
        if held is None:
            yield run
    if held is not None:
        yield held
