"""Sums over a walk's graph: of what lies below its nodes, and of the paths that lead to them.

No path is followed: a node's sum is made once, however many paths reach it. Sums are exact
modulo 2**64.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from ptlive.arrays import U64, Bool, Index
    from ptlive.paging.graph import Floor, Graph


def running(floor: Floor, edges: Index | Bool, own: U64 | np.uint64, below: U64) -> U64:
    """Return what all edges of a floor before each one count together, uint64[k+1].

    edges: those that count by themselves, as `own` says, whatever they refer to
    below: what the nodes of the floor below count, see `of_nodes`; no floor: no numbers
    """
    total = np.zeros(floor.kind.size + 1, dtype=np.uint64)
    value = total[1:]
    value[floor.down] = below[floor.child[floor.down]]
    value[edges] = own
    # Wraps as a sum does, so that differences are right all the same.
    np.cumsum(value, out=value)
    return total


def of_nodes(floor: Floor, total: U64) -> U64:
    """Return what the edges of each node count, uint64[n]; total: see `running`."""
    return total[floor.first_edge[1:]] - total[floor.first_edge[:-1]]


def paths_from(graph: Graph, tops: Bool | Index) -> list[U64]:
    """Return by how many paths from some of its tops each floor's nodes are reached, uint64[n]."""
    found: list[U64] = []
    node = graph.tops.node[tops]
    for floor in graph.floors:
        paths = np.zeros(floor.nodes.table.size, dtype=np.uint64)
        if not found:
            np.add.at(paths, node, np.uint64(1))
        else:
            above, down = graph.floors[len(found) - 1], graph.floors[len(found) - 1].down
            np.add.at(paths, above.child[down], found[-1][above.node[down]])
        found.append(paths)
    return found
