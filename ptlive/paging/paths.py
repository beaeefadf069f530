"""Leaves and holes with their addresses, made from a walk's graph on demand.

Expanding paths is vectorised, a floor at a time, over pieces of the graph that
hold at most a chunk of what is wanted; how much each node holds is counted
first, from the bottom up. So a million leaves cost a few passes over arrays,
and a graph in which addresses reach 2**45 leaves yields its first chunk at once.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ptlive.paging.entries import PathEntries, Ways
from ptlive.paging.format import Kind
from ptlive.paging.graph import HOLES, ranges

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from ptlive.arrays import U8, U64, Index
    from ptlive.paging.graph import Floor, Graph

CHUNK = 1 << 18
# Runs of this length on average are copied as such, shorter ones row by row.
_LONG = 32


class Paths:
    """Entries with the addresses that they translate, or fail to: n rows, in columns.

    space: which of the walk's roots; va: the first address; bits: log2 of the bytes that
    the entry spans; lvl, kind, entry, entry_pa, rights (folded, with the entry's own);
    pa: what a leaf maps at `va`, 0 for a hole; top: in which of the graph's tops the path
    began. A column is made when it is first asked for; some are views, and none is to be
    written.
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
    top: Index

    def __init__(self, size: int, make: Callable[[str], Any]) -> None:
        """Make n rows; make: returns a column by its name."""
        self._size = size
        self._make = make

    def __len__(self) -> int:
        return self._size

    def __getattr__(self, name: str) -> Any:
        if name not in Paths.__annotations__:
            raise AttributeError(name)
        column = self._make(name)
        setattr(self, name, column)
        return column

    def column(self, name: str) -> Any:
        """Return a column without keeping it."""
        column = vars(self).get(name)
        return self._make(name) if column is None else column

    @property
    def last_va(self) -> U64:
        """The last address that each entry spans, uint64[n]."""
        last_va: U64 = self.va + ((np.uint64(1) << self.bits.astype(np.uint64)) - np.uint64(1))
        return last_va

    def take(self, rows: Index) -> Paths:
        """Return these rows."""
        return Paths(rows.size, lambda name: getattr(self, name)[rows])

    @staticmethod
    def concatenate(parts: Sequence[Paths]) -> Paths:
        """Join several, at least one."""
        size = sum(map(len, parts))
        return Paths(size, lambda name: np.concatenate([part.column(name) for part in parts]))


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
            ways = Ways(tops.node, tops.base, np.arange(tops.node.size))
            yield from self._nodes(0, ways, self.weight[tops.node])

    def _nodes(self, depth: int, ways: Ways, weight: U64) -> Iterator[Paths]:
        """Yield what lies behind nodes that lead to so many wanted entries each."""
        for part in _chunks(weight):
            some = ways.take(part)
            if not weight[part].any():
                continue
            if weight[part].sum() <= CHUNK:
                yield _in_order(self._behind(depth, some))
            else:
                yield from self._one(depth, some)

    def _one(self, depth: int, way: Ways) -> Iterator[Paths]:
        """Yield what lies behind a single node that leads to more than a chunk."""
        down = self.downs[depth]
        own = self._own(depth, way)
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
                yield _in_order([own.take(found), *behind])

    def _behind(self, depth: int, ways: Ways) -> list[Paths]:
        """Return all that lies behind nodes, floor by floor."""
        parts = [self._own(depth, ways)] if self.owns[depth] else []
        down = self.downs[depth]
        count = down.start[ways.node + 1] - down.start[ways.node]
        if count.any():
            owner = np.repeat(np.arange(count.size), count)
            below = self._follow(depth, ranges(down.start[ways.node], count), owner, ways)
            parts += self._behind(depth + 1, below)
        return parts

    def _follow(self, depth: int, rows: Index, owner: Index, ways: Ways) -> Ways:
        """Return the ways on by edges to tables; owner: which way each edge continues."""
        down, floor = self.downs[depth], self.graph.floors[depth]
        base = ways.base[owner] + floor.offset(down.edge[rows])
        return Ways(down.child[rows], base, ways.top[owner])

    def _own(self, depth: int, ways: Ways) -> Paths:
        """Return the wanted entries of nodes as paths."""
        floor = self.graph.floors[depth]
        entries = PathEntries(self.graph, floor, ways, self.wanted)
        paths = Paths(len(entries), partial(getattr, entries))
        if floor.fmt.level(floor.lvl).leaf_bits:
            # An entry may lie inside of a group that it does not belong to.
            return paths.take(np.lexsort((paths.va, paths.top)))
        return paths


def _down(floor: Floor, behind: U64) -> _Down:
    """Return a floor's edges to tables; behind: what nodes of the floor below lead to."""
    edge = np.flatnonzero(floor.kind == Kind.TABLE)
    child = floor.child[edge]
    weight = behind[child] if edge.size else np.zeros(0, dtype=np.uint64)
    some = weight > 0
    if not some.all():
        edge, child, weight = edge[some], child[some], weight[some]
    return _Down(edge, child, weight, np.searchsorted(edge, floor.first_edge))


def _in_order(parts: list[Paths]) -> Paths:
    """Join what lies on several floors, by where its paths began and by address."""
    found = sorted((part for part in parts if len(part)), key=len)
    if len(found) == 1:
        return found[0]
    *shorter, longest = found
    rest = _in_order(shorter)
    top = longest.top[0]
    if (longest.top == top).all() and (rest.top == top).all():
        where = np.searchsorted(longest.va, rest.va)
        if np.count_nonzero(np.diff(where)) < len(longest) // _LONG:
            return _spliced(longest, rest, where)
    both = Paths.concatenate([longest, rest])
    return both.take(np.lexsort((both.va, both.top)))


def _spliced(longest: Paths, rest: Paths, where: Index) -> Paths:
    """Insert a few runs of rows before those rows of the longest; where: ascending."""
    begin = np.flatnonzero(np.diff(where, prepend=-1))
    ends = np.append(begin[1:], len(rest)).tolist()
    cuts = where[begin].tolist()

    def make(name: str) -> Any:
        most, some = longest.column(name), rest.column(name)
        pieces, done = [], 0
        for cut, first, end in zip(cuts, begin.tolist(), ends, strict=True):
            pieces += [most[done:cut], some[first:end]]
            done = cut
        return np.concatenate([*pieces, most[done:]])

    return Paths(len(longest) + len(rest), make)


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
