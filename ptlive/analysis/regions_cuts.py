"""Where no region may go on, in terms of a walk's nodes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ptlive.analysis.regions_rows import NO_CUTS, Cuts
from ptlive.paging.format import Kind

if TYPE_CHECKING:
    from ptlive.arrays import U64
    from ptlive.paging.graph import Graph


def cuts_of(graph: Graph, cuts: U64 | None) -> tuple[list[Cuts], Cuts]:
    """Follow linear addresses down the paths that lead to them.

    Returns the cuts of each floor's nodes, and those of the address spaces themselves. A
    table on such a path may be reached by others too, and is cut there as well; neighbours
    are joined again in the tables above.
    """
    if cuts is None or not cuts.size:
        return [NO_CUTS] * len(graph.floors), NO_CUTS
    found: list[list[tuple[int, int]]] = [[] for _ in graph.floors]
    tops = graph.tops
    for cut in sorted(set(cuts.tolist())):
        for base, node in zip(tops.base.tolist(), tops.node.tolist(), strict=True):
            if cut > base:
                _follow(graph, node, cut - base, found)
    spaces = np.unique(tops.space).tolist()
    at_tops = [(space, cut) for space in spaces for cut in sorted(set(cuts.tolist()))]
    return [_as_cuts(each) for each in found], _as_cuts(at_tops)


def _follow(graph: Graph, node: int, offset: int, found: list[list[tuple[int, int]]]) -> None:
    """Note an offset in a top's node, and in those below it."""
    for floor, here in zip(graph.floors, found, strict=True):
        if not int(floor.nodes.first[node]) < offset <= int(floor.nodes.last[node]):
            return
        here.append((node, offset))
        shift = int(floor.nodes.shift[node])
        index = (offset >> shift) - (int(floor.nodes.first[node]) >> shift)
        edge = int(floor.edge_at(floor.start[node : node + 1] + index)[0])
        if edge < 0 or floor.kind[edge] != Kind.TABLE:
            return
        node, offset = int(floor.child[edge]), offset & ((1 << shift) - 1)


def _as_cuts(found: list[tuple[int, int]]) -> Cuts:
    unique = sorted(set(found))
    return Cuts(
        np.array([node for node, _ in unique], dtype=np.intp),
        np.array([offset for _, offset in unique], dtype=np.uint64),
    )
