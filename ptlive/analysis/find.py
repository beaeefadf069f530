"""From physical addresses back to the linear ones that reach them.

The leaves of a walk are looked through, each once, however many paths lead to it: counts are
exact at once, and of what a million addresses reach the first are listed. For a million
physical addresses that is a few sorts.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING, Literal

import numpy as np

from ptlive.analysis.fold import groups
from ptlive.arrays import changes
from ptlive.paging import fields, paths
from ptlive.paging.graph import ranges
from ptlive.paging.select import leaves, only
from ptlive.paging.sums import of_nodes, running

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ptlive.arrays import U8, U64, Bool, Index
    from ptlive.paging.graph import Graph

# So many frames that are mapped more often than is to be listed get a list of their own each,
# which takes a look at all leaves; the others only their counts.
MOST_HEAVY = 100
# Values that a CPU's cache holds: among these anything is found quickly.
_CACHED = 1 << 15


@dataclass(frozen=True, eq=False)
class Spans:
    """Stretches of physical addresses, ends included, in any order; columns uint64[n]."""

    first: U64
    last: U64

    def __len__(self) -> int:
        return self.first.size

    def take(self, rows: Index) -> Spans:
        """Return these rows."""
        return Spans(self.first[rows], self.last[rows])

    def touch(self, first: U64, last: U64) -> Bool:
        """Tell which stretches, uint64[m] each, have an address in any of these."""
        begins, ends = self._sorted
        if begins.size >= _CACHED and (first[1:] < first[:-1]).any():
            order = np.argsort(first)
            found = np.empty(first.size, dtype=np.bool_)
            found[order] = self.touch(first[order], last[order])
            return found
        # More of these begin at or below its end than end below its beginning.
        return _ranks(begins, last, "right") > _ranks(ends, first, "left")

    def merged(self) -> Spans:
        """Return stretches with the same addresses that are sorted and do not touch."""
        order = np.argsort(self.first, kind="stable")
        first, end = self.first[order], np.maximum.accumulate(self.last[order])
        begins = np.ones(first.size, dtype=np.bool_)
        begins[1:] = (first[1:] > end[:-1]) & (first[1:] - end[:-1] > np.uint64(1))
        at = np.flatnonzero(begins)
        return Spans(first[at], end[np.append(at[1:], first.size)[: at.size] - 1])

    @cached_property
    def _sorted(self) -> tuple[U64, U64]:
        return np.sort(self.first), np.sort(self.last)


@dataclass(frozen=True, eq=False)
class Mappings:
    """What maps some stretches: n rows, by stretch and then by space and address.

    span: which of the stretches; space: of the walk's; va, last_va and pa: of the part of
    a run of pages that lies in the stretch; pages: how many those are; bits, lvl, entry,
    entry_pa, rights, attributes: of the first of them (the last two of all)
    """

    span: Index
    space: Index
    va: U64
    last_va: U64
    pa: U64
    pages: Index
    bits: U8
    lvl: U8
    entry: U64
    entry_pa: U64
    rights: U64
    attributes: U64

    def __len__(self) -> int:
        return self.span.size

    def take(self, rows: Index) -> Mappings:
        """Return these rows."""
        return Mappings(*(getattr(self, name)[rows] for name in self.__dataclass_fields__))


@dataclass(frozen=True, eq=False)
class Found:
    """count: how many pages reach each stretch, uint64[n]; listed: the first of them."""

    count: U64
    mappings: Mappings
    listed: Index


def find(graph: Graph, spans: Spans, limit: int) -> Found:
    """Return what maps each of these stretches, at most `limit` pages of each listed."""
    order = np.argsort(spans.first)  # what is in order is found much faster
    found = _find(graph, spans.take(order), limit)
    count, listed = np.empty_like(found.count), np.empty_like(found.listed)
    count[order], listed[order] = found.count, found.listed
    mappings = dataclasses.replace(found.mappings, span=order[found.mappings.span])
    return Found(count, mappings.take(np.argsort(mappings.span, kind="stable")), listed)


def _find(graph: Graph, spans: Spans, limit: int) -> Found:
    """Return what maps each of these stretches, which are in order."""
    count = counts(graph, spans)
    few = np.flatnonzero((count > 0) & (count <= np.uint64(limit)))
    many = np.flatnonzero(count > np.uint64(limit))
    parts = list(_mappings(graph, spans, few, None)) if few.size else []
    heavy = many[:MOST_HEAVY]
    # For each of them all leaves are looked at: of those only that any of them has.
    theirs = mapping(graph, spans.take(heavy)) if heavy.size else graph
    for row in heavy:
        parts += _mappings(theirs, spans, np.array([row]), limit)
    listed = np.zeros(len(spans), dtype=np.intp)
    listed[few] = count[few].astype(np.intp)
    listed[heavy] = limit
    return Found(count, _runs(parts), listed)


def united(found: Found, sets: Bool) -> tuple[Found, Bool]:
    """Make one row of mappings by one entry that several sets of roots have.

    They lead there by different tables. Returns the sets that the rows are of then, and
    counts the mappings that are listed so.
    """
    rows = found.mappings
    if sets.shape[1] < 2:
        return found, sets
    keys = (rows.span, rows.va, rows.last_va, rows.entry_pa, rows.rights)
    which, first = groups(*keys)
    if first.size == len(rows):
        return found, sets
    joined = np.zeros((first.size, sets.shape[1]), dtype=np.bool_)
    np.logical_or.at(joined, which, sets[rows.space])
    distinct, space = np.unique(joined, axis=0, return_inverse=True)
    order = np.argsort(first)  # as the rows were
    kept = dataclasses.replace(rows.take(first[order]), space=space.reshape(-1)[order])
    again = np.ones(len(rows), dtype=np.bool_)
    again[first] = False
    fewer = np.zeros(len(found.count), dtype=np.intp)
    np.add.at(fewer, rows.span[again], rows.pages[again])
    count = found.count - fewer.astype(np.uint64)
    return Found(count, kept, found.listed - fewer), distinct


def counts(graph: Graph, spans: Spans) -> U64:
    """Count how many pages, by all paths, have an address in each stretch, uint64[n]."""
    total = np.zeros(len(spans), dtype=np.uint64)
    for floor in graph.floors:
        leaf = leaves(floor)
        if not leaf.edge.size:
            continue
        weight = leaf.paths
        # Those that begin at or below its end, less those that end below its beginning.
        total += _weight_to(leaf.pa, weight, spans.last, "right")
        total -= _weight_to(leaf.last_pa, weight, spans.first, "left")
    return total


def mapping(graph: Graph, spans: Spans) -> Graph:
    """Return the graph with only the leaves that have an address in one of these stretches."""
    return only(graph, lambda leaf: spans.touch(leaf.pa, leaf.last_pa))


def by_space(graph: Graph) -> U64:
    """Count how many leaves each of the walk's spaces reaches, by all paths, uint64[spaces]."""
    below = np.zeros(0, dtype=np.uint64)
    for floor in reversed(graph.floors):
        below = of_nodes(floor, running(floor, leaves(floor).edge, np.uint64(1), below))
    tops = graph.tops
    found = np.zeros(int(tops.space.max(initial=-1)) + 1, dtype=np.uint64)
    if below.size:
        np.add.at(found, tops.space, below[tops.node])
    return found


def pairs(one: Spans, other: Spans) -> tuple[Index, Index]:
    """Return the rows of all pairs of stretches that have an address in common."""
    mine, theirs = _beginning_in(one, other, "left")
    if (other.first == other.last).all():
        return mine, theirs
    theirs_too, mine_too = _beginning_in(other, one, "right")
    return np.concatenate([mine, mine_too]), np.concatenate([theirs, theirs_too])


def _beginning_in(outer: Spans, inner: Spans, side: str) -> tuple[Index, Index]:
    """Return the pairs of which the inner begins in the outer.

    side: "left" with those that begin where it does, "right" without.
    """
    order = np.argsort(inner.first, kind="stable")
    begins = inner.first[order]
    low = _ranks(begins, outer.first, side)
    size = _ranks(begins, outer.last, "right") - low
    return np.repeat(np.arange(len(outer)), size), order[ranges(low, size)]


def _ranks(values: U64, wanted: U64, side: str) -> Index:
    """Return how many of the values, in order, are below each wanted one; "right": or are it.

    As numpy's searchsorted, which takes its time with what is in no order.
    """
    which: Literal["left", "right"] = "right" if side == "right" else "left"
    if values.size < _CACHED or (wanted[1:] >= wanted[:-1]).all():
        return np.searchsorted(values, wanted, which)
    order = np.argsort(wanted)
    rank = np.empty(wanted.size, dtype=np.intp)
    rank[order] = np.searchsorted(values, wanted[order], which)
    return rank


def _weight_to(values: U64, weight: U64, bounds: U64, side: str) -> U64:
    """Return what weighs all of the values up to each bound, "right": with it."""
    order = np.argsort(values)
    total = np.zeros(values.size + 1, dtype=np.uint64)
    np.cumsum(weight[order], out=total[1:])
    return total[_ranks(values[order], bounds, side)]


def _mappings(graph: Graph, spans: Spans, rows: Index, limit: int | None) -> Iterator[Mappings]:
    """Yield the mappings of the stretches in these rows, a page each, chunk by chunk."""
    wanted = spans.take(rows)
    pack = partial(fields.pack_attributes, graph.fmt)
    for chunk in paths.leaves(mapping(graph, wanted), limit):
        size = (np.uint64(1) << chunk.bits.astype(np.uint64)) - np.uint64(1)
        attributes = fields.by_level(chunk.lvl, chunk.entry, pack)
        leaf, span = pairs(Spans(chunk.pa, chunk.pa + size), wanted)
        order = np.argsort(leaf, kind="stable")  # by space and address, as the chunk is
        leaf, span = leaf[order], span[order]
        low = np.maximum(chunk.pa[leaf], wanted.first[span])
        high = np.minimum(chunk.pa[leaf] + size[leaf], wanted.last[span])
        to_va = chunk.va[leaf] - chunk.pa[leaf]
        yield Mappings(
            span=rows[span],
            space=chunk.space[leaf],
            va=low + to_va,
            last_va=high + to_va,
            pa=low,
            pages=np.ones(leaf.size, dtype=np.intp),
            bits=chunk.bits[leaf],
            lvl=chunk.lvl[leaf],
            entry=chunk.entry[leaf],
            entry_pa=chunk.entry_pa[leaf],
            rights=chunk.rights[leaf],
            attributes=attributes[leaf],
        )


def _runs(parts: list[Mappings]) -> Mappings:
    """Join pages, and make one row of those that follow each other and are alike."""
    names = Mappings.__dataclass_fields__
    if not parts:
        none = np.zeros(0, dtype=np.uint64)
        return Mappings(*(none.astype(_DTYPES.get(name, np.uint64)) for name in names))
    every = Mappings(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))
    every = every.take(np.argsort(every.span, kind="stable"))
    alike = (every.span, every.space, every.bits, every.lvl, every.rights, every.attributes)
    begins = changes(every.pa - every.va, *alike)
    begins[1:] |= every.va[1:] != every.last_va[:-1] + np.uint64(1)
    first = np.flatnonzero(begins)
    runs = every.take(first)
    last = np.append(first[1:], len(every)) - 1
    runs.last_va[:] = every.last_va[last]
    runs.pages[:] = last - first + 1
    return runs


_DTYPES = {"span": np.intp, "space": np.intp, "pages": np.intp, "bits": np.uint8, "lvl": np.uint8}
