"""Nodes: tables together with all that the meaning of their entries depends on."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ptlive.paging import rights

if TYPE_CHECKING:
    from ptlive.arrays import U64, Index
    from ptlive.paging.format import Format


class Nodes(NamedTuple):
    """Distinct nodes of one level; all columns uint64[n].

    table: physical address of the table
    rights: folded rights above it (see `rights`)
    first, last: the clip, as offsets in bytes into what the table spans
    shift, bits: lowest address bit and width of its index
    paths: by how many paths it is reached; the only column that is no key
    """

    table: U64
    rights: U64
    first: U64
    last: U64
    shift: U64
    bits: U64
    paths: U64


class Tops(NamedTuple):
    """Where the walk began: one row for each root and piece of a range in a window.

    space, number: which root and which range; base: linear address of the first
    byte that the root table spans; node: which node of the top floor.
    """

    space: Index
    number: Index
    base: U64
    node: Index


def plan(fmt: Format, roots: U64, ranges: tuple[U64, U64] | None) -> tuple[Tops, Nodes]:
    """Cut the ranges to the format's windows; return where each piece enters its root.

    Pieces are ordered by root, then by range, then by address.
    """
    roots = np.asarray(roots, dtype=np.uint64).reshape(-1, fmt.roots)
    in_order = sorted((w.va, w.last_va, w.root) for w in fmt.windows)
    windows = np.array(in_order, dtype=np.uint64).T
    wanted = windows[:2] if ranges is None else np.asarray(ranges, dtype=np.uint64)
    va = np.maximum(wanted[0][:, None], windows[0])
    last_va = np.minimum(wanted[1][:, None], windows[1])
    touching = va <= last_va
    number, window = np.nonzero(touching)
    space = np.repeat(np.arange(len(roots)), number.size)
    number, window, va, last_va = (
        np.tile(column, len(roots)) for column in (number, window, va[touching], last_va[touching])
    )

    level = fmt.level(fmt.top)
    span = np.uint64((1 << level.span_bits) - 1)
    same = np.ones(space.size, dtype=np.uint64)
    nodes, node = distinct(
        Nodes(
            table=roots[space, windows[2].astype(np.intp)[window]],
            rights=same * np.uint64(rights.unrestricted(fmt)),
            first=va & span,
            last=last_va & span,
            shift=same * np.uint64(level.shift),
            bits=same * np.uint64(level.index_bits),
            paths=same,
        )
    )
    return Tops(space, number, va & ~span, node), nodes


def distinct(nodes: Nodes) -> tuple[Nodes, Index]:
    """Merge equal nodes, adding up their paths; return them and which one each became.

    They stay in the order in which they come first, as far as those of one table stand
    side by side, and those of one size: so nodes of a tree are in the order of addresses.
    """
    by_table = np.sort(nodes.table)
    if (by_table[1:] != by_table[:-1]).all() and (nodes.bits == nodes.bits[:1]).all():
        return nodes, np.arange(by_table.size)  # as in a tree
    # A column that never differs cannot tell nodes apart. The table sorts first.
    keys = [column for column in nodes[:-1] if (column != column[:1]).any()]
    order = np.lexsort(keys[::-1]) if keys else np.arange(nodes.table.size)
    new = np.zeros(order.size, dtype=np.bool_)
    new[:1] = True
    for column in keys:
        new[1:] |= column[order[1:]] != column[order[:-1]]
    first = np.flatnonzero(new)
    chosen = order[first]
    merged = Nodes(*(column[chosen] for column in nodes))
    if first.size < order.size:
        merged = merged._replace(paths=np.add.reduceat(nodes.paths[order], first))
    ranked = _by_appearance(merged, chosen)
    rank = np.empty(ranked.size, dtype=np.intp)
    rank[ranked] = np.arange(ranked.size)
    where = np.empty(order.size, dtype=np.intp)
    where[order] = rank[np.cumsum(new) - 1]
    return Nodes(*(column[ranked] for column in merged)), where


def _by_appearance(nodes: Nodes, appears: Index) -> Index:
    """Order nodes, sorted by table, by size, then by where their table first appears."""
    if not appears.size:
        return appears
    new = np.ones(appears.size, dtype=np.bool_)
    new[1:] = nodes.table[1:] != nodes.table[:-1]
    begin = np.flatnonzero(new)
    earliest = np.minimum.reduceat(appears, begin)
    table = np.repeat(earliest, np.diff(np.append(begin, appears.size)))
    return np.lexsort((appears, table, nodes.bits))
