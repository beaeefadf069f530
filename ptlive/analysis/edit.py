"""The five operations on a range of linear addresses, and the entries that each would change.

Each is a few walks with a visitor of `ptlive.paging.operations`, one after the other, over
memory as the ones before would leave it. Nothing is written but there.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ptlive.arrays import u64
from ptlive.errors import PtliveError
from ptlive.paging import fields
from ptlive.paging.format import Kind
from ptlive.paging.graph import Write
from ptlive.paging.new_entries import resized, with_page
from ptlive.paging.operations import Made, Protect, Put, Split, Unmap, changes, new_table
from ptlive.paging.overlay import Overlay
from ptlive.paging.paths import Paths, holes, leaves
from ptlive.paging.translate import NOT_TRANSLATED, translate
from ptlive.paging.walk import walk

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from ptlive.analysis.edit_frames import Frames
    from ptlive.arrays import U8, U64, Bool, Index, Memory
    from ptlive.paging.format import Format
    from ptlive.paging.graph import Graph
    from ptlive.paging.translate import Translations
    from ptlive.paging.walk import Visitor

# So many entries are given new frames at most: 4G of base pages. More is a mistake of the range.
LIMIT = 1 << 20
_FRAME = ~np.uint64((1 << 12) - 1)


@dataclass
class Edit:
    """An address space that is edited: what it would be is in `memory`.

    root: uint64[fmt.roots]; va, last_va: the range; frames: for new tables, which are `made`
    """

    fmt: Format
    below: Memory
    root: U64
    va: int
    last_va: int
    frames: Frames
    made: list[Made] = dataclasses.field(default_factory=list)
    _writes: list[Write] = dataclasses.field(default_factory=list)

    def __post_init__(self) -> None:
        self.memory = Overlay(self.below)

    def unmap(self, *, tables: bool = False) -> None:
        """Clear the leaves; with `tables`, what refers to tables in range, too."""
        self._cut()
        self._do(Unmap(tables))

    def protect(
        self, grant: tuple[str, ...], deny: tuple[str, ...], values: Mapping[str, int]
    ) -> None:
        """Grant and deny rights in the leaves, and set their fields."""
        self._cut()
        self._do(Protect(self.fmt, grant, deny, values))

    def split(self, bits: int) -> None:
        """Make pages of at most 2**bits bytes of the larger ones."""
        self._split(bits)

    def remap(self, pa: int, bits: int | None = None, like: int | None = None) -> None:
        """Have the range translate to the frames from `pa` on.

        bits: in pages of at most 2**bits bytes; like: an address whose page the pages have
        their flags and their size of where nothing is mapped
        """
        self._cut()
        if like is not None:
            self._fill_like(like, bits)
        if bits is not None:
            self._split(bits)
        pages = _few(leaves(self.graph(), LIMIT + 1), "pages")
        covered = int(pages.last_va[-1] - pages.va[0]) + 1 if len(pages) else 0
        if covered != self.last_va - self.va + 1 or _sum(pages) != covered:
            raise PtliveError(
                "a part of the range is not mapped: --like VA says whose flags its pages shall have"
            )
        self._put(pages, self._moved(pages, np.uint64(pa) + (pages.va - np.uint64(self.va))))

    def copy(self, memory: Memory, root: U64) -> None:
        """Map what another root maps in the range, in the same frames with the same flags."""
        there = _few(leaves(self.graph(), 1), "pages")
        if len(there):
            raise PtliveError(f"{int(there.va[0]):#x} is mapped there already: unmap it first")
        # What is copied from may lie in memory that is named for new tables.
        floors = walk(self.fmt, memory, root.reshape(1, -1)).floors
        used = np.unique(np.concatenate([f.nodes.table for f in floors]) & _FRAME)
        self.frames.tables = {*self.frames.tables, *used.tolist()}
        self._fill(lambda va: translate(self.fmt, memory, root, va), moved=False)

    def graph(self) -> Graph:
        """Walk the range as it would be."""
        ends = u64(self.va), u64(self.last_va)
        return walk(self.fmt, self.memory, self.root.reshape(1, -1), ends)

    def before(self) -> Graph:
        """Walk the range as it is."""
        ends = u64(self.va), u64(self.last_va)
        return walk(self.fmt, self.below, self.root.reshape(1, -1), ends)

    def changed(self) -> list[Write]:
        """Return the entries that would change, by level from the root's, by address.

        Those of new tables are not among them: see `tables`.
        """
        found = []
        for lvl in range(self.fmt.top, 0, -1):
            some = [write for write in self._writes if write.lvl == lvl]
            if not some:
                continue
            address = np.unique(np.concatenate([write.address for write in some]))
            address = address[~self._in_made(address)]
            old, new = (self._read(memory, lvl, address) for memory in (self.below, self.memory))
            differ = old != new
            if differ.any():
                found.append(Write(lvl, address[differ], old[differ], new[differ]))
        return found

    def _in_made(self, address: U64) -> Bool:
        """Tell which entries stand in new tables."""
        if not self.made:
            return np.zeros(address.size, dtype=np.bool_)
        first, size = np.array(
            sorted(
                (one.table, one.entries.size * self.fmt.level(one.lvl).entry_size)
                for one in self.made
            ),
            dtype=np.uint64,
        ).T
        # The last that begins before; below the first, the difference wraps around.
        at = np.maximum(np.searchsorted(first, address, side="right"), 1) - 1
        inside: Bool = address - first[at] < size[at]
        return inside

    def tables(self) -> list[Made]:
        """Return the new tables as they would be at the end."""
        places = (
            np.arange(one.entries.size, dtype=np.uint64)
            * np.uint64(self.fmt.level(one.lvl).entry_size)
            + np.uint64(one.table)
            for one in self.made
        )
        return [
            Made(one.lvl, one.table, self._read(self.memory, one.lvl, at))
            for one, at in zip(self.made, places, strict=True)
        ]

    def _read(self, memory: Memory, lvl: int, address: U64) -> U64:
        level = self.fmt.level(lvl)
        data, _ = memory.read(address, level.entry_size)
        value: U64 = np.ascontiguousarray(data).view(level.entry).reshape(-1).astype(np.uint64)
        return value

    def _do(self, operation: Visitor, *, seen: bool = True) -> bool:
        """Do one operation in memory as it would be; tell whether anything changed."""
        writes = changes(
            self.fmt, self.memory, self.root, self.va, self.last_va, operation, seen=seen
        )
        for lvl, address, old, new in writes:
            self._check(lvl, old, new)
            self.memory.write(address, new, self.fmt.level(lvl).entry)
        self._writes += writes
        return bool(writes)

    def _check(self, lvl: int, old: U64, new: U64) -> None:
        """Raise PtliveError if a good entry would become one with reserved bits."""
        level = self.fmt.level(lvl)
        made = new[self.fmt.present(new) & (new != old)]
        leaf = level.leaf(made)
        wrong = level.malformed(made, leaf) | (~leaf & np.bool_(lvl == 1))
        for one in made[wrong][:1].tolist():
            why = fields.why_malformed(self.fmt, lvl, one)
            raise PtliveError(f"a {level.spec} of {one:#x} would be made, which {why}")

    def _cut(self) -> None:
        """Split the pages that are only partly in range."""
        self._split(None)

    def _split(self, bits: int | None) -> None:
        made: list[Made] = []
        while self._do(Split(self.fmt, self.frames.take, made, bits), seen=False):
            for one in made:
                self._make(one)
            made.clear()

    def _make(self, one: Made) -> None:
        entry_size = np.uint64(self.fmt.level(one.lvl).entry_size)
        at = np.uint64(one.table) + np.arange(one.entries.size, dtype=np.uint64) * entry_size
        self.memory.write(at, one.entries, self.fmt.level(one.lvl).entry)
        self.made.append(one)

    def _fill_like(self, like: int, bits: int | None) -> None:
        """Map what is not mapped as the page at an address is, in pages of at most 2**bits."""

        def source(va: U64) -> Translations:
            return translate(self.fmt, self.memory, self.root, np.full_like(va, like))

        page = source(u64(like))
        if not page.mapped[0]:
            raise PtliveError(f"--like {like:#x}: nothing is mapped there")
        empty = _few(holes(self.graph(), LIMIT + 1), "entries")
        last, first = np.uint64(self.last_va), np.uint64(self.va)
        span = np.minimum(empty.last_va, last) - np.maximum(empty.va, first) + np.uint64(1)
        size = int(page.page_bits[0]) if bits is None else min(int(page.page_bits[0]), bits)
        if int(span.sum()) >> size > LIMIT:
            raise PtliveError(f"the range has more than {LIMIT:,} pages of this size")
        self._fill(source, moved=True)

    def _fill(self, source: Callable[[U64], Translations], *, moved: bool) -> None:
        """Map what is not mapped as the source is mapped, one level at a time.

        moved: the frames are not the source's, and will be set afterwards
        """
        for _ in self.fmt.levels:
            every = _few(holes(self.graph(), LIMIT + 1), "entries")
            empty = every.take(np.flatnonzero(every.kind == Kind.ABSENT))
            found = source(np.maximum(empty.va, np.uint64(self.va)))
            whole = (empty.va >= np.uint64(self.va)) & (empty.last_va <= np.uint64(self.last_va))
            page = found.mapped & whole & (empty.lvl <= found.lvl)
            # The source has a table in this place, or a page that is only partly in range.
            table = (empty.lvl > found.lvl) & (found.kind != NOT_TRANSLATED)
            table |= found.mapped & ~page
            # An empty table changes nothing, from wherever it is reached.
            rows = np.flatnonzero(table)
            if rows.size:
                self._put(empty.take(rows), self._tables(empty, found, rows), seen=False)
            at = np.flatnonzero(page)
            if at.size:
                self._put(empty.take(at), self._pages(empty.lvl[at], found.take(at), moved=moved))
            if not rows.size:
                return

    def _pages(self, lvl: U8, found: Translations, *, moved: bool) -> U64:
        """Return what absent entries of these levels become, to map what the source maps."""
        value = np.zeros(lvl.size, dtype=np.uint64)
        for to, size in sorted(set(zip(lvl.tolist(), found.lvl.tolist(), strict=True))):
            here = (lvl == to) & (found.lvl == size)
            entry = found.entry[here]
            if to < size:
                entry = resized(self.fmt, size, to, entry)
            value[here] = entry if moved else with_page(self.fmt, to, entry, found.pa[here])
        return value

    def _tables(self, empty: Paths, found: Translations, rows: Index) -> U64:
        """Return what absent entries become, to refer to new tables as the source's do."""
        above = {
            step.lvl: dict(zip(step.row.tolist(), step.entry.tolist(), strict=True))
            for step in found.steps
        }
        lower = (empty.lvl > found.lvl).tolist()
        made = [
            self._table(lvl, above[lvl][row] if lower[row] else None)
            for row, lvl in zip(rows.tolist(), empty.lvl[rows].tolist(), strict=True)
        ]
        return np.array(made, dtype=np.uint64)

    def _table(self, lvl: int, like: int | None) -> int:
        """Make an empty table below an entry of this level; return the entry."""
        entry, table = new_table(self.fmt, lvl, self.frames.take, like)
        below, level = self.fmt.level(lvl - 1), self.fmt.level(lvl)
        bits = int(level.table_bits(u64(entry))[0]) if level.table_bits else below.index_bits
        self._make(Made(lvl - 1, table, np.zeros(1 << bits, dtype=np.uint64)))
        return entry

    def _moved(self, pages: Paths, pa: U64) -> U64:
        """Return the pages' entries with other frames."""
        value = np.zeros(len(pages), dtype=np.uint64)
        for lvl in np.unique(pages.lvl).tolist():
            here = pages.lvl == lvl
            value[here] = with_page(self.fmt, lvl, pages.entry[here], pa[here])
        return value

    def _put(self, rows: Paths, value: U64, *, seen: bool = True) -> None:
        """Give entries new values. Raises PtliveError where one would need two."""
        order = np.argsort(rows.entry_pa, kind="stable")
        entry_pa, value = rows.entry_pa[order], value[order]
        again = entry_pa[1:] == entry_pa[:-1]
        if (again & (value[1:] != value[:-1])).any():
            place = int(entry_pa[1:][again][0])
            raise PtliveError(f"several addresses in the range share the entry at {place:#x}")
        first = np.append(np.ones(1, dtype=np.bool_), ~again)
        self._do(Put(self.fmt, entry_pa[first], value[first]), seen=seen)


def _few(chunks: Iterator[Paths], what: str) -> Paths:
    """Return all rows. Raises PtliveError if they are too many."""
    found = list(chunks)
    if sum(map(len, found)) > LIMIT:
        raise PtliveError(f"the range has more than {LIMIT:,} {what}")
    none = np.zeros(0, dtype=np.uint64)
    return Paths.concatenate(found) if found else Paths(0, lambda _name: none)


def _sum(pages: Paths) -> int:
    return int((np.uint64(1) << pages.bits.astype(np.uint64)).sum())
