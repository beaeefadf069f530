"""What a walk found: a graph of distinct nodes, one floor for each level.

A node is a table together with all that its entries' meaning depends on: the
rights folded above it and the part of it that is in range (the clip). Its edges
are its present entries; what is absent is known from the entries themselves.
Addresses are not stored: a node may be reached by many paths, and `paths` says
by how many, so counts are exact however often a subtree is shared.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ptlive.paging.format import Kind

if TYPE_CHECKING:
    from ptlive.arrays import U8, U64, Bool, Index
    from ptlive.paging.format import Format
    from ptlive.paging.nodes import Nodes, Tops


class Write(NamedTuple):
    """Entries of one level that a visitor changed: addresses, old and new values."""

    lvl: int
    address: U64
    old: U64
    new: U64


@dataclass(frozen=True, eq=False)
class Entries:
    """The entries in range of some tables, as a visitor sees them.

    value: uint64[m], read-only; node: intp[m], which of the tables; index:
    uint64[m], where in it; whole: bool[m], whether all that the entry spans is in
    range (of a leaf that several entries make, all that the leaf maps).
    """

    value: U64
    node: Index
    index: U64
    whole: Bool


@dataclass(eq=False)
class Floor:
    """The nodes of one level, their entries in range, and their edges.

    entries: uint64[m], one node after the other; start: intp[n+1], where each
    node's begin. Edges (the present entries), all of length k and in order:
    position (in `entries`), node, entry, kind (of `Kind`), rights (folded, with
    the entry's own), child (node of the floor below, or -1).
    """

    fmt: Format
    lvl: int
    nodes: Nodes
    readable: Bool
    entries: U64
    start: Index
    position: Index
    node: Index
    entry: U64
    kind: U8
    rights: U64
    child: Index

    def index(self, edges: Index) -> U64:
        """Return where in its table each of these edges' entries stands.

        Of neighbouring entries that make one leaf, that is the first.
        """
        return self.index_at(self.position[edges], self.node[edges])

    def index_at(self, position: Index, node: Index) -> U64:
        """Return where in its table the entry at each position stands."""
        first = (self.nodes.first >> self.nodes.shift)[node]
        index: U64 = (position - self.start[node]).astype(np.uint64) + first
        return index

    def offset(self, edges: Index) -> U64:
        """Return where in its table's span each edge's own begins, in bytes."""
        return self.index(edges) << self.nodes.shift[self.node[edges]]

    def entry_address(self, position: Index, node: Index) -> U64:
        """Return the physical address of the entry at each position."""
        size = np.uint64(self.fmt.level(self.lvl).entry_size)
        return self.nodes.table[node] + self.index_at(position, node) * size

    def owner(self, position: Index) -> Index:
        """Return which node the entry at each position belongs to."""
        return np.searchsorted(self.start, position, side="right") - 1

    def leaf_bits(self, edges: Index) -> U64:
        """Return log2 of the bytes that each of these leaves maps."""
        shift = self.nodes.shift[self.node[edges]]
        grouped = self.fmt.level(self.lvl).leaf_bits
        return np.maximum(grouped(self.entry[edges]), shift) if grouped else shift

    def in_range(self) -> Entries:
        """Return all entries in range."""
        value = self.entries.view()
        value.flags.writeable = False  # a change in place would be a change that nobody sees
        node = np.repeat(np.arange(self.start.size - 1), np.diff(self.start))
        index = self.index_at(np.arange(self.start[-1]), node)
        shift = self.nodes.shift[node]
        bits = shift
        grouped = self.fmt.level(self.lvl).leaf_bits
        if grouped:
            bits = np.where(self.kinds() == Kind.LEAF, np.maximum(grouped(value), shift), shift)
        last = (np.uint64(1) << bits) - np.uint64(1)
        base = (index << shift) & ~last
        whole = (base >= self.nodes.first[node]) & (base + last <= self.nodes.last[node])
        return Entries(value, node, index, whole)

    def kinds(self) -> U8:
        """Return the kind of every entry in range, uint8[m]."""
        # A present entry that is no edge continues the leaf of the one before it.
        kinds = np.where(self.fmt.present(self.entries), Kind.LEAF, Kind.ABSENT).astype(np.uint8)
        kinds[self.position] = self.kind
        return kinds

    @cached_property
    def absent(self) -> Index:
        """Positions of the entries that are not present, intp, ascending."""
        return np.flatnonzero(~self.fmt.present(self.entries))


@dataclass(eq=False)
class Graph:
    """The result of a walk: its floors from the roots' level downwards.

    writes: what a visitor changed, in the order in which it did.
    """

    fmt: Format
    tops: Tops
    floors: list[Floor] = field(default_factory=list)
    writes: list[Write] = field(default_factory=list)

    @property
    def tables(self) -> int:
        """How many distinct tables were read."""
        if not self.floors:
            return 0
        return int(np.unique(np.concatenate([f.nodes.table[f.readable] for f in self.floors])).size)

    def count(self, *kinds: Kind) -> int:
        """Return how many distinct entries are of these kinds."""
        return sum(_distinct_entries(floor, _select(floor, kinds)) for floor in self.floors)

    def reached(self, *kinds: Kind) -> int:
        """Return how often addresses in range reach entries of these kinds."""
        total = 0
        for floor in self.floors:
            positions = _select(floor, kinds)
            paths = floor.nodes.paths[floor.owner(positions)]
            total += _exact_sum(paths)
        return total

    @property
    def leaves(self) -> int:
        """How many distinct leaf entries there are."""
        return self.count(Kind.LEAF)


HOLES = (Kind.ABSENT, Kind.MALFORMED, Kind.UNREADABLE)


def _select(floor: Floor, kinds: tuple[Kind, ...]) -> Index:
    """Return the positions of a floor's entries of these kinds, ascending."""
    chosen = floor.position[np.isin(floor.kind, [int(kind) for kind in kinds])]
    if Kind.ABSENT in kinds:
        chosen = np.sort(np.concatenate([chosen, floor.absent]))
    return chosen


def _distinct_entries(floor: Floor, positions: Index) -> int:
    """Count positions, entries of a table that stands in several nodes once."""
    tables = floor.nodes.table
    if tables.size == np.unique(tables).size:
        return int(positions.size)
    return int(np.unique(floor.entry_address(positions, floor.owner(positions))).size)


def _exact_sum(values: U64) -> int:
    """Add up uint64 values as a Python integer, which cannot overflow."""
    high = int((values >> np.uint64(32)).sum(dtype=np.uint64))
    low = int((values & np.uint64(0xFFFF_FFFF)).sum(dtype=np.uint64))
    return (high << 32) + low
