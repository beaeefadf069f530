"""The entries of one level's tables: read in one batch, and classified."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ptlive.paging import rights
from ptlive.paging.format import Kind
from ptlive.paging.graph import Floor

if TYPE_CHECKING:
    from ptlive.arrays import U8, U64, Bool, Index, Memory
    from ptlive.paging.format import Format, Level
    from ptlive.paging.nodes import Nodes
    from ptlive.paging.walk import PtPtr


def decode(fmt: Format, tables: PtPtr, memory: Memory, nodes: Nodes) -> Floor:
    """Read tables of one level, each node's own, and classify their entries in range."""
    lvl = tables.lvl
    level = fmt.level(lvl)
    entries, start, readable = _load(level, memory, tables.ptr, nodes)
    position = np.flatnonzero(fmt.present(entries))
    node = _owner(position, start)
    entry = entries[position]
    leaf = level.leaf(entry)
    # At the last level there is no table to refer to.
    kind = np.where(leaf, Kind.LEAF, Kind.TABLE if lvl > 1 else Kind.MALFORMED).astype(np.uint8)
    kind[level.malformed(entry, leaf)] = Kind.MALFORMED
    if level.table_bits:
        bits = level.table_bits(entry)
        oversized = (bits == 0) | (bits > nodes.shift[node])
        kind[oversized & (kind == Kind.TABLE)] = Kind.MALFORMED
    folded = rights.fold(fmt, nodes.rights[node], entry)
    if level.leaf_bits:
        oversized = level.leaf_bits(entry) > (nodes.shift + nodes.bits)[node]
        kind[oversized & (kind == Kind.LEAF)] = Kind.MALFORMED
        kept = _first_of_groups(level, nodes, start, position, node, entry, kind, folded)
        position, node, entry = position[kept], node[kept], entry[kept]
        kind, folded = kind[kept], folded[kept]
    return Floor(
        fmt=fmt,
        lvl=lvl,
        nodes=nodes,
        readable=readable,
        entries=entries,
        start=start,
        position=position,
        node=node,
        entry=entry,
        kind=kind,
        rights=folded,
        child=np.full(position.size, -1, dtype=np.intp),
    )


def _load(level: Level, memory: Memory, ptr: U64, nodes: Nodes) -> tuple[U64, Index, Bool]:
    """Read each distinct table once.

    Returns the entries in range, uint64[m], one node after the other; where
    each node's begin, intp[n+1]; and which nodes' tables could be read.
    """
    base = np.zeros(nodes.table.size, dtype=np.intp)
    readable = np.zeros(nodes.table.size, dtype=np.bool_)
    blocks: list[U64] = []
    size = 0
    for bits in np.unique(nodes.bits).tolist():
        members = np.flatnonzero(nodes.bits == bits)
        tables, row = np.unique(ptr[members], return_inverse=True)
        data, valid = memory.read(tables, level.entry_size << bits)
        blocks.append(data.reshape(-1).view(level.entry).astype(np.uint64, copy=False))
        base[members] = size + (row.astype(np.intp) << bits)
        readable[members] = valid[row]
        size += blocks[-1].size
    flat = blocks[0] if len(blocks) == 1 else np.concatenate(blocks)

    base += (nodes.first >> nodes.shift).astype(np.intp)
    count = np.where(readable, (nodes.last >> nodes.shift) - (nodes.first >> nodes.shift) + 1, 0)
    start = np.zeros(nodes.table.size + 1, dtype=np.intp)
    np.cumsum(count.astype(np.intp), out=start[1:])
    if start[-1] == flat.size and (base == start[:-1]).all():
        return flat, start, readable  # every table whole and in order: nothing to gather
    gathered = np.repeat(base - start[:-1], np.diff(start)) + np.arange(start[-1])
    return flat[gathered], start, readable


def _owner(position: Index, start: Index) -> Index:
    """Return for each position, in ascending order, which node's slice holds it."""
    edges = np.searchsorted(position, start)
    return np.repeat(np.arange(start.size - 1), np.diff(edges))


def _first_of_groups(
    level: Level,
    nodes: Nodes,
    start: Index,
    position: Index,
    node: Index,
    entry: U64,
    kind: U8,
    folded: U64,
) -> Index:
    """Keep one edge of each group of neighbouring entries that make one leaf.

    Where those of a group disagree in what they map or grant, none is dropped.
    """
    assert level.leaf_bits is not None
    shift = nodes.shift[node]
    index = (position - start[node]).astype(np.uint64) + (nodes.first >> nodes.shift)[node]
    wider = np.where(kind == Kind.LEAF, np.maximum(level.leaf_bits(entry), shift) - shift, 0)
    wider = wider.astype(np.uint64)
    member = wider > 0
    member[:1] = False
    for column in (node, wider, index >> wider, level.leaf_address(entry), folded):
        member[1:] &= column[1:] == column[:-1]
    return np.flatnonzero(~member)
