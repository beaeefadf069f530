"""What the operations mean: an address space as a dictionary of pages, without any tables' code.

A page is where it begins, how large it is, which frames it maps, and its flags. What is
said of tables is only which there must be: one level's, from where on.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

SHIFTS = (12, 21, 30)  # log2 of what a page may map
P, RW, US, A, D = 1 << 0, 1 << 1, 1 << 2, 1 << 5, 1 << 6
PAT = 1 << 7  # kept where a 4K page has it, whatever the page's size
XD = 1 << 63
KEYS = 15 << 59
RIGHTS = RW | US | XD | KEYS


class OutOfFramesError(Exception):
    """There was no frame for one more table."""


class Page(NamedTuple):
    """A page: log2 of its size, the frame, the flags of its entry."""

    shift: int
    pa: int
    flags: int


class Table(NamedTuple):
    """A table below the root: its level, 0 for the smallest pages, and its first address."""

    lvl: int
    va: int


def table_shift(lvl: int) -> int:
    """Return log2 of what a whole table maps."""
    return 12 + 9 * (lvl + 1)


@dataclass
class Frames:
    """How many frames there are for tables; both address spaces take from them."""

    left: int

    def take(self, count: int = 1) -> None:
        """Take some, or raise OutOfFramesError."""
        if count > self.left:
            raise OutOfFramesError
        self.left -= count


@dataclass
class Space:
    """An address space of so many levels."""

    levels: int
    frames: Frames
    pages: dict[int, Page] = field(default_factory=dict)
    tables: set[Table] = field(default_factory=set)
    _unsplit: int = 0  # the page that last had to be split

    def unmap(self, start: int, end: int) -> None:
        """Take out what is mapped in [start, end), and tables that are empty then."""
        try:
            for item in self._items(start, end):
                if not isinstance(item, Table):
                    del self.pages[item]
        except OutOfFramesError:
            # It went no further than the page that it could not split, so tables past it stay.
            end = min(self._unsplit, end)
            self._prune(start, max(end, start + 1))
            raise
        self._prune(start, end)

    def remap(self, start: int, end: int, pa: int, flags: int, max_shift: int) -> None:
        """Map frames from `pa` on, in pages as large as may be; all or nothing."""
        self.unmap(start, end)
        pages = {}
        at = start
        while at < end:
            fits = [
                s
                for s in SHIFTS
                if s <= max_shift and not (at | pa) % (1 << s) and at + (1 << s) <= end
            ]
            pages[at] = Page(fits[-1], pa, flags)
            at, pa = at + (1 << fits[-1]), pa + (1 << fits[-1])
        new = {table for va, page in pages.items() for table in self._above(va, page.shift)}
        self.frames.take(len(new - self.tables))
        self.tables |= new
        self.pages |= pages

    def protect(self, start: int, end: int, rights: int) -> int:
        """Give pages new rights; return how many of the smallest size changed."""
        changed = 0
        for item in self._items(start, end):
            if isinstance(item, Table):
                continue
            page = self.pages[item]
            flags = page.flags & ~RIGHTS | rights
            if flags != page.flags:
                self.pages[item] = page._replace(flags=flags)
                changed += 1 << (page.shift - 12)
        return changed

    def copy(self, other: Space, start: int, end: int) -> None:
        """Map the same frames in `other`, without R/W in either, without A in the other."""
        other.unmap(start, end)
        try:
            for item in self._items(start, end):
                if isinstance(item, Table):
                    if item not in other.tables:
                        self.frames.take()
                        other.tables.add(item)
                    continue
                page = self.pages[item]
                if page.flags & RW:
                    page = page._replace(flags=page.flags & ~RW)
                    self.pages[item] = page
                other.pages[item] = page._replace(flags=page.flags & ~A)
        except OutOfFramesError:
            other.unmap(start, end)
            raise

    def pages_in(self, start: int, end: int) -> list[tuple[int, Page]]:
        """Return the pages that [start, end) touches, ascending."""
        order = sorted(self.pages)
        before = bisect_left(order, start - (1 << SHIFTS[-1]) + 1)
        near = ((va, self.pages[va]) for va in order[before : bisect_left(order, end)])
        return [(va, page) for va, page in near if va + (1 << page.shift) > start]

    def depth(self, va: int) -> int:
        """Return the level of the table whose entry for `va` leads to no table."""
        lvl = self.levels - 1
        while lvl and Table(lvl - 1, va & -(1 << table_shift(lvl - 1))) in self.tables:
            lvl -= 1
        return lvl

    def _items(self, start: int, end: int) -> Iterator[int | Table]:
        """Yield pages by their addresses and tables that [start, end) touches, as a walk has them.

        A page that is only partly inside is split first. Raises OutOfFramesError.
        """
        reach = [t for t in self.tables if t.va < end and t.va + (1 << table_shift(t.lvl)) > start]
        items: list[tuple[int, int, int | Table]] = [
            *((max(t.va, start), -t.lvl - 1, t) for t in reach),
            *((max(va, start), 0, va) for va, _ in self.pages_in(start, end)),
        ]
        items.sort(key=lambda item: item[:2], reverse=True)
        while items:
            _, _, item = items.pop()
            if isinstance(item, Table):
                yield item
                continue
            page = self.pages[item]
            if start <= item and item + (1 << page.shift) <= end:
                yield item
                continue
            self._unsplit = item
            items += reversed(self._split(item, page, start, end))

    def _split(
        self, va: int, page: Page, start: int, end: int
    ) -> list[tuple[int, int, int | Table]]:
        """Make a table of a page; return it and those of its pages that the range touches."""
        self.frames.take()
        shift = page.shift - 9
        table = Table(SHIFTS.index(shift), va)
        self.tables.add(table)
        del self.pages[va]
        for n in range(512):
            self.pages[va + (n << shift)] = Page(shift, page.pa + (n << shift), page.flags)
        inside = (va + (n << shift) for n in range(512))
        return [
            (max(va, start), -table.lvl - 1, table),
            *((max(at, start), 0, at) for at in inside if at < end and at + (1 << shift) > start),
        ]

    def _above(self, va: int, shift: int) -> Iterator[Table]:
        """Yield the tables below the root that lead to a page."""
        for lvl in range(SHIFTS.index(shift), self.levels - 1):
            yield Table(lvl, va & -(1 << table_shift(lvl)))

    def _prune(self, start: int, end: int) -> None:
        """Take out the tables that [start, end) touches and that lead to nothing."""
        order = sorted(self.pages)
        for lvl in range(self.levels - 1):
            size = 1 << table_shift(lvl)
            for table in [t for t in self.tables if t.lvl == lvl]:
                inside = table.va < end and table.va + size > start
                last = table.va + size
                used = bisect_left(order, table.va) < bisect_left(order, last) or any(
                    t.lvl < lvl and table.va <= t.va < last for t in self.tables
                )
                if inside and not used:
                    self.tables.remove(table)
                    self.frames.left += 1
