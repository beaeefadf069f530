"""Walks of several roots in which what the roots have in common stands once.

All processes of a system map the same kernel: each root table has its own entries, and
these lead to the same tables. So leaves, regions and counts that are made of a folded walk
say "in all 12 roots" instead of the same twelve times.
"""

from __future__ import annotations

import copy
import dataclasses
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ptlive.arrays import changes
from ptlive.paging.graph import Graph, Rest, ranges
from ptlive.paging.nodes import Nodes, Tops
from ptlive.paging.sums import paths_from

if TYPE_CHECKING:
    from ptlive.arrays import U8, U64, Bool, Index
    from ptlive.paging.graph import Floor

_WORD = 64  # roots in one element of a set


@dataclasses.dataclass(frozen=True, eq=False)
class Folded:
    """A walk whose spaces are no roots but sets of them: what is alike in just these.

    graph: as `walk` makes it, without what is absent at the roots' own level; its column
    `space` is a row of `roots`
    roots: bool[sets, n], which of the n roots are in each set; the largest sets first
    """

    graph: Graph
    roots: Bool


class Tables(NamedTuple):
    """Tables of a walk by address, n rows: one for each level that a frame is used at.

    pa, lvl; va: the first of some addresses that the table translates; paths: how many
    ways lead to it; roots: bool[n, roots], which roots reach it
    """

    pa: U64
    lvl: U8
    va: U64
    paths: U64
    roots: Bool


def fold(graph: Graph) -> Folded:
    """Fold what the roots of a walk have in common at their own level.

    Two entries of root tables are alike if they stand at one index and lead to one node:
    the same table with the same rights. Their A bits, and what software keeps in them,
    may differ.
    """
    tops, count = graph.tops, _roots(graph)
    if not graph.floors or not tops.node.size:
        return Folded(graph, np.ones((1, count), dtype=np.bool_))
    floor = graph.floors[0]
    size = np.diff(floor.first_edge)[tops.node]
    edge = ranges(floor.first_edge[tops.node], size)
    top = np.repeat(np.arange(tops.node.size), size)
    child = np.asarray(floor.child)[edge]
    place = floor.entry_address(floor.position[edge], floor.node[edge])
    alone = np.where(child < 0, place, np.uint64(0))
    alike, first = groups(tops.number[top], tops.base[top], floor.index(edge), child, alone)
    words = _sets(first.size, count)
    _join(words, alike, _one_bit(tops.space, count)[top])
    which, sets = _distinct_sets(words)
    # One of those that are alike stands for them all.
    kept, top = edge[first], top[first]
    node, head = groups(which, tops.number[top], tops.base[top])
    heads = top[head]
    old = tops.node[heads]
    start = np.zeros(head.size + 1, dtype=np.intp)
    np.cumsum(np.diff(floor.start)[old], out=start[1:])
    position = start[node] + floor.position[kept] - floor.start[floor.node[kept]]
    order = np.argsort(position)
    kept = kept[order]
    folded = dataclasses.replace(
        floor,
        nodes=Nodes(*(column[old] for column in floor.nodes)),
        readable=np.ones(head.size, dtype=np.bool_),
        start=start,
        position=position[order],
        entry=floor.entry[kept],
        kind=floor.kind[kept],
        child=np.asarray(floor.child)[kept],
        rest=Rest(np.zeros(0, dtype=np.intp), np.zeros(0, dtype=np.uint64)),
    )
    alone_tops = Tops(which[head], tops.number[heads], tops.base[heads], np.arange(head.size))
    whole = Graph(graph.fmt, alone_tops, [folded, *graph.floors[1:]])
    return Folded(_recounted(whole), _as_bool(sets, count))


def part(graph: Graph, tops: Index) -> Graph:
    """Return the part of a walk that begins at some of its tops.

    What only others lead to stays, and is reached by no path.
    """
    old = graph.tops
    chosen = Tops(old.space[tops], old.number[tops], old.base[tops], old.node[tops])
    return _recounted(dataclasses.replace(graph, tops=chosen))


def tables(graph: Graph) -> Tables:
    """Return the tables that a walk reached, with the roots that reach them."""
    count = _roots(graph)
    parts = []
    if graph.floors:
        members = _sets(graph.floors[0].nodes.table.size, count)
        _join(members, graph.tops.node, _one_bit(graph.tops.space, count))
        base = _bases(graph)
    for depth, floor in enumerate(graph.floors):
        if depth:
            members = _handed_down(graph.floors[depth - 1], members, floor.nodes.table.size)
        some = np.flatnonzero(floor.readable)
        which, first = groups(floor.nodes.table[some])
        roots = _sets(first.size, count)
        _join(roots, which, members[some])
        paths = np.zeros(first.size, dtype=np.uint64)
        np.add.at(paths, which, floor.nodes.paths[some])
        chosen = some[first]
        lvl = np.full(first.size, floor.lvl, dtype=np.uint8)
        parts.append((floor.nodes.table[chosen], lvl, base[depth][chosen], paths, roots))
    if not parts:
        none = np.zeros(0, dtype=np.uint64)
        return Tables(none, none.astype(np.uint8), none, none, np.zeros((0, count), np.bool_))
    pa, lvl, va, paths, words = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    order = np.lexsort((lvl, pa))
    return Tables(pa[order], lvl[order], va[order], paths[order], _as_bool(words[order], count))


def _roots(graph: Graph) -> int:
    return int(graph.tops.space.max(initial=-1)) + 1


def _bases(graph: Graph) -> list[U64]:
    """Return for each floor's nodes where the first address begins that one way leads to."""
    floor = graph.floors[0]
    base = np.zeros(floor.nodes.table.size, dtype=np.uint64)
    base[graph.tops.node[::-1]] = graph.tops.base[::-1]
    result = [base]
    for above, floor in zip(graph.floors, graph.floors[1:], strict=False):
        down = above.down[::-1]  # so that the first edge to a node is what stays
        base = np.zeros(floor.nodes.table.size, dtype=np.uint64)
        base[above.child[down]] = result[-1][above.node[down]] + above.offset(down)
        result.append(base)
    return result


def _handed_down(above: Floor, members: U64, nodes: int) -> U64:
    """Return the sets of the nodes below, of those that the nodes above belong to."""
    down = above.down
    below = np.zeros((nodes, members.shape[1]), dtype=np.uint64)
    _join(below, above.child[down], members[above.node[down]])
    return below


def _recounted(graph: Graph) -> Graph:
    """Return the graph with the paths that reach each node counted anew, from all its tops."""
    floors = []
    every = np.arange(graph.tops.node.size)
    for floor, paths in zip(graph.floors, paths_from(graph, every), strict=True):
        again = copy.copy(floor)  # with all that was computed of it, which stays as it is
        again.nodes = floor.nodes._replace(paths=paths)
        floors.append(again)
    return dataclasses.replace(graph, floors=floors)


def groups(*columns: Index | U64) -> tuple[Index, Index]:
    """Return each row's number among the distinct ones, and the first row of each number.

    Numbers ascend by the columns, the first of them before the second.
    """
    order = np.lexsort(columns[::-1])
    new = changes(*(column[order] for column in columns))
    number = np.empty(order.size, dtype=np.intp)
    number[order] = np.cumsum(new) - 1
    return number, order[new]


def _sets(rows: int, count: int) -> U64:
    """Return empty sets of some of `count` roots."""
    return np.zeros((rows, -(-count // _WORD)), dtype=np.uint64)


def _one_bit(space: Index, count: int) -> U64:
    """Return the sets that hold one root each."""
    sets = _sets(space.size, count)
    bit = np.uint64(1) << (space % _WORD).astype(np.uint64)
    sets[np.arange(space.size), space // _WORD] = bit
    return sets


def _join(sets: U64, row: Index, more: U64) -> None:
    """Add to the set in each of these rows what the one beside it holds."""
    for word in range(sets.shape[1]):
        np.bitwise_or.at(sets[:, word], row, more[:, word])


def _distinct_sets(sets: U64) -> tuple[Index, U64]:
    """Return which of the distinct sets each one is, and these, the largest first."""
    which, first = groups(*sets.T)
    distinct = sets[first]
    size = _as_bool(distinct, sets.shape[1] * _WORD).sum(axis=1)
    order = np.argsort(-size, kind="stable")
    rank = np.empty(order.size, dtype=np.intp)
    rank[order] = np.arange(order.size)
    return rank[which], distinct[order]


def _as_bool(sets: U64, count: int) -> Bool:
    """Return sets as bool[n, count]."""
    octets = np.ascontiguousarray(sets).astype("<u8").view(np.uint8)
    bits = np.unpackbits(octets.reshape(len(sets), sets.shape[1] * 8), axis=1, bitorder="little")
    return bits[:, :count].astype(np.bool_)
