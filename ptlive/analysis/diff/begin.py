"""Where a comparison begins: which formats can be compared, and which nodes stand side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ptlive.errors import PtliveError
from ptlive.paging.format import Kind
from ptlive.paging.graph import Floor, Rest, ranges
from ptlive.paging.nodes import Nodes

if TYPE_CHECKING:
    from ptlive.arrays import U64, Index
    from ptlive.paging.format import Format
    from ptlive.paging.graph import Graph


class Starts(NamedTuple):
    """Places where nodes stand side by side.

    base: linear address of the first byte that they span; one, other: nodes, -1 for nothing
    """

    base: U64
    one: Index
    other: Index

    def take(self, rows: Index) -> Starts:
        """Return these rows."""
        return Starts(self.base[rows], self.one[rows], self.other[rows])


def comparable(one: Format, other: Format) -> Format:
    """Return the format of fewer levels, on which both agree as far as it goes.

    What only the other has above it are more addresses. Raises PtliveError if they do
    not agree, and for what is not compared: tables of several sizes, grouped entries.
    """
    low, high = sorted((one, other), key=lambda fmt: fmt.top)
    alike = (low.rights, low.attributes) == (high.rights, high.attributes)
    for mine, theirs in zip(low.levels, high.levels, strict=False):
        if any(level.table_bits or level.leaf_bits for level in (mine, theirs)):
            raise PtliveError(f"address spaces of the format {low.name} are not compared")
        geometry = [(v.shift, v.index_bits, v.entry_size, v.fields) for v in (mine, theirs)]
        alike &= geometry[0] == geometry[1]
    if not alike:
        raise PtliveError(f"the formats {one.name} and {other.name} have too little in common")
    return low


def starts(fmt: Format, one: Graph, other: Graph) -> Starts:
    """Return what stands side by side at the top level of a format that both graphs reach."""
    sides = [_lowered(graph, fmt.top) for graph in (one, other)]
    places = np.concatenate([np.stack([number, base], axis=1) for number, base, _ in sides])
    places, which = np.unique(places, axis=0, return_inverse=True)
    which = which.reshape(-1)
    found, at = [], 0
    for number, _, node in sides:
        column = np.full(len(places), -1, dtype=np.intp)
        column[which[at : at + number.size]] = node
        found.append(column)
        at += number.size
    return Starts(places[:, 1], *found)


def _lowered(graph: Graph, lvl: int) -> tuple[U64, U64, Index]:
    """Return the nodes of a level: their range's number, their address, and the node."""
    tops = graph.tops
    number, base, node = tops.number.astype(np.uint64), tops.base, tops.node
    for floor in graph.floors:
        if floor.lvl <= lvl:
            return number, base, node
        first = floor.first_edge[node]
        count = floor.first_edge[node + 1] - first
        edge = ranges(first, count)
        if (floor.kind[edge] == Kind.LEAF).any():
            raise PtliveError(
                f"a page of {graph.fmt.name} is larger than the other format's tables"
            )
        base = np.repeat(base, count) + floor.offset(edge)
        down = floor.kind[edge] == Kind.TABLE
        number, base, node = np.repeat(number, count)[down], base[down], floor.child[edge][down]
    return number[:0], base[:0], node[:0]


def floor_of(graph: Graph, lvl: int) -> Floor:
    """Return the floor of a level, an empty one where the walk did not get so far."""
    for floor in graph.floors:
        if floor.lvl == lvl:
            return floor
    none, at = np.zeros(0, dtype=np.uint64), np.zeros(0, dtype=np.intp)
    return Floor(
        fmt=graph.fmt,
        lvl=lvl,
        nodes=Nodes(*[none] * len(Nodes._fields)),
        readable=none != 0,
        start=np.zeros(1, dtype=np.intp),
        position=at,
        entry=none,
        kind=none.astype(np.uint8),
        child=at,
        rest=Rest(at, none),
    )
