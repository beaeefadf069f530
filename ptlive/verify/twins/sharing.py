"""Subtrees that very many paths share: which of the paths are asked.

A table that a few paths reach is asked along all of them. One that more reach (KASAN's
shadow, a self-map) is asked along one whole path for each combination of rights, and,
along its first, its last and some random paths, at its edges: its first and last word.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from ptlive.paging.format import Kind

if TYPE_CHECKING:
    from ptlive.arrays import U64, Index
    from ptlive.paging.graph import Graph

#: So many leaves and holes are asked along every path, however they are shared.
WHOLE = 1 << 23
RANDOM_PATHS = 16
FEW = RANDOM_PATHS + 2
# The kind of an entry that leads to a table by a path that is left out.
_CUT = 254
_WORD = np.uint64(7)


def thin(graph: Graph) -> Graph:
    """Return the graph with one way only into each node that more than a few paths reach.

    Every leaf and hole is still in it; it has at most FEW times as many as are distinct.
    """
    floors = []
    kept = np.ones(0, dtype=np.uint64)
    for depth, floor in enumerate(graph.floors):
        paths = floor.nodes.paths if depth == 0 else kept
        kind = floor.kind.copy()
        down = np.flatnonzero(kind == Kind.TABLE)
        child, parent = floor.child[down], floor.node[down]
        if depth + 1 < len(graph.floors):
            below = graph.floors[depth + 1].nodes
            many = below.paths[child] > FEW
            # The first edge into each; edges are in order of their node, then of their index.
            first = np.zeros(down.size, dtype=np.bool_)
            first[np.unique(child, return_index=True)[1]] = True
            kind[down[many & ~first]] = _CUT
            stays = ~many | first
            kept = np.zeros(below.table.size, dtype=np.uint64)
            np.add.at(kept, child[stays], paths[parent[stays]])
        floors.append(
            dataclasses.replace(floor, kind=kind, nodes=floor.nodes._replace(paths=paths))
        )
    return dataclasses.replace(graph, floors=floors)


def edges(graph: Graph, random: np.random.Generator) -> U64:
    """Return the first and the last word of each much shared subtree, along several paths.

    uint64[m], multiples of 8. The paths are the first, the last and RANDOM_PATHS random
    ones, each of them as likely.
    """
    found = []
    extremes = _extremes(graph)
    for depth, floor in enumerate(graph.floors):
        many = np.flatnonzero(floor.nodes.paths > FEW)
        bases = [extreme[depth][many] for extreme in extremes]
        bases += [_random_base(graph, depth, many, random) for _ in range(RANDOM_PATHS)]
        for base in bases:
            found += [base + floor.nodes.first[many], (base + floor.nodes.last[many]) & ~_WORD]
    return np.unique(np.concatenate(found)) if found else np.zeros(0, dtype=np.uint64)


def _extremes(graph: Graph) -> tuple[list[U64], list[U64]]:
    """Return the lowest and the highest linear address at which each node's span begins."""
    both: tuple[list[U64], list[U64]] = ([], [])
    for bases, better, worst in zip(both, (np.minimum, np.maximum), (2**64 - 1, 0), strict=True):
        for depth, floor in enumerate(graph.floors):
            base = np.full(floor.nodes.table.size, worst, dtype=np.uint64)
            if depth == 0:
                better.at(base, graph.tops.node, graph.tops.base)
            else:
                above = graph.floors[depth - 1]
                into = np.flatnonzero(above.child >= 0)
                start = bases[depth - 1][above.node[into]] + above.offset(into)
                better.at(base, above.child[into], start)
            bases.append(base)
    return both


def _random_base(graph: Graph, depth: int, nodes: Index, random: np.random.Generator) -> U64:
    """Return where the spans of nodes begin along a random path to each."""
    base = np.zeros(nodes.size, dtype=np.uint64)
    for up in range(depth, 0, -1):
        above = graph.floors[up - 1]
        into = np.flatnonzero(above.child >= 0)
        into = into[np.argsort(above.child[into], kind="stable")]
        edge = into[_draw(above.child[into], above.nodes.paths[above.node[into]], nodes, random)]
        base += above.offset(edge)
        nodes = above.node[edge]
    tops = graph.tops
    order = np.argsort(tops.node, kind="stable")
    ones = np.ones(order.size, dtype=np.uint64)
    return base + tops.base[order[_draw(tops.node[order], ones, nodes, random)]]


def _draw(owner: Index, weight: U64, wanted: Index, random: np.random.Generator) -> Index:
    """Return for each wanted owner one of its rows; owner: ascending; weight: of each row."""
    total = np.zeros(owner.size + 1)
    np.cumsum(weight.astype(np.float64), out=total[1:])
    first = np.searchsorted(owner, wanted)
    end = np.searchsorted(owner, wanted, side="right")
    point = total[first] + random.random(wanted.size) * (total[end] - total[first])
    row = np.searchsorted(total, point, side="right") - 1
    chosen: Index = np.clip(row, first, end - 1)
    return chosen
