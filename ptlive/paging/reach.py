"""From tables and entries back to the addresses whose translation goes through them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ptlive.arrays import U64, Bool
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


def spans_through(graph: Graph, entry_pa: int) -> Iterator[tuple[int, int, int]]:
    """Yield (level, va, last_va) for each path by which a walk reached an entry.

    The range is what the entry spans there. Lazy, as `spans_of`.
    """
    for depth, floor in enumerate(graph.floors):
        first, last = floor.addresses()
        size = floor.fmt.level(floor.lvl).entry_size
        here = floor.readable & (first <= np.uint64(entry_pa)) & (np.uint64(entry_pa) <= last)
        for node in np.flatnonzero(here).tolist():
            index = (entry_pa - int(floor.nodes.table[node])) // size
            span = 1 << int(floor.nodes.shift[node])
            for base in _bases(graph, depth, node):
                va = (base + index * span) % (1 << 64)
                yield floor.lvl, va, va + span - 1


def reached(graph: Graph, entry_pa: U64) -> Bool:
    """Tell which of the entries at these physical addresses a walk reached in its range."""
    found = np.zeros(entry_pa.size, dtype=np.bool_)
    for floor in graph.floors:
        first, last = (np.sort(ends[floor.readable]) for ends in floor.addresses())
        # More nodes begin at or below the entry than end below it.
        found |= np.searchsorted(first, entry_pa, "right") > np.searchsorted(last, entry_pa)
    return found


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
