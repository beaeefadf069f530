"""Leaves and holes with their addresses, made from a walk's graph on demand.

Expanding paths is vectorised, a floor at a time, over pieces of the graph that
hold at most a chunk of what is wanted; how much each node holds is counted
first, from the bottom up. So a million leaves cost a few passes over arrays,
and a graph in which addresses reach 2**45 leaves yields its first chunk at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ptlive.paging import rights
from ptlive.paging.format import Kind
from ptlive.paging.graph import HOLES, ranges

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ptlive.arrays import U8, U64, Index
    from ptlive.paging.graph import Floor, Graph

CHUNK = 1 << 16


@dataclass(frozen=True, eq=False)
class Paths:
    """Entries with the addresses that they translate, or fail to; all of length n.

    space: which of the walk's roots; va: the first address; bits: log2 of the bytes that
    the entry spans; lvl, kind, entry, entry_pa, rights (folded, with the entry's own);
    pa: what a leaf maps at `va`, 0 for a hole. Columns may be views: not to be written.
    """

    space: Index
    va: U64
    bits: U8
    lvl: U8
    kind: U8
    entry: U64
    entry_pa: U64
    rights: U64
    pa: U64

    def __len__(self) -> int:
        return self.va.size

    @property
    def last_va(self) -> U64:
        """The last address that each entry spans, uint64[n]."""
        last_va: U64 = self.va + ((np.uint64(1) << self.bits.astype(np.uint64)) - np.uint64(1))
        return last_va

    def take(self, rows: Index) -> Paths:
        """Return these rows."""
        return Paths(*(getattr(self, name)[rows] for name in self.__dataclass_fields__))

    @staticmethod
    def concatenate(parts: list[Paths]) -> Paths:
        """Join several, which must not be none."""
        names = Paths.__dataclass_fields__
        return Paths(*(np.concatenate([getattr(p, name) for p in parts]) for name in names))


def leaves(graph: Graph, limit: int | None = None) -> Iterator[Paths]:
    """Yield the leaves in range in chunks, by root, then range, then address."""
    return _limited(_Expansion(graph, (Kind.LEAF,)).run(), limit)


def holes(graph: Graph, limit: int | None = None) -> Iterator[Paths]:
    """Yield the entries in range that do not translate, in the same order."""
    return _limited(_Expansion(graph, HOLES).run(), limit)


def bad(graph: Graph, limit: int | None = None) -> Iterator[Paths]:
    """Yield the holes that are not merely absent: malformed entries, unreadable tables."""
    return _limited(_Expansion(graph, (Kind.MALFORMED, Kind.UNREADABLE)).run(), limit)


def _limited(chunks: Iterator[Paths], limit: int | None) -> Iterator[Paths]:
    for chunk in chunks:
        if limit is not None and len(chunk) >= limit:
            yield chunk.take(np.arange(limit))
            return
        yield chunk
        limit = limit if limit is None else limit - len(chunk)


class _Ways(NamedTuple):
    """Paths to nodes of one floor; columns of length n.

    node; base: linear address of the first byte that its table spans; top: where the
    path began, a row of the graph's tops.
    """

    node: Index
    base: U64
    top: Index

    def take(self, rows: Index | slice) -> _Ways:
        return _Ways(self.node[rows], self.base[rows], self.top[rows])


class _Down(NamedTuple):
    """A floor's edges to tables behind which something wanted lies.

    edge, child; weight: how many wanted entries that is; start: intp[n+1], where each
    node's begin.
    """

    edge: Index
    child: Index
    weight: U64
    start: Index


class _Expansion:
    """The expansion of a graph's paths to the entries of the wanted kinds."""

    def __init__(self, graph: Graph, wanted: tuple[Kind, ...]) -> None:
        self.graph = graph
        self.wanted = wanted
        self.downs: list[_Down] = []
        self.owns: list[bool] = []  # whether a floor has any itself
        self.weight = np.zeros(0, dtype=np.uint64)  # of the nodes, at last of the top floor's
        for floor in reversed(graph.floors):
            down = _down(floor, self.weight)
            self.downs.insert(0, down)
            total = np.zeros(down.edge.size + 1, dtype=np.uint64)
            np.cumsum(down.weight, out=total[1:])
            own = floor.count(wanted).astype(np.uint64)
            self.owns.insert(0, bool(own.any()))
            weight = own + total[down.start[1:]] - total[down.start[:-1]]
            # What is more than a chunk is cut, whatever its weight; sums of these do not overflow.
            self.weight = np.minimum(weight, np.uint64(CHUNK + 1))

    def run(self) -> Iterator[Paths]:
        """Yield all paths, a chunk at a time."""
        tops = self.graph.tops
        if self.weight.any():
            ways = _Ways(tops.node, tops.base, np.arange(tops.node.size))
            yield from self._nodes(0, ways, self.weight[tops.node])

    def _nodes(self, depth: int, ways: _Ways, weight: U64) -> Iterator[Paths]:
        """Yield what lies behind nodes that lead to so many wanted entries each."""
        for part in _chunks(weight):
            some = ways.take(part)
            if not weight[part].any():
                continue
            if weight[part].sum() <= CHUNK:
                yield _in_order(self._behind(depth, some))
            else:
                yield from self._one(depth, some)

    def _one(self, depth: int, way: _Ways) -> Iterator[Paths]:
        """Yield what lies behind a single node that leads to more than a chunk."""
        down = self.downs[depth]
        own, top = self._own(depth, way)
        rows = np.arange(down.start[way.node[0]], down.start[way.node[0] + 1])
        below = self._follow(depth, rows, np.zeros(rows.size, dtype=np.intp), way)
        weight = np.concatenate([np.ones(len(own), np.uint64), down.weight[rows]])
        order = np.argsort(np.concatenate([own.va, below.base]), kind="stable")
        for part in _chunks(weight[order]):
            chosen = order[part]
            found, on = chosen[chosen < len(own)], chosen[chosen >= len(own)] - len(own)
            if weight[chosen].sum() > CHUNK:
                yield from self._nodes(depth + 1, below.take(on), weight[chosen])
            else:
                behind = self._behind(depth + 1, below.take(on)) if on.size else []
                yield _in_order([(own.take(found), top[found]), *behind])

    def _behind(self, depth: int, ways: _Ways) -> list[tuple[Paths, Index]]:
        """Return all that lies behind nodes, floor by floor, and where its paths began."""
        parts = [self._own(depth, ways)] if self.owns[depth] else []
        down = self.downs[depth]
        count = down.start[ways.node + 1] - down.start[ways.node]
        if count.any():
            owner = np.repeat(np.arange(count.size), count)
            below = self._follow(depth, ranges(down.start[ways.node], count), owner, ways)
            parts += self._behind(depth + 1, below)
        return parts

    def _follow(self, depth: int, rows: Index, owner: Index, ways: _Ways) -> _Ways:
        """Return the ways on by edges to tables; owner: which way each edge continues."""
        down, floor = self.downs[depth], self.graph.floors[depth]
        base = ways.base[owner] + floor.offset(down.edge[rows])
        return _Ways(down.child[rows], base, ways.top[owner])

    def _own(self, depth: int, ways: _Ways) -> tuple[Paths, Index]:
        """Return the wanted entries of nodes as paths, and where these began."""
        floor = self.graph.floors[depth]
        level, nodes = floor.fmt.level(floor.lvl), floor.nodes
        position, edge, count = floor.select(ways.node, self.wanted)

        def each(column: Any) -> Any:
            """Give a column of the nodes to their entries; one value stands for equal ones."""
            return column[:1] if (column == column[:1]).all() else np.repeat(column, count)

        def whole(column: Any, dtype: Any) -> Any:
            """Give one value, or one for each entry, the entries' length."""
            return column if column.size == position.size else np.full(position.size, column, dtype)

        # What is so of a node's entry at position 0, if it had one, is a constant.
        shift, size = nodes.shift[ways.node], np.uint64(level.entry_size)
        zero = (nodes.first >> nodes.shift)[ways.node] - floor.start[ways.node].astype(np.uint64)
        number = position.view(np.uint64)
        va = number << each(shift)
        va += each(ways.base + (zero << shift))
        entry_pa = number * size
        entry_pa += each(nodes.table[ways.node] + zero * size)
        entry, kind, folded = self._values(floor, position, edge, each(nodes.rights[ways.node]))
        pa, bits = level.leaf_address(entry), each(shift)
        leaf = kind == Kind.LEAF
        if not leaf.all():
            pa = np.where(leaf, pa, np.uint64(0))
        if level.leaf_bits:
            bits = np.where(leaf, np.maximum(level.leaf_bits(entry), bits), bits)
            # A leaf of several entries begins at the first of them, in range or not.
            va &= ~((np.uint64(1) << bits) - np.uint64(1))
        paths = Paths(
            space=whole(each(self.graph.tops.space[ways.top]), np.intp),
            va=va,
            bits=whole(bits.astype(np.uint8), np.uint8),
            lvl=np.full(position.size, floor.lvl, np.uint8),
            kind=kind,
            entry=entry,
            entry_pa=entry_pa,
            rights=folded,
            pa=pa,
        )
        top = whole(each(ways.top), np.intp)
        if level.leaf_bits:
            # An entry may lie inside of a group that it does not belong to.
            order = np.lexsort((va, top))
            return paths.take(order), top[order]
        return paths, top

    def _values(
        self, floor: Floor, position: Index, edge: Index | slice, above: U64
    ) -> tuple[U64, U8, U64]:
        """Return the entries, their kinds and folded rights; above: folded above them."""
        if isinstance(edge, slice) or Kind.ABSENT not in self.wanted:
            entry = floor.entry[edge]
            return entry, floor.kind[edge], rights.fold(floor.fmt, above, entry)
        entry = floor.value(position)
        kind = np.full(entry.size, Kind.ABSENT, dtype=np.uint8)
        present = np.flatnonzero(edge >= 0)
        kind[present] = floor.kind[edge[present]]
        folded = np.array(np.broadcast_to(above, entry.shape))
        folded[present] = rights.fold(floor.fmt, folded[present], entry[present])
        return entry, kind, folded


def _down(floor: Floor, behind: U64) -> _Down:
    """Return a floor's edges to tables; behind: what nodes of the floor below lead to."""
    edge = np.flatnonzero(floor.kind == Kind.TABLE)
    child = floor.child[edge]
    weight = behind[child] if edge.size else np.zeros(0, dtype=np.uint64)
    some = weight > 0
    if not some.all():
        edge, child, weight = edge[some], child[some], weight[some]
    return _Down(edge, child, weight, np.searchsorted(edge, floor.first_edge))


def _in_order(parts: list[tuple[Paths, Index]]) -> Paths:
    """Join what lies on several floors, by where its paths began and by address."""
    found = [part for part in parts if len(part[0])]
    if len(found) == 1:
        return found[0][0]
    va = np.concatenate([paths.va for paths, _ in found])
    top = np.concatenate([top for _, top in found])
    same = bool((top == top[0]).all())
    order = np.argsort(va, kind="stable") if same else np.lexsort((va, top))
    place = np.empty(order.size, dtype=np.intp)
    place[order] = np.arange(order.size)
    places = np.split(place, np.cumsum([len(paths) for paths, _ in found])[:-1])

    def joined(name: str) -> Any:
        column = np.empty(order.size, getattr(found[0][0], name).dtype)
        for at, (paths, _) in zip(places, found, strict=True):
            column[at] = getattr(paths, name)
        return column

    return Paths(*(joined(name) for name in Paths.__dataclass_fields__))


def _chunks(weight: U64) -> Iterator[Index]:
    """Cut rows 0..n-1 into runs that weigh at most a chunk, or are a single row."""
    total = np.cumsum(weight)
    first, done = 0, 0
    while first < weight.size:
        end = int(np.searchsorted(total, np.uint64(done + CHUNK), side="right"))
        end = max(end, first + 1)
        yield np.arange(first, end)
        done = int(total[end - 1])
        first = end
