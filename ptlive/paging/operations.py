"""Operations on page tables: visitors of the one walk that return new entries."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np

from ptlive.errors import PtliveError
from ptlive.paging.format import Kind
from ptlive.paging.reach import spans_of
from ptlive.paging.walk import walk

if TYPE_CHECKING:
    from collections.abc import Collection

    from ptlive.arrays import U8, U64, Memory
    from ptlive.paging.format import Format
    from ptlive.paging.graph import Entries, Graph, Write
    from ptlive.paging.walk import PtPtr, Visitor


@dataclass(frozen=True)
class Protect:
    """Grant and deny rights in the leaf entries of a range.

    A right that a table above denies stays denied. Raises PtliveError where a
    page is only partly in range: it would have to be split first.
    """

    fmt: Format
    grant: Collection[str] = ()
    deny: Collection[str] = ()

    def enter(self, tables: PtPtr, entries: Entries, kinds: U8) -> U64:
        """Return the entries with the leaves' rights changed."""
        leaf = kinds == Kind.LEAF
        if (leaf & ~entries.whole).any():
            raise PtliveError(f"a page is only partly in the range ({tables})")
        ones = zeros = 0
        for name in (*self.grant, *self.deny):
            right = self.fmt.right(name)
            if (name in self.grant) != right.set_denies:
                ones |= right.mask
            else:
                zeros |= right.mask
        changed = (entries.value | np.uint64(ones)) & ~np.uint64(zeros)
        return np.where(leaf, changed, entries.value)

    def leave(self, tables: PtPtr, entries: Entries) -> None:
        """Change nothing on the way up."""


def changes(
    fmt: Format, memory: Memory, root: U64, va: int, last_va: int, operation: Visitor
) -> list[Write]:
    """Return the entries that an operation on one range would change; nothing is written.

    root: uint64[fmt.roots]. Raises PtliveError if a table that would change is
    also reached from outside the range, and names from where.
    """
    limits = (np.array([va], dtype=np.uint64), np.array([last_va], dtype=np.uint64))
    inside = walk(fmt, memory, root.reshape(1, -1), limits, operation)
    everything = walk(fmt, memory, root.reshape(1, -1))
    for write in inside.writes:
        for table in _tables_of(inside, write):
            if _paths(everything, table) > _paths(inside, table):
                raise PtliveError(_shared(everything, table, va, last_va))
    return inside.writes


def _tables_of(graph: Graph, write: Write) -> list[int]:
    """Return the tables that hold the entries of a write."""
    (floor,) = (f for f in graph.floors if f.lvl == write.lvl)
    tables = np.unique(floor.nodes.table)
    # Tables do not overlap, so the last one that begins at or below an entry holds it.
    holding = np.searchsorted(tables, write.address, side="right") - 1
    return [int(table) for table in np.unique(tables[holding])]


def _paths(graph: Graph, table: int) -> int:
    """Return by how many paths a walk reached a table, at whatever level."""
    return sum(sum(f.nodes.paths[f.nodes.table == np.uint64(table)].tolist()) for f in graph.floors)


def _shared(everything: Graph, table: int, va: int, last_va: int) -> str:
    """Say from where else a table is reached."""
    spans = islice(spans_of(everything, table), 1000)
    others = [(lvl, a, b) for lvl, a, b in spans if b < va or a > last_va]
    named = ", ".join(f"{a:#x}..{b:#x} (level {lvl})" for lvl, a, b in others[:4])
    more = ", ..." if len(others) > 4 else ""
    return f"the table {table:#x} is also reached from outside the range: {named}{more}"
