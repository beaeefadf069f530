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
from ptlive.paging.translate import translate
from ptlive.paging.walk import walk

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from ptlive.analysis.edit_frames import Frames
    from ptlive.arrays import U64, Memory
    from ptlive.paging.format import Format
    from ptlive.paging.graph import Graph
    from ptlive.paging.translate import Translations
    from ptlive.paging.walk import Visitor

# So many entries are given new frames at most: 4G of base pages. More is a mistake of the range.
LIMIT = 1 << 20


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
        if bits is not None:
            self._split(bits)
        if like is not None:
            self._fill(lambda va: self._translate(np.full_like(va, like)), moved=True)
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
            own = np.zeros(address.size, dtype=np.bool_)
            for one in self.made:
                size = np.uint64(one.entries.size * self.fmt.level(one.lvl).entry_size)
                own |= address - np.uint64(one.table) < size
            address = address[~own]
            old, new = (self._read(memory, lvl, address) for memory in (self.below, self.memory))
            differ = old != new
            if differ.any():
                found.append(Write(lvl, address[differ], old[differ], new[differ]))
        return found

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
        for one in np.unique(new[self.fmt.present(new) & (new != old)]).tolist():
            if fields.classify(self.fmt, lvl, one) is Kind.MALFORMED:
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

    def _translate(self, va: U64) -> Translations:
        return translate(self.fmt, self.memory, self.root, va)

    def _fill(self, source: Callable[[U64], Translations], *, moved: bool) -> None:
        """Map what is not mapped as the source is mapped, one level at a time.

        moved: the frames are not the source's, and will be set afterwards
        """
        for _ in self.fmt.levels:
            every = _few(holes(self.graph(), LIMIT + 1), "entries")
            empty = every.take(np.flatnonzero(every.kind == Kind.ABSENT))
            found = source(np.maximum(empty.va, np.uint64(self.va)))
            made = len(self.made)
            pages: dict[int, int] = {}
            tables: dict[int, int] = {}
            for row in range(len(empty)):
                value = self._like(empty, row, found, moved=moved)
                if value is not None:
                    (pages if len(self.made) == made else tables)[row] = value
                made = len(self.made)
            # An empty table changes nothing, from wherever it is reached.
            for some, seen in ((tables, False), (pages, True)):
                if some:
                    rows = empty.take(np.array(list(some)))
                    self._put(rows, np.array(list(some.values()), dtype=np.uint64), seen=seen)
            if not tables:
                return

    def _like(self, empty: Paths, row: int, found: Translations, *, moved: bool) -> int | None:
        """Return what an absent entry becomes, to be as the source's; None to stay absent."""
        lvl, kind = int(empty.lvl[row]), int(found.kind[row])
        if kind != Kind.LEAF:
            path = {step.lvl: int(step.entry[at]) for step, at in found.path(row)}
            if lvl not in path or lvl <= int(found.lvl[row]):
                return None
            return self._table(lvl, path[lvl])
        size = int(found.lvl[row])
        whole = self.va <= int(empty.va[row]) and int(empty.last_va[row]) <= self.last_va
        if lvl > size:
            path = {step.lvl: int(step.entry[at]) for step, at in found.path(row)}
            return self._table(lvl, path[lvl])
        if not whole:
            return self._table(lvl, None)
        entry = found.entry[row : row + 1]
        if lvl < size:
            entry = resized(self.fmt, size, lvl, entry)
        if moved:
            return int(entry[0])
        return int(with_page(self.fmt, lvl, entry, found.pa[row : row + 1])[0])

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
