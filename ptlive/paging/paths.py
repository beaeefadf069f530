"""Leaves and holes with their addresses, made from a walk's graph on demand.

Expanding paths is vectorised, a floor at a time, over pieces of the graph that
hold at most a chunk of what is wanted; how much each node holds is counted
first, from the bottom up. So a million leaves cost a few passes over arrays,
and a graph in which addresses reach 2**45 leaves yields its first chunk at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ptlive.paging.format import Kind
from ptlive.paging.graph import HOLES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ptlive.arrays import U8, U64, Index
    from ptlive.paging.graph import Floor, Graph

CHUNK = 1 << 18


@dataclass(frozen=True, eq=False)
class Paths:
    """Entries with the addresses that they translate, or fail to; all of length n.

    space: which of the walk's roots; va, last_va: the range that the entry
    spans, ends included; lvl, kind, entry, entry_pa, rights (folded, with the
    entry's own); pa: what a leaf maps at `va`, 0 for a hole.
    """

    space: Index
    va: U64
    last_va: U64
    lvl: U8
    kind: U8
    entry: U64
    entry_pa: U64
    rights: U64
    pa: U64

    def __len__(self) -> int:
        return self.va.size

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


@dataclass(frozen=True, eq=False)
class _Edges:
    """A floor's entries that matter here: those wanted, and those with some behind them."""

    position: Index
    node: Index
    edge: Index  # the floor's edge, -1 for an entry that is not present
    child: Index  # the node of the floor below, -1 for a wanted entry
    weight: U64  # how many wanted entries this one is or leads to
    start: Index  # intp[n+1]: where each node's begin

    def of(self, nodes: Index) -> tuple[Index, Index]:
        """Return all rows of these nodes, and how many each has."""
        count = self.start[nodes + 1] - self.start[nodes]
        first = self.start[nodes] - np.cumsum(count) + count
        return np.repeat(first, count) + np.arange(count.sum()), count


class _Expansion:
    """The expansion of a graph's paths to the entries of the wanted kinds."""

    def __init__(self, graph: Graph, wanted: tuple[Kind, ...]) -> None:
        self.graph = graph
        self.edges: list[_Edges] = []
        self.weight = np.zeros(0, dtype=np.uint64)  # of the nodes, at last of the top floor's
        for floor in reversed(graph.floors):
            edges = _edges(floor, wanted, self.weight)
            self.edges.insert(0, edges)
            total = np.zeros(edges.weight.size + 1, dtype=np.uint64)
            np.cumsum(edges.weight, out=total[1:])
            self.weight = total[edges.start[1:]] - total[edges.start[:-1]]

    def run(self) -> Iterator[Paths]:
        """Yield all paths, a chunk at a time."""
        tops = self.graph.tops
        for top in _chunks(self.weight[tops.node]):
            yield from self._nodes(0, tops.node[top], tops.base[top], top)

    def _nodes(self, depth: int, node: Index, base: U64, top: Index) -> Iterator[Paths]:
        """Yield what lies behind nodes: together at most a chunk, or else a single one."""
        rows, count = self.edges[depth].of(node)
        base, top = np.repeat(base, count), np.repeat(top, count)
        for part in _chunks(self.edges[depth].weight[rows]):
            heavy = rows[part[:1]]
            if self.edges[depth].weight[heavy].sum() <= CHUNK:
                yield self._expand(depth, rows[part], base[part], top[part])
            else:
                va = self._va(depth, heavy, base[part])
                yield from self._nodes(depth + 1, self.edges[depth].child[heavy], va, top[part])

    def _expand(self, depth: int, rows: Index, base: U64, top: Index) -> Paths:
        """Return all that lies behind these rows, a floor at a time."""
        parts, tops = [], []
        while rows.size:
            va, child = self._va(depth, rows, base), self.edges[depth].child[rows]
            found = child < 0
            parts.append(self._paths(depth, rows[found], va[found], top[found]))
            tops.append(top[found])
            down = ~found
            depth += 1
            if not down.any():
                break
            rows, count = self.edges[depth].of(child[down])
            base, top = np.repeat(va[down], count), np.repeat(top[down], count)
        paths = Paths.concatenate(parts)
        return paths.take(np.lexsort((paths.va, np.concatenate(tops))))

    def _va(self, depth: int, rows: Index, base: U64) -> U64:
        """Return the first linear address of rows whose tables' spans begin at `base`."""
        edges, floor = self.edges[depth], self.graph.floors[depth]
        node = edges.node[rows]
        index = floor.index_at(edges.position[rows], node)
        va: U64 = base + (index << floor.nodes.shift[node])
        return va

    def _paths(self, depth: int, rows: Index, va: U64, top: Index) -> Paths:
        """Return wanted rows as paths."""
        edges, floor = self.edges[depth], self.graph.floors[depth]
        position, node, edge = edges.position[rows], edges.node[rows], edges.edge[rows]
        entry = floor.entries[position]
        bits = floor.nodes.shift[node]
        kind = np.full(rows.size, Kind.ABSENT, dtype=np.uint8)
        folded = floor.nodes.rights[node]
        pa = np.zeros(rows.size, dtype=np.uint64)
        present = np.flatnonzero(edge >= 0)
        kind[present], folded[present] = floor.kind[edge[present]], floor.rights[edge[present]]
        leaf = np.flatnonzero(kind == Kind.LEAF)
        bits[leaf] = floor.leaf_bits(edge[leaf])
        pa[leaf] = floor.fmt.level(floor.lvl).leaf_address(entry[leaf])
        # A leaf of several entries begins at the first of them, in range or not.
        last = (np.uint64(1) << bits) - np.uint64(1)
        va = va & ~last
        return Paths(
            space=self.graph.tops.space[top],
            va=va,
            last_va=va + last,
            lvl=np.full(rows.size, floor.lvl, dtype=np.uint8),
            kind=kind,
            entry=entry,
            entry_pa=floor.entry_address(position, node),
            rights=folded,
            pa=pa,
        )


def _edges(floor: Floor, wanted: tuple[Kind, ...], behind: U64) -> _Edges:
    """Choose a floor's entries; behind: how much lies behind each node of the floor below."""
    weight = np.isin(floor.kind, wanted).astype(np.uint64)
    down = np.flatnonzero(floor.kind == Kind.TABLE)
    weight[down] = behind[floor.child[down]]
    edge = np.flatnonzero(weight)
    position, child, weight = floor.position[edge], floor.child[edge], weight[edge]
    # An unreadable table has a node, but nothing behind it.
    child = np.where(floor.kind[edge] == Kind.TABLE, child, -1)
    node = floor.node[edge]
    if Kind.ABSENT in wanted:
        absent = floor.absent
        order = np.argsort(np.concatenate([position, absent]))
        none = np.full(absent.size, -1, dtype=np.intp)
        one = np.ones(absent.size, dtype=np.uint64)
        position = np.concatenate([position, absent])[order]
        node = np.concatenate([node, floor.owner(absent)])[order]
        edge = np.concatenate([edge, none])[order]
        child = np.concatenate([child, none])[order]
        weight = np.concatenate([weight, one])[order]
    start = np.searchsorted(node, np.arange(floor.start.size))
    return _Edges(position, node, edge, child, weight, start)


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
