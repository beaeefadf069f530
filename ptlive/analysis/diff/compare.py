"""Two address spaces compared: pairs of nodes, level by level.

A call handles all distinct pairs of one level at once, as the walker does its tables: their
entries stand side by side, what differs becomes rows, and where a table is on either side
there is a pair of the level below. A pair that many paths reach is compared once, so the
cost follows the distinct tables of both sides, however much they map.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ptlive.analysis.areas import area_of
from ptlive.analysis.diff import rows as table
from ptlive.analysis.diff.begin import comparable, floor_of, starts
from ptlive.analysis.diff.kinds import EVERYTHING, NAMES, Change
from ptlive.analysis.diff.looks import Looks
from ptlive.analysis.diff.rows import KEY, Rows, concatenate, fold_runs, merge, reached
from ptlive.analysis.diff.slots import NOTHING, Side, Slots, joined, look, sizes, slots
from ptlive.errors import PtliveError
from ptlive.paging.format import Kind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ptlive.analysis.areas import Area
    from ptlive.analysis.regions.build import TargetOf
    from ptlive.arrays import U64, Bool, Index
    from ptlive.paging.format import Format
    from ptlive.paging.graph import Floor, Graph

# Entries that are held against each other at once.
_SOME = 1 << 18
# Hostile tables can make as many pairs as there are tables of one side times those of the
# other; so many of them, or of entries in them, take a minute or so.
MOST_PAIRS, MOST_ENTRIES = 1 << 22, 1 << 27


class Count(NamedTuple):
    """How much a change is about: pages by log2 of their size, and bytes."""

    pages: dict[int, int]
    bytes: int


@dataclass(frozen=True, eq=False)
class Diff:
    """The differences between two address spaces, by address.

    fmt: the format of both, or the one with fewer levels
    page_bits: log2 of the sizes of `rows.pages`: that of the smaller page, where there are two
    counts: of each kind of change, each address counted
    pairs: how many distinct pairs were compared
    """

    fmt: Format
    page_bits: tuple[int, ...]
    rows: Rows
    counts: dict[str, Count]
    pairs: int

    def __len__(self) -> int:
        return len(self.rows)

    def area_names(self, areas: tuple[Area, ...]) -> list[str | None]:
        """Return the area of each region, None where it reaches into several or lies in none."""
        first, last = (area_of(areas, va) for va in (self.rows.va, self.rows.until))
        names = [*(area.name for area in areas), None]
        return [names[at] for at in np.where(first == last, first, -1).tolist()]


class _Down(NamedTuple):
    """Ways to pairs of the level below, of all pairs of a level.

    pair, offset: from where; one, other: what each side is there, as `Side.ids`
    """

    pair: Index
    offset: U64
    one: Index
    other: Index


def diff(
    one: Graph,
    other: Graph,
    target_one: TargetOf,
    target_other: TargetOf,
    *,
    chosen: Change = EVERYTHING,
    same_memory: bool = False,
    fold: bool = False,
) -> Diff:
    """Return what is different about an address space, given by walks over the same ranges.

    one, other: each of one root; the old and the new state
    target_one, target_other: tell what pages lie in, see `regions`
    chosen: which changes count; same_memory: one memory was read for both, so that one
        table is the same on both sides; fold: make one row of what repeats evenly

    Raises PtliveError if the formats cannot be compared, and for more than can be told.
    """
    fmt = comparable(one.fmt, other.fmt)
    targets = (target_one, target_other)
    found = _Comparison(fmt, (one, other), targets, chosen, same_memory).run()
    return replace(found, rows=fold_runs(found.rows)) if fold else found


class _Comparison:
    def __init__(
        self,
        fmt: Format,
        graphs: tuple[Graph, Graph],
        targets: tuple[TargetOf, TargetOf],
        chosen: Change,
        same_memory: bool,
    ) -> None:
        self.fmt, self.graphs, self.targets = fmt, graphs, targets
        self.chosen, self.same_memory = np.uint64(int(chosen) & 0xFFFF), same_memory
        self.page_bits = tuple(level.shift for level in fmt.levels)
        self.counts = np.zeros((len(NAMES), len(self.page_bits)), dtype=np.uint64)
        self.pairs = self.entries = 0

    def run(self) -> Diff:
        begin = starts(self.fmt, *self.graphs)
        one, other = begin.one, begin.other
        if self.same_memory:
            at = [floor_of(graph, self.fmt.top) for graph in self.graphs]
            new = ~_same(at[0], at[1], one, other)
            begin = begin.take(np.flatnonzero(new))
        pairs, which = _distinct(begin.one, begin.other)
        paths = np.bincount(which, minlength=len(pairs)).astype(np.uint64)
        none = Looks.none()
        rows = self.compare(self.fmt.top, pairs, (none, none), paths)
        place = np.zeros(begin.base.size, dtype=np.intp)
        span = 1 << self.fmt.level(self.fmt.top).span_bits
        rows = merge(reached(rows, which, place, begin.base, span))
        counts = {}
        for name, row in zip(NAMES, self.counts.tolist(), strict=True):
            pages = {bits: count for bits, count in zip(self.page_bits, row, strict=True) if count}
            if pages:
                counts[name] = Count(pages, sum(count << bits for bits, count in pages.items()))
        return Diff(self.fmt, self.page_bits, rows, counts, self.pairs)

    def compare(self, lvl: int, pairs: Index, pieces: tuple[Looks, Looks], paths: U64) -> Rows:
        """Compare pairs of one level, intp[n, 2]; return their rows, the owner being the pair."""
        self.pairs += len(pairs)
        if self.pairs > MOST_PAIRS:
            raise PtliveError(f"there are more than {MOST_PAIRS} pairs of tables to compare")
        sides = tuple(
            Side(floor_of(graph, lvl), pairs[:, n], pieces[n])
            for n, graph in enumerate(self.graphs)
        )
        parts: list[Rows] = []
        downs: list[_Down] = []
        below: tuple[list[Looks], list[Looks]] = ([], [])
        for some in _portions(sizes(*sides)):
            found, down = self.some(lvl, sides, some, below)
            self.count(found, paths)
            parts.append(merge(found))
            if down.pair.size:
                downs.append(down)
        if downs:
            down = _Down(*map(np.concatenate, zip(*downs, strict=True)))
            parts.append(self.descend(lvl, down, below, paths))
        return merge(concatenate(parts, len(self.page_bits)))

    def descend(
        self, lvl: int, down: _Down, below: tuple[list[Looks], list[Looks]], paths: U64
    ) -> Rows:
        """Compare the pairs of the level below; return their rows as of those above."""
        ids, pieces = [], []
        for graph, made, column in zip(self.graphs, below, (down.one, down.other), strict=True):
            nodes = floor_of(graph, lvl - 1).nodes.table.size
            distinct, which = Looks.concatenate(made).distinct()
            ids.append(np.where(column >= nodes, nodes + _at(which, column - nodes), column))
            pieces.append(distinct)
        pairs, which = _distinct(*ids)
        ways = np.zeros(len(pairs), dtype=np.uint64)
        np.add.at(ways, which, paths[down.pair])
        rows = self.compare(lvl - 1, pairs, (pieces[0], pieces[1]), ways)
        span = 1 << self.fmt.level(lvl).shift
        return reached(rows, which, down.pair, down.offset, span)

    def some(
        self,
        lvl: int,
        sides: tuple[Side, ...],
        some: slice,
        below: tuple[list[Looks], list[Looks]],
    ) -> tuple[Rows, _Down]:
        """Compare some pairs: return the rows of their own entries, and the ways down.

        below: here what is no table goes that have a table on the other side
        """
        place, one, other = joined(slots(sides[0], sides[1], some), slots(sides[1], sides[0], some))
        self.entries += place.size
        if self.entries > MOST_ENTRIES:
            raise PtliveError(f"there are more than {MOST_ENTRIES} entries to compare")
        left = np.flatnonzero(~_equal(sides, one, other))
        place, one, other = place[left], one.take(left), other.take(left)
        level = self.fmt.level(lvl)
        pair = (place >> level.index_bits) + some.start
        index = (place & ((1 << level.index_bits) - 1)).astype(np.uint64)
        offset = index << np.uint64(level.shift)
        tables = (one.kind == Kind.TABLE) | (other.kind == Kind.TABLE)
        down = np.flatnonzero(tables)
        if self.same_memory and down.size:
            down = down[~self.shared(lvl, sides, one.take(down), other.take(down))]
        ids = [
            self.child(lvl, n, sides[n], found.take(down), offset[down], below[n])
            for n, found in enumerate((one, other))
        ]
        own = np.flatnonzero(~tables)
        rows = self.rows(lvl, sides, one.take(own), other.take(own), pair[own], offset[own])
        return rows, _Down(pair[down], offset[down], *ids)

    def shared(self, lvl: int, sides: tuple[Side, ...], one: Slots, other: Slots) -> Bool:
        """Tell where both sides refer to one table, with equal rights above it."""
        ids = []
        for side, found in zip(sides, (one, other), strict=True):
            table_at = np.flatnonzero(found.kind == Kind.TABLE)
            below = np.full(found.edge.size, NOTHING, dtype=np.intp)
            below[table_at] = side.floor.child[found.edge[table_at]]
            ids.append(below)
        at = [floor_of(graph, lvl - 1) for graph in self.graphs]
        return _same(at[0], at[1], *ids)

    def child(
        self, lvl: int, n: int, side: Side, found: Slots, offset: U64, below: list[Looks]
    ) -> Index:
        """Return what slots are at the level below, as `Side.ids`; new pieces go to `below`."""
        ids = np.full(found.edge.size, NOTHING, dtype=np.intp)
        at = np.flatnonzero(found.kind == Kind.TABLE)
        ids[at] = side.floor.child[found.edge[at]]
        at = np.flatnonzero((found.kind != Kind.TABLE) & (found.kind != Kind.ABSENT))
        if at.size:
            nodes = floor_of(self.graphs[n], lvl - 1).nodes.table.size
            ids[at] = nodes + sum(part.pa.size for part in below) + np.arange(at.size)
            below.append(look(side, found.take(at), offset[at]))
        return ids

    def rows(
        self,
        lvl: int,
        sides: tuple[Side, ...],
        one: Slots,
        other: Slots,
        owner: Index,
        offset: U64,
    ) -> Rows:
        """Return the differences between entries of which none is a table."""
        shift = np.uint64(self.fmt.level(lvl).shift)
        size = owner.size
        shown = np.zeros((size, 2, len(Looks._fields)), dtype=np.uint64)
        target = np.zeros((size, 2), dtype=np.uint64)
        leaf = np.stack([one.kind == Kind.LEAF, other.kind == Kind.LEAF], axis=1)
        for n, found in enumerate((one, other)):
            at = np.flatnonzero(leaf[:, n])
            if at.size:
                seen = look(sides[n], found.take(at), offset[at])
                shown[at, n] = np.stack(seen, axis=1)
                target[at, n] = self.targets[n](seen.pa, np.full(at.size, shift))
        both = Looks(*np.moveaxis(shown, 2, 0))
        change = _changes(leaf, both, one.kind != other.kind) & self.chosen
        kept = np.flatnonzero(change)
        key = _key(change, both, target, shift)[kept]
        va = offset[kept]
        last = (np.uint64(1) << shift) - np.uint64(1)
        pages = np.zeros((kept.size, len(self.page_bits)), dtype=np.uint64)
        pages[:, lvl - 1] = 1
        once = np.ones(kept.size, dtype=np.uint64)
        pa = np.ascontiguousarray(both.pa[kept])
        return Rows(
            owner=owner[kept],
            va=va,
            last_va=va + last,
            times=once,
            step=once - once,
            until=va + last,
            key=key,
            pa=pa,
            last_pa=pa + last,
            contiguous=np.ones((kept.size, 2), dtype=np.bool_),
            pages=pages,
        )

    def count(self, rows: Rows, paths: U64) -> None:
        """Count the pages of rows that are not merged yet, as often as addresses reach them."""
        ways = paths[rows.owner][:, None] * rows.pages
        for n, change in enumerate(NAMES.values()):
            some = (rows.key[:, table.CHANGE] & np.uint64(change)) != 0
            self.counts[n] += ways[some].sum(axis=0, dtype=np.uint64)


def _changes(leaf: Bool, both: Looks, other_kind: Bool) -> U64:
    """Return the changes of entries; leaf: bool[n, 2], both: columns uint64[n, 2]."""
    changed = [
        (Change.ADDED, ~leaf[:, 0] & leaf[:, 1]),
        (Change.REMOVED, leaf[:, 0] & ~leaf[:, 1]),
        (Change.FAULT, ~leaf.any(axis=1) & other_kind),
    ]
    # In the order of the columns of `Looks`.
    columns = (
        Change.MOVED,
        Change.SIZE,
        Change.RIGHTS,
        Change.ATTRIBUTES,
        Change.AD,
        Change.SOFTWARE,
    )
    pages = leaf.all(axis=1)
    for change, column in zip(columns, both[: len(columns)], strict=True):
        changed.append((change, pages & (column[:, 0] != column[:, 1])))
    total = np.zeros(len(leaf), dtype=np.uint64)
    for change, yes in changed:
        total |= np.where(yes, np.uint64(change), np.uint64(0))
    return total


def _key(change: U64, both: Looks, target: U64, shift: np.uint64) -> U64:
    """Return the columns `KEY` of rows."""
    key = np.zeros((change.size, len(KEY)), dtype=np.uint64)
    key[:, table.CHANGE] = change
    sided = {table.RIGHTS: both.rights, table.ATTRIBUTES: both.attributes, table.TARGET: target}
    sided[table.BITS] = np.where(both.bits == shift, np.uint64(0), both.bits)
    for at, column, of in (
        (table.MARKS, both.marks, Change.AD),
        (table.SOFTWARE, both.software, Change.SOFTWARE),
    ):
        told = (change & np.uint64(of)) != 0
        different = np.where(told, column[:, 0] ^ column[:, 1], np.uint64(0))
        sided[at] = column & different[:, None]
    for at, column in sided.items():
        key[:, at : at + 2] = column
    return key


def _equal(sides: tuple[Side, ...], one: Slots, other: Slots) -> Bool:
    """Tell which slots are the same leaf entries, with the same rights above them."""
    equal: Bool = (one.kind == Kind.LEAF) & (other.kind == Kind.LEAF)
    equal &= (one.edge >= 0) & (other.edge >= 0)
    if equal.any():
        floors = [side.floor for side in sides]
        equal &= floors[0].entry[one.edge] == floors[1].entry[other.edge]
        equal &= floors[0].rights[one.edge] == floors[1].rights[other.edge]
    return equal


def _same(floor: Floor, another: Floor, one: Index, other: Index) -> Bool:
    """Tell where nodes of two floors are the same table, with the same rights and clip."""
    same: Bool = (one >= 0) & (other >= 0)
    for mine, theirs in zip(floor.nodes[:-1], another.nodes[:-1], strict=True):
        if mine.size and theirs.size:
            same &= mine[one] == theirs[other]
    return same


def _distinct(one: Index, other: Index) -> tuple[Index, Index]:
    """Return the distinct pairs, intp[n, 2], and which one each is."""
    width = int(other.max(initial=0)) + 2
    number, which = np.unique((one + 1) * width + other + 1, return_inverse=True)
    return np.stack([number // width - 1, number % width - 1], axis=1), which


def _at(column: Index, at: Index) -> Index:
    """Return the values at these places, 0 where there is no such place."""
    if not column.size:
        return np.zeros(at.size, dtype=np.intp)
    return column[np.maximum(at, 0)]


def _portions(size: Index) -> Iterator[slice]:
    """Cut pairs into runs that come to some entries each, or are single pairs."""
    total = np.cumsum(size)
    first, done = 0, 0
    while first < size.size:
        end = max(int(np.searchsorted(total, done + _SOME, side="right")), first + 1)
        yield slice(first, end)
        first, done = end, int(total[end - 1])
