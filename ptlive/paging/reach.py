"""From a table back to the addresses whose translation goes through it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ptlive.paging.graph import Graph


def spans_of(graph: Graph, table: int) -> Iterator[tuple[int, int, int]]:
    """Yield (level, va, last_va) for each path by which a walk reached a table.

    The range is what the whole table spans there. Lazy: a table may be reached
    by more paths than anyone can list.
    """
    for depth, floor in enumerate(graph.floors):
        for node in np.flatnonzero(floor.nodes.table == np.uint64(table)).tolist():
            span = 1 << int(floor.nodes.shift[node] + floor.nodes.bits[node])
            for base in _bases(graph, depth, node):
                yield floor.lvl, base, base + span - 1


def _bases(graph: Graph, depth: int, node: int) -> Iterator[int]:
    """Yield the first linear address that a node spans, for each path to it."""
    if depth == 0:
        tops = graph.tops
        yield from dict.fromkeys(tops.base[tops.node == node].tolist())
        return
    above = graph.floors[depth - 1]
    edges = np.flatnonzero(above.child == node)
    parents, offsets = above.node[edges].tolist(), above.offset(edges).tolist()
    for parent, offset in zip(parents, offsets, strict=True):
        for base in _bases(graph, depth - 1, parent):
            yield (base + offset) % (1 << 64)
