"""Where no region may go on: the tables on the paths to such addresses, as if not shared.

A table may be reached by other paths too, on which nothing is to be cut. So each table
on the way to a cut stands beside the nodes of its floor as one more of them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from ptlive.analysis.regions.rows import Cuts
from ptlive.paging.format import Kind

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ptlive.analysis.regions.fold import Edges
    from ptlive.arrays import U64, Index
    from ptlive.paging.graph import Floor, Graph


@dataclass(eq=False)
class Copies:
    """The nodes of one floor on the way to a cut, those that are shared as copies.

    of: which node each copy is of; copies are numbered behind the floor's own nodes
    cuts: (node or copy, offset into its span)
    below: (node or copy, edge) -> the copy on the floor below to which it refers
    """

    floor: Floor
    of: list[int] = field(default_factory=list)
    cuts: set[tuple[int, int]] = field(default_factory=set)
    below: dict[tuple[int, int], int] = field(default_factory=dict)

    def own(self, node: int) -> int:
        """Return a node that no other path leads to: itself, or a new copy."""
        if int(self.floor.nodes.paths[node]) == 1:
            return node
        self.of.append(node)
        return self.floor.nodes.table.size + len(self.of) - 1

    def node(self, number: int) -> int:
        """Return the node that has this number, or of which the copy is."""
        size = self.floor.nodes.table.size
        return number if number < size else self.of[number - size]

    def edges_of(self, kind: Kind) -> tuple[Index, Index]:
        """Return the edges of one kind that the copies have, and the number of each's copy."""
        floor = self.floor
        edges, owner = [np.zeros(0, dtype=np.intp)], [np.zeros(0, dtype=np.intp)]
        for copy, node in enumerate(self.of, start=floor.nodes.table.size):
            begin, end = floor.first_edge[node : node + 2].tolist()
            chosen = begin + np.flatnonzero(floor.kind[begin:end] == kind)
            edges.append(chosen)
            owner.append(np.full(chosen.size, copy))
        return np.concatenate(edges), np.concatenate(owner)

    def redirect(self, edges: Edges, edge: Index) -> Edges:
        """Let edges on the way to a cut refer to copies; edge: which of the floor's each is."""
        if not self.below:
            return edges
        child = edges.child.copy()
        for (owner, at), copy in self.below.items():
            child[(edges.owner == owner) & (edge == at)] = copy
        return edges._replace(child=child)


def copies_of(graph: Graph, cuts: U64 | None) -> tuple[list[Copies], Index, Cuts]:
    """Follow linear addresses down the paths that lead to them.

    Returns the copies of each floor, the node of each of the graph's tops (or its copy),
    and the cuts of the address spaces themselves.
    """
    found = [Copies(floor) for floor in graph.floors]
    tops = graph.tops
    node = tops.node.copy()
    wanted = sorted(set(cuts.tolist())) if cuts is not None and graph.floors else []
    for top in range(tops.node.size if wanted else 0):
        base, nodes, own = int(tops.base[top]), graph.floors[0].nodes, int(tops.node[top])
        first, last = int(nodes.first[own]), int(nodes.last[own])
        inside = [cut - base for cut in wanted if base + first < cut <= base + last]
        if inside:
            node[top] = found[0].own(own)
            for offset in inside:
                _follow(found, int(node[top]), offset)
    at_tops = [(space, cut) for space in np.unique(tops.space).tolist() for cut in wanted]
    return found, node, as_cuts(at_tops)


def _follow(found: list[Copies], number: int, offset: int) -> None:
    """Note an offset in a top's node or copy, and in those of the nodes below it."""
    for depth, here in enumerate(found):
        floor, node = here.floor, here.node(number)
        first, shift = int(floor.nodes.first[node]), int(floor.nodes.shift[node])
        if not first < offset <= int(floor.nodes.last[node]):
            return
        here.cuts.add((number, offset))
        index = (offset >> shift) - (first >> shift)
        edge = int(floor.edge_at(floor.start[node : node + 1] + index)[0])
        offset &= (1 << shift) - 1
        if edge < 0 or floor.kind[edge] != Kind.TABLE or not offset:
            return
        if (number, edge) not in here.below:
            here.below[number, edge] = found[depth + 1].own(int(floor.child[edge]))
        number = here.below[number, edge]


def as_cuts(found: Iterable[tuple[int, int]]) -> Cuts:
    """Return (node, offset) as columns."""
    unique = sorted(set(found))
    return Cuts(
        np.array([node for node, _ in unique], dtype=np.intp),
        np.array([offset for _, offset in unique], dtype=np.uint64),
    )
