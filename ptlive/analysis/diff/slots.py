"""The entries of pairs of nodes, side by side.

What stands at a place on one side is a node, nothing, or a piece of a leaf that is larger
than what the other side has there: a 2M page that was split into a table is held against
that table's entries piece by piece.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ptlive.analysis.diff.looks import Looks, of_edges
from ptlive.paging.format import Kind
from ptlive.paging.graph import ranges

if TYPE_CHECKING:
    from ptlive.arrays import U8, U64, Bool, Index
    from ptlive.paging.graph import Floor

NOTHING = -1


@dataclass(frozen=True, eq=False)
class Side:
    """One side of all pairs of a level.

    floor: the level's nodes; ids: intp[n], of each pair the node, NOTHING, or (from the
    number of nodes on) one of the pieces
    """

    floor: Floor
    ids: Index
    pieces: Looks

    @property
    def nodes(self) -> int:
        """How many nodes there are."""
        return self.floor.nodes.table.size

    def is_node(self, pairs: slice) -> Bool:
        """Tell of which of these pairs this side is a node, bool[n]."""
        ids = self.ids[pairs]
        is_node: Bool = (ids >= 0) & (ids < self.nodes)
        return is_node


class Slots(NamedTuple):
    """What stands on one side at some places, by place.

    place: int64[n], the pair (from 0 among those asked for) and below it the index
    kind: of `Kind`; edge: of the floor, -1 for a piece; piece: which, -1 for an edge
    """

    place: Index
    kind: U8
    edge: Index
    piece: Index

    def take(self, rows: Index) -> Slots:
        """Return these rows; -1 stands for a place where nothing is."""
        nothing = rows < 0
        if not self.place.size:
            missing = _nothing(rows.size)
            return Slots(missing, np.zeros(rows.size, dtype=np.uint8), missing, missing)
        place, kind = self.place[rows], self.kind[rows]
        edge, piece = self.edge[rows], self.piece[rows]
        if nothing.any():
            kind[nothing], edge[nothing], piece[nothing] = Kind.ABSENT, NOTHING, NOTHING
        return Slots(place, kind, edge, piece)


def sizes(one: Side, other: Side) -> Index:
    """Return how many entries each pair comes to, on both sides together."""
    total = np.zeros(one.ids.size, dtype=np.intp)
    every = slice(None)
    for side, against in ((one, other), (other, one)):
        is_node = side.is_node(every)
        node = np.flatnonzero(is_node)
        total[node] += np.diff(side.floor.first_edge)[side.ids[node]]
        pieces = np.flatnonzero(is_node & (against.ids >= against.nodes))
        total[pieces] += np.diff(side.floor.start)[side.ids[pieces]]
    return total


def slots(side: Side, other: Side, pairs: slice) -> Slots:
    """Return what one side has in some pairs; the other says how many pieces are wanted."""
    floor, nodes = side.floor, side.floor.nodes
    width = int(floor.fmt.level(floor.lvl).index_bits)
    ids, is_node = side.ids[pairs], side.is_node(pairs)
    pair = np.flatnonzero(is_node)
    node = ids[pair]
    first = floor.first_edge[node]
    count = floor.first_edge[node + 1] - first
    edge = ranges(first, count)
    begin = (nodes.first >> nodes.shift).astype(np.intp)[node] - floor.start[node]
    place = np.repeat((pair << width) + begin, count) + floor.position[edge]
    found = Slots(place, floor.kind[edge], edge, _nothing(edge.size))
    pair = np.flatnonzero((ids >= side.nodes) & other.is_node(pairs))
    if not pair.size:
        return found
    nodes, node = other.floor.nodes, other.ids[pairs][pair]
    begin = (nodes.first >> nodes.shift).astype(np.intp)[node]
    count = (nodes.last >> nodes.shift).astype(np.intp)[node] - begin + 1
    piece = np.repeat(ids[pair] - side.nodes, count)
    kind = side.pieces.kind[piece].astype(np.uint8)
    place = np.concatenate([found.place, ranges((pair << width) + begin, count)])
    both = Slots(
        place,
        np.concatenate([found.kind, kind]),
        np.concatenate([edge, _nothing(piece.size)]),
        np.concatenate([_nothing(edge.size), piece]),
    )
    return both.take(np.argsort(place, kind="stable"))


def look(side: Side, found: Slots, offset: U64) -> Looks:
    """Return what slots that are leaves look like; offset: of each in what its pair spans."""
    is_edge = found.edge >= 0
    if is_edge.all():
        return of_edges(side.floor, found.edge)
    edges, pieces = np.flatnonzero(is_edge), np.flatnonzero(~is_edge)
    both = Looks.concatenate(
        [
            of_edges(side.floor, found.edge[edges]),
            side.pieces.take(found.piece[pieces]).at(offset[pieces]),
        ]
    )
    return both.take(np.argsort(np.concatenate([edges, pieces])))


def joined(one: Slots, other: Slots) -> tuple[Index, Slots, Slots]:
    """Return all places where either side has something, and what it is on both."""
    if one.place.size == other.place.size and (one.place == other.place).all():
        return one.place, one, other
    if not one.place.size or not other.place.size:
        place = one.place if one.place.size else other.place
    else:
        place = np.union1d(one.place, other.place)
    return place, one.take(_rows(one, place)), other.take(_rows(other, place))


def _rows(side: Slots, place: Index) -> Index:
    """Return which row of a side stands at each place, NOTHING for none."""
    row = _nothing(place.size)
    row[np.searchsorted(place, side.place)] = np.arange(side.place.size)
    return row


def _nothing(size: int) -> Index:
    return np.full(size, NOTHING, dtype=np.intp)
