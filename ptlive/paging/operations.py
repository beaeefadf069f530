"""Operations on page tables: visitors of the one walk that return new entries.

Each says what becomes of the entries of one level, whatever the level and the format; what
else there is to an operation (pages cut at the ends of a range first, tables made on the
way) is `ptlive.analysis.edit`'s.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ptlive.arrays import u64
from ptlive.errors import PtliveError
from ptlive.paging.format import Kind
from ptlive.paging.new_entries import resized, table_entry, with_page, with_rights, with_table
from ptlive.paging.reach import reached, spans_through
from ptlive.paging.walk import walk

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from ptlive.arrays import U8, U64, Bool, Memory
    from ptlive.paging.format import Format
    from ptlive.paging.graph import Entries, Graph, Write
    from ptlive.paging.walk import PtPtr, Visitor

LAST = (1 << 64) - 1


class _Operation:
    """A visitor that changes nothing, in either direction."""

    def enter(self, tables: PtPtr, entries: Entries, kinds: U8) -> U64 | None:
        """See `Visitor.enter`."""

    def leave(self, tables: PtPtr, entries: Entries) -> U64 | None:
        """See `Visitor.leave`."""


@dataclass(frozen=True)
class Protect(_Operation):
    """Grant and deny rights in the leaf entries of a range, and set their fields.

    A right that a table above denies stays denied. Raises PtliveError where a
    page is only partly in range: it would have to be split first.
    """

    fmt: Format
    grant: Collection[str] = ()
    deny: Collection[str] = ()
    fields: Mapping[str, int] = field(default_factory=dict)

    def enter(self, tables: PtPtr, entries: Entries, kinds: U8) -> U64:
        """Return the entries with the leaves' rights and fields changed."""
        leaf = _whole_leaves(tables, entries, kinds)
        grant, deny = (sum(map(self._mask, names)) for names in (self.grant, self.deny))
        value = with_rights(self.fmt, tables.lvl, entries.value[leaf], grant, deny)
        for name, wanted in self.fields.items() if leaf.any() else ():
            value = _with_field(self.fmt, tables.lvl, value, name, wanted)
        return _replaced(entries, leaf, value)

    def _mask(self, name: str) -> int:
        return self.fmt.right(name).mask


@dataclass(frozen=True)
class Unmap(_Operation):
    """Clear the leaf entries of a range, and with `tables` what refers to its tables, too."""

    tables: bool = False

    def enter(self, tables: PtPtr, entries: Entries, kinds: U8) -> U64:
        """Return the entries with the leaves cleared."""
        leaf = _whole_leaves(tables, entries, kinds)
        return _replaced(entries, leaf, np.zeros(int(leaf.sum()), dtype=np.uint64))

    def leave(self, tables: PtPtr, entries: Entries) -> U64:
        """Return the entries without those whose tables lie in range, which are empty by now."""
        gone = entries.whole & np.bool_(self.tables)
        return np.where(gone, np.uint64(0), entries.value)


class Made(NamedTuple):
    """A table that an operation makes: its entries, uint64[n], from the address on."""

    lvl: int
    table: int
    entries: U64


@dataclass(frozen=True)
class Split(_Operation):
    """Make tables of leaves that are partly in range, or larger than asked; one level down.

    above: the largest size that stays, as log2; by default any that is whole in range
    frame: returns where a new table of so many bytes shall be; made: the tables
    """

    fmt: Format
    frame: Callable[[int], int]
    made: list[Made]
    above: int | None = None

    def enter(self, tables: PtPtr, entries: Entries, kinds: U8) -> U64:
        """Return the entries with tables in place of such leaves."""
        too_large = ~entries.whole if self.above is None else entries.bits > np.uint64(self.above)
        cut = (kinds == Kind.LEAF) & too_large
        # A table may stand in several nodes: an entry is split once.
        entry_size = self.fmt.level(tables.lvl).entry_size
        place = tables.ptr[entries.node] + entries.index * np.uint64(entry_size)
        new: dict[int, int] = {}
        for at in np.flatnonzero(cut).tolist():
            if int(place[at]) not in new:
                new[int(place[at])] = self._table(tables.lvl, entries, at)
        made = np.array([new[one] for one in place[cut].tolist()], dtype=np.uint64)
        return _replaced(entries, cut, made)

    def _table(self, lvl: int, entries: Entries, at: int) -> int:
        """Make the table that maps what one leaf maps; return the entry that refers to it."""
        level, leaf = self.fmt.level(lvl), entries.value[at : at + 1]
        if lvl == 1 or entries.bits[at] != entries.shift[at]:
            what = "a base page" if lvl == 1 else "a page that several entries make"
            raise PtliveError(f"{what} cannot be split ({level.spec} {int(leaf[0]):#x})")
        below = self.fmt.level(lvl - 1)
        count = np.arange(1 << below.index_bits, dtype=np.uint64)
        pa = level.leaf_address(leaf) + (count << (entries.shift[at] - np.uint64(below.index_bits)))
        same = np.repeat(resized(self.fmt, lvl, lvl - 1, leaf), count.size)
        entry, table = new_table(self.fmt, lvl, self.frame)
        self.made.append(Made(lvl - 1, table, with_page(self.fmt, lvl - 1, same, pa)))
        return entry


@dataclass(frozen=True)
class Put(_Operation):
    """Give the entries at these physical addresses new values.

    entry_pa: uint64[n], n > 0, ascending; value: uint64[n]
    """

    fmt: Format
    entry_pa: U64
    value: U64

    def enter(self, tables: PtPtr, entries: Entries, kinds: U8) -> U64:
        """Return the entries with those changed."""
        entry_size = self.fmt.level(tables.lvl).entry_size
        place = tables.ptr[entries.node] + entries.index * np.uint64(entry_size)
        at = np.minimum(np.searchsorted(self.entry_pa, place), self.entry_pa.size - 1)
        here = self.entry_pa[at] == place
        if (here & (entries.bits != entries.shift)).any():
            raise PtliveError("a page that several entries make cannot be changed one by one")
        return np.where(here, self.value[at], entries.value)


def new_table(
    fmt: Format, lvl: int, frame: Callable[[int], int], like: int | None = None
) -> tuple[int, int]:
    """Return an entry of this level that refers to a new table, and where that is.

    like: an entry whose flags it shall have; by default it denies nothing
    """
    below = fmt.level(lvl - 1)
    entry = table_entry(fmt, lvl) if like is None else like
    level = fmt.level(lvl)
    bits = below.index_bits
    if level.table_bits:
        bits = int(level.table_bits(u64(entry))[0])
    table = frame(below.entry_size << bits)
    return int(with_table(fmt, lvl, u64(entry), u64(table))[0]), table


def changes(
    fmt: Format,
    memory: Memory,
    root: U64,
    va: int,
    last_va: int,
    operation: Visitor,
    *,
    seen: bool = True,
) -> list[Write]:
    """Return the entries that an operation on one range would change; nothing is written.

    root: uint64[fmt.roots]; seen: whether the change is seen by who translates through the
    entry (a split is not). Raises PtliveError if an entry that would change is
    also reached from outside the range, by another path or as a part of a larger
    page, and names from where.
    """
    roots = root.reshape(1, -1)
    inside = walk(fmt, memory, roots, (u64(va), u64(last_va)), operation)
    if not seen or not inside.writes:
        return inside.writes
    rest = [(0, va - 1)] if va > 0 else []
    rest += [(last_va + 1, LAST)] if last_va < LAST else []
    outside = walk(fmt, memory, roots, (u64(*(r[0] for r in rest)), u64(*(r[1] for r in rest))))
    for write in inside.writes:
        shared = write.address[reached(outside, write.address)]
        if shared.size:
            raise PtliveError(_shared(outside, int(shared[0])))
    return inside.writes


def _whole_leaves(tables: PtPtr, entries: Entries, kinds: U8) -> Bool:
    """Return which entries are leaves. Raises PtliveError if one is only partly in range."""
    leaf: Bool = kinds == Kind.LEAF
    if (leaf & ~entries.whole).any():
        raise PtliveError(f"a page is only partly in the range ({tables})")
    return leaf


def _replaced(entries: Entries, which: Bool, value: U64) -> U64:
    """Return all entries, some of them replaced."""
    result = entries.value.copy()
    result[which] = value
    return result


def _with_field(fmt: Format, lvl: int, entries: U64, name: str, value: int) -> U64:
    """Return leaf entries with a field set. Raises PtliveError if it is not theirs."""
    level = fmt.level(lvl)
    found = next((f for f in level.fields if f.leaves and f.name == name), None)
    if found is None:
        raise PtliveError(f"a {level.spec} that maps a page has no {name}")
    if value << found.shift & ~found.mask:
        raise PtliveError(f"{name}={value} does not fit into a {level.spec}")
    return (entries & ~np.uint64(found.mask)) | np.uint64(value << found.shift)


def _shared(outside: Graph, entry_pa: int) -> str:
    """Say from where else an entry is reached."""
    others = list(islice(spans_through(outside, entry_pa), 5))
    named = ", ".join(f"{a:#x}..{b:#x} (level {lvl})" for lvl, a, b in others[:4])
    more = ", ..." if len(others) > 4 else ""
    return f"the entry at {entry_pa:#x} is also reached from outside the range: {named}{more}"
