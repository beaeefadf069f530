"""Differences as rows: merged where they are neighbours and alike, and repeated by paths.

As `ptlive.analysis.regions` merges the leaves of nodes, so here the differences of pairs
of nodes, from the bottom up: each pair's once, however many paths reach it.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ptlive.errors import PtliveError

if TYPE_CHECKING:
    from ptlive.arrays import U64, Bool, Index

LIMIT = 1 << 22
# What a pair has below it several times is told once, with how often, when the times would
# come to more rows than this: nobody reads so many that are alike.
FOLDED = 256

# So many alike, evenly apart, are told as one; fewer are as soon read one by one.
_RUN = 4

# The columns of `Rows.key`; of what there is on both sides, first the old one.
KEY = (
    "change",
    "rights",
    "rights",
    "attributes",
    "attributes",
    "target",
    "target",
    "bits",
    "bits",
    "marks",
    "marks",
    "software",
    "software",
)
CHANGE, RIGHTS, ATTRIBUTES, TARGET, BITS, MARKS, SOFTWARE = (
    KEY.index(name) for name in dict.fromkeys(KEY)
)


@dataclass(frozen=True, eq=False)
class Rows:
    """n rows, by owner and then by address.

    owner: a pair, or at last a place where the comparison began; va: offset into what
    its tables span, or an address; last_va: included
    times, step, until: how often the row stands there, how far apart (0: not evenly),
    and where the last one of them ends
    key: uint64[n, len(KEY)], all that makes a row what it is. Of marks and software bits
        only those that changed; of bits (log2 of a page's size) only those that are not the
        size by which pages are counted
    pa, last_pa: uint64[n, 2], of the first and the last page; contiguous: bool[n, 2]
    pages: uint64[n, sizes], how many, all times together
    """

    owner: Index
    va: U64
    last_va: U64
    times: U64
    step: U64
    until: U64
    key: U64
    pa: U64
    last_pa: U64
    contiguous: Bool
    pages: U64

    def __len__(self) -> int:
        return self.va.size

    def take(self, rows: Index) -> Rows:
        """Return these rows."""
        return Rows(*(getattr(self, name)[rows] for name in self.__dataclass_fields__))

    def moved(self, owner: Index, by: U64) -> Rows:
        """Return the same rows as those of other owners, each moved up."""
        return dataclasses.replace(
            self, owner=owner, va=self.va + by, last_va=self.last_va + by, until=self.until + by
        )

    @staticmethod
    def none(sizes: int) -> Rows:
        """Return no rows."""
        none, two = np.zeros(0, dtype=np.uint64), np.zeros((0, 2), dtype=np.uint64)
        key, pages = (np.zeros((0, n), dtype=np.uint64) for n in (len(KEY), sizes))
        empty = np.zeros(0, dtype=np.intp)
        return Rows(*(empty, none, none, none, none, none, key, two, two, two != 0, pages))


def concatenate(parts: list[Rows], sizes: int) -> Rows:
    """Join several."""
    if len(parts) == 1:
        return parts[0]
    every = [Rows.none(sizes), *parts]
    names = Rows.__dataclass_fields__
    return Rows(*(np.concatenate([getattr(part, name) for part in every]) for name in names))


def merge(rows: Rows) -> Rows:
    """Sort rows and join those that are neighbours and alike."""
    if not len(rows):
        return rows
    behind = (rows.owner[1:] == rows.owner[:-1]) & (rows.va[1:] <= rows.va[:-1])
    if behind.any() or (rows.owner[1:] < rows.owner[:-1]).any():
        rows = rows.take(np.lexsort((rows.va, rows.owner)))
    begins = np.ones(len(rows), dtype=np.bool_)
    begins[1:] = rows.va[1:] != rows.last_va[:-1] + np.uint64(1)
    begins[1:] |= rows.owner[1:] != rows.owner[:-1]
    begins[1:] |= (rows.times[1:] > 1) | (rows.times[:-1] > 1)
    begins[1:] |= (rows.key[1:] != rows.key[:-1]).any(axis=1)
    if begins.all():
        return rows
    first = np.flatnonzero(begins)
    last = np.append(first[1:], len(rows)) - 1
    unbroken = rows.contiguous.copy()
    unbroken[1:] &= (rows.pa[1:] == rows.last_pa[:-1] + np.uint64(1)) | begins[1:, None]
    return dataclasses.replace(
        rows.take(first),
        last_va=rows.last_va[last],
        until=rows.until[last],
        last_pa=rows.last_pa[last],
        contiguous=np.logical_and.reduceat(unbroken, first),
        pages=np.add.reduceat(rows.pages, first, axis=0),
    )


def reached(rows: Rows, pair: Index, owner: Index, offset: U64, span: int) -> Rows:
    """Return the rows of each of these pairs, as rows of its owner at an offset.

    span: bytes that each pair spans. What an owner reaches many times, with many rows, is
    folded, but for what is alike throughout and becomes one with its neighbours.

    Raises PtliveError if there are more than `LIMIT` rows.
    """
    begin = np.searchsorted(rows.owner, pair)
    count = np.searchsorted(rows.owner, pair, side="right") - begin
    some = np.flatnonzero(count)
    if not some.size:
        return rows.take(some)
    # Of each owner, all ways to one pair stand together, by their offsets.
    order = some[np.lexsort((offset[some], pair[some], owner[some]))]
    pair, owner, offset = pair[order], owner[order], offset[order]
    begin, count = begin[order], count[order]
    new = np.ones(pair.size, dtype=np.bool_)
    new[1:] = (pair[1:] != pair[:-1]) | (owner[1:] != owner[:-1])
    first = np.flatnonzero(new)
    times = np.diff(np.append(first, pair.size))
    alike = (count == 1) & (rows.va[begin] == 0) & (rows.last_va[begin] == np.uint64(span - 1))
    folded = np.repeat((times > 1) & (times * count[first] > FOLDED) & ~alike[first], times)
    chosen = np.flatnonzero(~folded | new)
    number = count[chosen]
    if number.sum() > LIMIT:
        raise PtliveError(f"there are more than {LIMIT} regions; ask for a range of addresses")
    which = np.repeat(begin[chosen] - np.cumsum(number) + number, number) + np.arange(number.sum())
    found = rows.take(which).moved(
        np.repeat(owner[chosen], number), np.repeat(offset[chosen], number)
    )
    if not folded.any():
        return found
    last = offset[np.append(first[1:], pair.size) - 1]
    steps = _steps(offset, first, times)
    group = np.cumsum(new) - 1
    row = np.repeat(np.where(folded[chosen], group[chosen], -1), number)
    many = np.flatnonzero(row >= 0)
    row = row[many]
    repeat = times.astype(np.uint64)[row]
    once = found.times[many] == 1
    until, times, pages = found.until.copy(), found.times.copy(), found.pages.copy()
    until[many] += (last - offset[first])[row]
    times[many] *= repeat
    pages[many] *= repeat[:, None]
    step = found.step.copy()
    step[many] = np.where(once, steps[row], np.uint64(0))
    return dataclasses.replace(found, times=times, step=step, until=until, pages=pages)


def _steps(offset: U64, first: Index, times: Index) -> U64:
    """Return how far apart the offsets of each group are, 0 where not evenly."""
    apart = np.zeros(offset.size, dtype=np.uint64)
    apart[1:] = offset[1:] - offset[:-1]
    at = np.minimum(first + 1, offset.size - 1)
    apart[first] = apart[at]  # the first of a group is as far from it as the second is
    least, most = np.minimum.reduceat(apart, first), np.maximum.reduceat(apart, first)
    return np.where((least == most) & (times > 1), least, np.uint64(0))


def fold_runs(rows: Rows) -> Rows:
    """Make one row of those that follow each other alike, of one length, evenly apart."""
    if len(rows) < _RUN:
        return rows
    # What one row has to be like the row before it; the key of a run's rows is one.
    alike = (rows.owner[1:] == rows.owner[:-1]) & (rows.key[1:] == rows.key[:-1]).all(axis=1)
    alike &= (rows.times[1:] == 1) & (rows.times[:-1] == 1)
    alike &= rows.last_va[1:] - rows.va[1:] == rows.last_va[:-1] - rows.va[:-1]
    apart = np.where(alike, rows.va[1:] - rows.va[:-1], np.uint64(0))
    # A run is a stretch of equal distances; the row at which it begins has none to it.
    on = np.zeros(len(rows), dtype=np.bool_)
    on[1:] = alike
    on[2:] &= ~alike[:-1] | (apart[1:] == apart[:-1])
    first = np.flatnonzero(~on)
    count = np.diff(np.append(first, len(rows)))
    # Where the distance changed, the row between belongs to the run that it is as far from.
    single = np.flatnonzero((count[:-1] == 1) & (count[1:] > 1))
    head = first[single + 1]
    on[head] = alike[head - 1] & (apart[head - 1] == apart[head])
    first = np.flatnonzero(~on)
    count = np.diff(np.append(first, len(rows)))
    first, count = _long_enough(first, count)
    last = first + count - 1
    step = np.where(count > 1, apart[np.minimum(first, len(rows) - 2)], rows.step[first])
    return dataclasses.replace(
        rows.take(first),
        times=np.where(count > 1, count.astype(np.uint64), rows.times[first]),
        step=step,
        until=rows.until[last],
        contiguous=np.logical_and.reduceat(rows.contiguous, first),
        pages=np.add.reduceat(rows.pages, first, axis=0),
    )


def _long_enough(first: Index, count: Index) -> tuple[Index, Index]:
    """Return runs with those that are too short cut to single rows."""
    single = np.repeat(count < _RUN, count)
    begins = np.zeros(single.size, dtype=np.bool_)
    begins[first] = True
    first = np.flatnonzero(begins | single)
    return first, np.diff(np.append(first, single.size))
