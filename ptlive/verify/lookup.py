"""What a walk found at single addresses, looked up in its graph without walking again.

An address that the graph knows nothing of, neither a leaf nor a hole, comes out as
one that nothing translates. For a canonical address that is a wrong prediction, so a
region that the walk forgot shows as soon as an address in it is asked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ptlive.paging.format import Kind
from ptlive.paging.translate import NOT_TRANSLATED, Steps, Translations

if TYPE_CHECKING:
    from ptlive.arrays import U64, Index
    from ptlive.paging.graph import Floor, Graph
    from ptlive.paging.nodes import Tops


def lookup(graph: Graph, va: U64) -> Translations:
    """Return what the graph says of these linear addresses, uint64[n]."""
    n = va.size
    result = Translations(
        fmt=graph.fmt,
        va=va,
        kind=np.full(n, NOT_TRANSLATED, dtype=np.uint8),
        lvl=np.zeros(n, dtype=np.uint8),
        entry=np.zeros(n, dtype=np.uint64),
        entry_pa=np.zeros(n, dtype=np.uint64),
        rights=np.zeros(n, dtype=np.uint64),
        pa=np.zeros(n, dtype=np.uint64),
        page_bits=np.zeros(n, dtype=np.uint8),
        steps=[],
    )
    if not graph.floors:
        return result
    row, node = _enter(graph.tops, graph.floors[0], va)
    for floor in graph.floors:
        if not row.size:
            break
        steps, edge, leads = _step(floor, va, row, node)
        result.steps.append(steps)
        _settle(result, floor, steps, edge)
        down = np.flatnonzero(leads)
        row, node = steps.row[down], floor.child[edge[down]]
    return result


def used_entries(graph: Graph, va: U64) -> U64:
    """Return the physical addresses of all entries on the paths of these addresses, ascending."""
    # Those above the leaf are few: the same for neighbours.
    found = [np.zeros(0, dtype=np.uint64)]
    for step in lookup(graph, distinct(va)).steps:
        changes = np.ones(step.entry_pa.size, dtype=np.bool_)
        changes[1:] = step.entry_pa[1:] != step.entry_pa[:-1]
        found.append(step.entry_pa[changes])
    return distinct(np.concatenate(found))


def distinct(values: U64) -> U64:
    """Return distinct values, ascending. For millions, sorting is faster than np.unique."""
    ascending = np.sort(values)
    new = np.ones(ascending.size, dtype=np.bool_)
    new[1:] = ascending[1:] != ascending[:-1]
    found: U64 = ascending[new]
    return found


def _enter(tops: Tops, floor: Floor, va: U64) -> tuple[Index, Index]:
    """Return which addresses some range of the walk contains, and the node each enters."""
    first = tops.base + floor.nodes.first[tops.node]
    last = tops.base + floor.nodes.last[tops.node]
    order = np.argsort(first, kind="stable")
    # Ranges may overlap: of those that begin before an address, the one that ends last.
    furthest = np.maximum.accumulate(last[order])
    holder = np.maximum.accumulate(np.where(last[order] == furthest, np.arange(order.size), 0))
    at = np.searchsorted(first[order], va, side="right") - 1
    top = order[holder[np.maximum(at, 0)]]
    row = np.flatnonzero((at >= 0) & (first[top] <= va) & (va <= last[top]))
    return row, tops.node[top[row]]


def _step(floor: Floor, va: U64, row: Index, node: Index) -> tuple[Steps, Index, Index]:
    """Return the steps through nodes of one floor, their edges (-1: none), which lead down."""
    nodes = floor.nodes
    shift = nodes.shift[node]
    inside = (np.uint64(1) << nodes.bits[node]) - np.uint64(1)
    index = va[row] >> shift & inside
    at = index - (nodes.first[node] >> shift)
    known = at < (floor.start[node + 1] - floor.start[node]).astype(np.uint64)
    row, node, index, at = row[known], node[known], index[known], at[known]
    position = floor.start[node] + at.astype(np.intp)
    entry = floor.entries[position]
    edge = np.full(row.size, -1, dtype=np.intp)
    if floor.position.size:
        found = np.minimum(np.searchsorted(floor.position, position), floor.position.size - 1)
        edge = np.where(floor.position[found] == position, found, -1)
    has = np.flatnonzero(edge >= 0)
    # What is present must be an edge; if it is none, the walk has forgotten it.
    kind = np.where(floor.fmt.present(entry), NOT_TRANSLATED, Kind.ABSENT).astype(np.uint8)
    rights = nodes.rights[node]
    kind[has], rights[has] = floor.kind[edge[has]], floor.rights[edge[has]]
    table = nodes.table[node]
    entry_pa = table + index * np.uint64(floor.fmt.level(floor.lvl).entry_size)
    steps = Steps(floor.lvl, row, table, index, entry_pa, entry, kind, rights)
    return steps, edge, kind == Kind.TABLE


def _settle(result: Translations, floor: Floor, steps: Steps, edge: Index) -> None:
    """Write down where paths end."""
    ends = np.flatnonzero((steps.kind != Kind.TABLE) & (steps.kind != NOT_TRANSLATED))
    row = steps.row[ends]
    result.kind[row], result.lvl[row] = steps.kind[ends], steps.lvl
    result.entry[row], result.entry_pa[row] = steps.entry[ends], steps.entry_pa[ends]
    result.rights[row] = steps.rights[ends]
    leaf = np.flatnonzero(steps.kind == Kind.LEAF)
    row, edge = steps.row[leaf], edge[leaf]
    bits = floor.leaf_bits(edge)
    offset = result.va[row] & ((np.uint64(1) << bits) - np.uint64(1))
    result.pa[row] = floor.fmt.level(floor.lvl).leaf_address(floor.entry[edge]) | offset
    result.page_bits[row] = bits.astype(np.uint8)
