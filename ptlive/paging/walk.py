"""The walker: one function that calls itself down the levels.

A call handles all tables of one level at once: it reads the distinct ones in
one batch, classifies their entries as the format says, and calls itself with
the tables that those entries refer to. So the recursion is as deep as the
format has levels, and no level, name or mask is known here. A translation is a
walk over one byte, a dump is a walk over everything, and an operation is a walk
with a visitor that returns new entries.

The result is a graph (see `graph`): a table that many paths reach is read and
decoded once for each combination of folded rights and clip, so the cost follows
the distinct tables and never the span that they map.

The shape `struct pt_ptr {ptr, lvl}` is Kirill Shutemov's proposal of 2018
("Reworking page-table traversal", LWN.net, 4 May 2018).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from ptlive.errors import PtliveError
from ptlive.paging.decode import decode
from ptlive.paging.format import Kind
from ptlive.paging.graph import Graph, Write
from ptlive.paging.nodes import Nodes, distinct, plan
from ptlive.paging.rights import inherited

if TYPE_CHECKING:
    from ptlive.arrays import U8, U64, Bool, Index, Memory
    from ptlive.paging.format import Format
    from ptlive.paging.graph import Entries, Floor


@dataclass(frozen=True, eq=False)
class PtPtr:
    """Tables of one level: uint64[n] physical addresses. Never entries."""

    ptr: U64
    lvl: int

    def __str__(self) -> str:
        tables = ", ".join(f"{table:#x}" for table in self.ptr[:4].tolist())
        more = f", ... {self.ptr.size} in all" if self.ptr.size > 4 else ""
        return f"level {self.lvl} at {tables}{more}"


class Visitor(Protocol):
    """What is done at each level of a walk; either step may return new entries.

    New entries are collected in the graph's `writes`, never written during the
    walk, which goes on over the tables as they are.
    """

    def enter(self, tables: PtPtr, entries: Entries, kinds: U8) -> U64 | None:
        """See the entries before the levels below them."""
        ...

    def leave(self, tables: PtPtr, entries: Entries) -> U64 | None:
        """See the entries after the levels below them."""
        ...


def walk(
    fmt: Format,
    memory: Memory,
    roots: U64,
    ranges: tuple[U64, U64] | None = None,
    visitor: Visitor | None = None,
) -> Graph:
    """Walk address spaces over ranges of linear addresses.

    roots: uint64[n] root-table addresses, or uint64[n, fmt.roots]
    ranges: (va, last_va), uint64[m] each, ends included; everything by default.
        Each root is walked over each range. What no window of the format
        translates (the non-canonical gap) is left out.

    Raises PtliveError if a root table lies in no RAM and no ROM.
    """
    tops, nodes = plan(fmt, roots, ranges)
    graph = Graph(fmt, tops)

    def descend(tables: PtPtr, nodes: Nodes) -> Bool:
        """Walk `nodes`, whose tables are `tables`; tell which could be read."""
        floor = decode(fmt, tables, memory, nodes)
        graph.floors.append(floor)
        if visitor:
            entries = floor.in_range()
            graph.writes += _changed(floor, visitor.enter(tables, entries, floor.kinds()))
        down = np.flatnonzero(floor.kind == Kind.TABLE)
        if down.size:
            below, floor.child[down] = _children(fmt, floor, down)
            readable = descend(PtPtr(below.table, tables.lvl - 1), below)
            # Only reading the tables below shows which of these entries lead nowhere.
            floor.kind[down[~readable[floor.child[down]]]] = Kind.UNREADABLE
        if visitor:
            graph.writes += _changed(floor, visitor.leave(tables, entries))
        return floor.readable

    if nodes.table.size:
        readable = descend(PtPtr(nodes.table, fmt.top), nodes)
        if not readable.all():
            root = int(nodes.table[~readable][0])
            raise PtliveError(f"the root table {root:#x} lies in no RAM and no ROM of the guest")
    return graph


def _children(fmt: Format, floor: Floor, down: Index) -> tuple[Nodes, Index]:
    """Return the distinct nodes that the table edges `down` lead to, and which each does."""
    level, nodes, node = fmt.level(floor.lvl), floor.nodes, floor.node[down]
    entry, index, shift = floor.entry[down], floor.index(down), nodes.shift[node]
    if level.table_bits:
        bits = level.table_bits(entry)
    else:
        bits = np.full(down.size, fmt.level(floor.lvl - 1).index_bits, dtype=np.uint64)
    # Only the first and the last child in range may be clipped in turn.
    span = (np.uint64(1) << shift) - np.uint64(1)
    first, last = nodes.first[node], nodes.last[node]
    return distinct(
        Nodes(
            table=level.table_address(entry),
            rights=inherited(fmt, floor.rights[down]),
            first=np.where(index == first >> shift, first & span, np.uint64(0)),
            last=np.where(index == last >> shift, last & span, span),
            shift=shift - bits,
            bits=bits,
            paths=nodes.paths[node],
        )
    )


def _changed(floor: Floor, values: U64 | None) -> list[Write]:
    """Return the entries that a visitor changed, each once: a table may stand in many nodes."""
    if values is None:
        return []
    entries = floor.in_range()
    changed = np.flatnonzero(values != entries.value)
    address = floor.entry_address(changed, entries.node[changed])
    address, first = np.unique(address, return_index=True)
    changed = changed[first]
    if not changed.size:
        return []
    return [Write(floor.lvl, address, entries.value[changed], values[changed])]
