"""Operations on page tables: visitors of the one walk that return new entries."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np

from ptlive.arrays import u64
from ptlive.errors import PtliveError
from ptlive.paging.format import Kind
from ptlive.paging.reach import reached, spans_through
from ptlive.paging.walk import walk

if TYPE_CHECKING:
    from collections.abc import Collection

    from ptlive.arrays import U8, U64, Memory
    from ptlive.paging.format import Format
    from ptlive.paging.graph import Entries, Graph, Write
    from ptlive.paging.walk import PtPtr, Visitor

LAST = (1 << 64) - 1


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

    root: uint64[fmt.roots]. Raises PtliveError if an entry that would change is
    also reached from outside the range, by another path or as a part of a larger
    page, and names from where.
    """
    roots = root.reshape(1, -1)
    inside = walk(fmt, memory, roots, (u64(va), u64(last_va)), operation)
    rest = [(0, va - 1)] if va > 0 else []
    rest += [(last_va + 1, LAST)] if last_va < LAST else []
    outside = walk(fmt, memory, roots, (u64(*(r[0] for r in rest)), u64(*(r[1] for r in rest))))
    for write in inside.writes:
        shared = write.address[reached(outside, write.address)]
        if shared.size:
            raise PtliveError(_shared(outside, int(shared[0])))
    return inside.writes


def _shared(outside: Graph, entry_pa: int) -> str:
    """Say from where else an entry is reached."""
    others = list(islice(spans_through(outside, entry_pa), 5))
    named = ", ".join(f"{a:#x}..{b:#x} (level {lvl})" for lvl, a, b in others[:4])
    more = ", ..." if len(others) > 4 else ""
    return f"the entry at {entry_pa:#x} is also reached from outside the range: {named}{more}"
