"""What a walk found: a graph of distinct nodes, one floor for each level.

A node is a table together with all that its entries' meaning depends on: the
rights folded above it and the part of it that is in range (the clip). Its edges
are its present entries; what is absent is known from the entries themselves.
Addresses are not stored: a node may be reached by many paths, and `paths` says
by how many, so counts are exact however often a subtree is shared.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ptlive.paging import rights
from ptlive.paging.format import Kind

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

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
    range (of a leaf that several entries make, all that the leaf maps); shift: uint64[m],
    log2 of the bytes that the entry spans; bits: uint64[m], of those that the leaf maps.
    """

    value: U64
    node: Index
    index: U64
    whole: Bool
    shift: U64
    bits: U64


class Rest(NamedTuple):
    """Entries in range that are no edges and not zero: positions intp, values uint64.

    Absent ones that a kernel keeps something in, and those that continue the leaf of a
    neighbour.
    """

    position: Index
    entry: U64


class Selection(NamedTuple):
    """Entries of some nodes, in the order of these and then ascending.

    position; edge: the floor's edges, as a slice where they follow each other, -1 for
    an entry that is none; owned: how many are each node's.
    """

    position: Index
    edge: Index | slice
    owned: Index


@dataclass(eq=False)
class Floor:
    """The nodes of one level, their entries in range, and their edges.

    start: intp[n+1]; a position counts the entries in range, one node after the other,
    and this is where each node's begin. Edges (the present entries), all of length k and
    in order: position, entry, kind (of `Kind`), child (node of the floor below, or -1).
    What is neither an edge nor in `rest` is zero.
    """

    fmt: Format
    lvl: int
    nodes: Nodes
    readable: Bool
    start: Index
    position: Index
    entry: U64
    kind: U8
    child: Index
    rest: Rest

    @cached_property
    def first_edge(self) -> Index:
        """Where each node's edges begin, intp[n+1]."""
        return np.searchsorted(self.position, self.start)

    @cached_property
    def node(self) -> Index:
        """Which node each edge belongs to, intp[k]."""
        return np.repeat(np.arange(self.nodes.table.size), np.diff(self.first_edge))

    @cached_property
    def down(self) -> Index:
        """The edges that refer to a node of the floor below, intp[m]."""
        return np.flatnonzero(self.child >= 0)

    @cached_property
    def rights(self) -> U64:
        """The rights of each edge, folded, with the entry's own, uint64[k]."""
        above, edges = self.nodes.rights, np.diff(self.first_edge)
        alike = bool((above == above[:1]).all())
        own = self.fmt.level(self.lvl).rights(self.entry)
        return rights.fold(self.fmt, above[:1] if alike else np.repeat(above, edges), own)

    @cached_property
    def _continuing(self) -> Index:
        """Positions of the present entries that are no edges."""
        return self.rest.position[self.fmt.present(self.rest.entry)]

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

    def addresses(self) -> tuple[U64, U64]:
        """Return where each node's first entry in range begins, and where its last one ends."""
        nodes, size = self.nodes, np.uint64(self.fmt.level(self.lvl).entry_size)
        first = nodes.table + (nodes.first >> nodes.shift) * size
        last = nodes.table + (nodes.last >> nodes.shift) * size + (size - np.uint64(1))
        return first, last

    def leaf_bits(self, edges: Index) -> U64:
        """Return log2 of the bytes that each of these leaves maps."""
        shift = self.nodes.shift[self.node[edges]]
        grouped = self.fmt.level(self.lvl).leaf_bits
        return np.maximum(grouped(self.entry[edges]), shift) if grouped else shift

    def edge_at(self, position: Index) -> Index:
        """Return which edge stands at each position, -1 for none."""
        total = int(self.start[-1])
        if position.size > total // _MANY:
            at_all = np.full(total, -1, dtype=np.intp)
            at_all[self.position] = np.arange(self.position.size)
            return at_all[position]
        return _find(self.position, position)

    def value(self, position: Index) -> U64:
        """Return the entry at each position, uint64[n]."""
        value = np.zeros(position.size, dtype=np.uint64)
        edge = self.edge_at(position)
        is_edge = edge >= 0
        value[is_edge] = self.entry[edge[is_edge]]
        others = np.flatnonzero(~is_edge)
        kept = _find(self.rest.position, position[others])
        value[others[kept >= 0]] = self.rest.entry[kept[kept >= 0]]
        return value

    def select(self, nodes: Index, kinds: Collection[Kind]) -> Selection:
        """Return the entries of these kinds that some nodes have."""
        if Kind.ABSENT in kinds:
            return self._select_among_all(nodes, kinds)
        first, end = self.first_edge[nodes], self.first_edge[nodes + 1]
        edge: Index | slice
        if (first[1:] == end[:-1]).all():
            edge = slice(int(first[0]), int(end[-1])) if nodes.size else slice(0)
        elif int((end - first).sum()) > self.kind.size:
            return self._select_again_and_again(nodes, kinds)
        else:
            edge = ranges(first, end - first)
        count = end - first
        chosen = _among(self.kind[edge], kinds)
        if not chosen.all():
            owner = np.repeat(np.arange(nodes.size), count)[chosen]
            kept = np.flatnonzero(chosen)
            edge = kept + edge.start if isinstance(edge, slice) else edge[kept]
            count = np.bincount(owner, minlength=nodes.size)
        return Selection(self.position[edge], edge, count)

    def _select_again_and_again(self, nodes: Index, kinds: Collection[Kind]) -> Selection:
        # Many paths reach the same nodes, of whose entries perhaps few are chosen.
        chosen = np.flatnonzero(_among(self.kind, kinds))
        begin = np.searchsorted(chosen, self.first_edge)
        count = np.diff(begin)[nodes]
        edge = chosen[ranges(begin[nodes], count)]
        return Selection(self.position[edge], edge, count)

    def _select_among_all(self, nodes: Index, kinds: Collection[Kind]) -> Selection:
        # A node that many paths reach is looked through once.
        nodes, which = np.unique(nodes, return_inverse=True)
        begin, size = self.start[nodes], np.diff(self.start)[nodes]
        position = ranges(begin, size)
        first = np.cumsum(size) - size
        kind = np.full(position.size, Kind.ABSENT, dtype=np.uint8)
        edge = np.full(position.size, -1, dtype=np.intp)
        for some, is_edge in ((self.position, True), (self._continuing, False)):
            at, end = (np.searchsorted(some, s) for s in (begin, begin + size))
            rows = ranges(at, end - at)
            here = some[rows] + np.repeat(first - begin, end - at)
            kind[here] = self.kind[rows] if is_edge else _CONTINUING
            edge[here] = rows if is_edge else -1
        chosen = np.flatnonzero(_among(kind, kinds))
        owned = np.diff(np.searchsorted(chosen, np.append(first, position.size)))
        count = owned[which]
        again = chosen[ranges((np.cumsum(owned) - owned)[which], count)]
        return Selection(position[again], edge[again], count)

    def count(self, kinds: Collection[Kind]) -> Index:
        """Return how many entries of these kinds each node has, intp[n]."""
        edges = np.diff(self.first_edge)
        chosen = _among(self.kind, kinds)
        if chosen.all():
            count = edges
        else:
            count = np.diff(np.searchsorted(np.flatnonzero(chosen), self.first_edge))
        if Kind.ABSENT in kinds:
            continuing = np.diff(np.searchsorted(self._continuing, self.start))
            count = count + (np.diff(self.start) - edges - continuing)
        return count

    def in_range(self) -> Entries:
        """Return all entries in range."""
        value = np.zeros(int(self.start[-1]), dtype=np.uint64)
        value[self.position] = self.entry
        value[self.rest.position] = self.rest.entry
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
        return Entries(value, node, index, whole, shift, bits)

    def kinds(self) -> U8:
        """Return the kind of every entry in range, uint8[m]."""
        kinds = np.full(int(self.start[-1]), Kind.ABSENT, dtype=np.uint8)
        # A present entry that is no edge continues the leaf of the one before it.
        kinds[self._continuing] = Kind.LEAF
        kinds[self.position] = self.kind
        return kinds

    def without(self, edges: Bool) -> Floor:
        """Return the floor without some edges, bool[k]; their entries go to the rest."""
        position = np.concatenate([self.rest.position, self.position[edges]])
        entry = np.concatenate([self.rest.entry, self.entry[edges]])
        order = np.argsort(position, kind="stable")  # which merges what is in order
        names = ("position", "entry", "kind", "child")
        kept = {name: getattr(self, name)[~edges] for name in names}
        return replace(self, **kept, rest=Rest(position[order], entry[order]))


# To look for this part of all entries, a table of them is faster than a search for each.
_MANY = 16

# Of no kind: it belongs to the leaf of a neighbour.
_CONTINUING = 255


def _among(kind: U8, kinds: Collection[Kind]) -> Bool:
    """Tell which kinds are some of these."""
    chosen = np.zeros(kind.size, dtype=np.bool_)
    for one in kinds:
        chosen |= kind == np.uint8(one)
    return chosen


def _find(known: Index, wanted: Index) -> Index:
    """Return where each wanted number stands among the known ones, ascending; -1 if nowhere."""
    if not known.size:
        return np.full(wanted.size, -1, dtype=np.intp)
    at = np.minimum(np.searchsorted(known, wanted), known.size - 1)
    return np.where(known[at] == wanted, at, -1)


def ranges(first: Index, count: Index) -> Index:
    """Return first[0], first[0] + 1, ..., count[0] of them; then those of the next; and so on."""
    begin = np.cumsum(count) - count
    numbers: Index = np.repeat(first - begin, count) + np.arange(count.sum())
    return numbers


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
        return sum(_distinct_entries(floor, kinds) for floor in self.floors)

    def reached(self, *kinds: Kind) -> int:
        """Return how often addresses in range reach entries of these kinds."""
        return sum(
            int(paths) * number
            for floor in self.floors
            for paths, number in _tally(floor.nodes.paths, floor.count(kinds))
        )

    @property
    def leaves(self) -> int:
        """How many distinct leaf entries there are."""
        return self.count(Kind.LEAF)


HOLES = (Kind.ABSENT, Kind.MALFORMED, Kind.UNREADABLE)


def _tally(paths: U64, count: Index) -> Iterator[tuple[int, int]]:
    """Yield each number of paths, and the sum of the counts of the nodes that have it."""
    different, which = np.unique(paths, return_inverse=True)
    total = np.zeros(different.size, dtype=np.intp)
    np.add.at(total, which, count)
    yield from zip(different.tolist(), total.tolist(), strict=True)


def _distinct_entries(floor: Floor, kinds: tuple[Kind, ...]) -> int:
    """Count the entries of these kinds, those that stand in several nodes once."""
    count = floor.count(kinds)
    first, last = floor.addresses()
    order = np.argsort(first)
    again = first[order][1:] <= np.maximum.accumulate(last[order])[:-1]
    several = np.zeros(count.size, dtype=np.bool_)
    several[order[1:]] = again
    several[order[:-1]] |= again
    total = int(count[~several].sum())
    if several.any():
        shared = np.flatnonzero(several)
        position, _, count = floor.select(shared, kinds)
        total += np.unique(floor.entry_address(position, np.repeat(shared, count))).size
    return total
