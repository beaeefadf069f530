"""The entries of one level's tables: read as they arrive, and classified.

Most entries of a walk are base pages or zeros. So of a table only the entries that are
not zero are kept, and a piece of the tables is classified while the CPU's cache has it:
a million leaves cost a few passes over them.
"""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import numpy as np

from ptlive.arrays import pieces
from ptlive.paging.classify import Found
from ptlive.paging.format import Kind
from ptlive.paging.graph import Floor, Rest, ranges

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ptlive.arrays import U8, U64, Bool, Index, Memory
    from ptlive.paging.format import Format, Level
    from ptlive.paging.nodes import Nodes
    from ptlive.paging.walk import PtPtr


def decode(fmt: Format, tables: PtPtr, memory: Memory, nodes: Nodes) -> Floor:
    """Read tables of one level, each node's own, and classify their entries in range."""
    level = fmt.level(tables.lvl)
    first = (nodes.first >> nodes.shift).astype(np.intp)
    count = (nodes.last >> nodes.shift).astype(np.intp) - first + 1
    found = Found(fmt, tables.lvl, int(count.sum()))
    for some, data, valid, row in _read(level, memory, tables.ptr, nodes):
        bits = int(nodes.bits[some.start])
        entries = data.reshape(-1).view(level.entry).astype(np.uint64, copy=False)
        readable = valid[row]
        if not readable.all():
            count[some][~readable] = 0
        if count[some].sum() < entries.size or row.size > len(data):
            # Some tables are in range in part, or several times, or cannot be read.
            base = first[some] + (row << bits)
            entries = entries[ranges(base, count[some])]
        found.add(entries)
    start = np.zeros(count.size + 1, dtype=np.intp)
    np.cumsum(count, out=start[1:])
    position, entry, kind = found.edges
    floor = Floor(
        fmt=fmt,
        lvl=tables.lvl,
        nodes=nodes,
        readable=count > 0,
        start=start,
        position=position,
        entry=entry,
        kind=kind,
        child=_no_child(position.size, tables.lvl),
        rest=Rest(*found.rest),
    )
    return _sized(level, floor)


def _read(
    level: Level, memory: Memory, ptr: U64, nodes: Nodes
) -> Iterator[tuple[slice, U8, Bool, Index]]:
    """Read each distinct table once, a piece of them at a time, in the order of the nodes.

    Yields which nodes these are, the tables' bytes and whether they could be read (see
    `Memory.read`), and for each of the nodes in which row its table is.
    """
    # Nodes of one size stand together, and among them those of one table.
    new = np.ones(ptr.size, dtype=np.bool_)
    new[1:] = (ptr[1:] != ptr[:-1]) | (nodes.bits[1:] != nodes.bits[:-1])
    table = np.cumsum(new) - 1
    heads = np.append(np.flatnonzero(new), ptr.size)
    sizes = nodes.bits[heads[:-1]]
    end = 0
    while end < sizes.size:
        bits = int(sizes[end])
        done, end = end, int(np.searchsorted(sizes, bits, side="right"))
        with closing(pieces(memory, ptr[heads[done:end]], level.entry_size << bits)) as stream:
            for data, valid in stream:
                some = slice(int(heads[done]), int(heads[done + len(data)]))
                yield some, data, valid, table[some] - done
                done += len(data)


def _sized(level: Level, floor: Floor) -> Floor:
    """Judge the sizes that entries encode, where a format has such entries."""
    if not level.table_bits and not level.leaf_bits:
        return floor
    nodes, node, kind = floor.nodes, floor.node, floor.kind
    if level.table_bits:
        bits = level.table_bits(floor.entry)
        oversized = (bits == 0) | (bits > nodes.shift[node])
        kind[oversized & (kind == Kind.TABLE)] = Kind.MALFORMED
    if level.leaf_bits:
        oversized = level.leaf_bits(floor.entry) > (nodes.shift + nodes.bits)[node]
        kind[oversized & (kind == Kind.LEAF)] = Kind.MALFORMED
        return floor.without(_continued(level, floor))
    return floor


def _continued(level: Level, floor: Floor) -> Bool:
    """Tell which edges only continue a leaf that neighbouring entries make with others.

    Where those of a group disagree in what they map or grant, none does.
    """
    assert level.leaf_bits is not None
    shift = floor.nodes.shift[floor.node]
    index = floor.index(np.arange(floor.kind.size))
    bits = np.maximum(level.leaf_bits(floor.entry), shift) - shift
    wider = np.where(floor.kind == Kind.LEAF, bits, np.uint64(0))
    member = wider > 0
    member[:1] = False
    address = level.leaf_address(floor.entry)
    for column in (floor.node, wider, index >> wider, address, floor.rights):
        member[1:] &= column[1:] == column[:-1]
    return member


def _no_child(edges: int, lvl: int) -> Index:
    """Return -1 for each edge; at the last level none leads to a table."""
    if lvl == 1:
        return np.broadcast_to(np.intp(-1), (edges,))
    return np.full(edges, -1, dtype=np.intp)
