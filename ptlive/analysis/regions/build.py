"""Regions: neighbouring pages of equal rights and attributes, merged.

They are built from the bottom of a walk's graph, each node's once however many
paths reach it. So a shadow of 512 GB over a single page is one region at once,
and the pages in it are still counted exactly; and what repeats at equal distances
because a table is shared can be one region that says how often it is there.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from ptlive.analysis.regions import fold as fold_
from ptlive.analysis.regions.cuts import Copies, as_cuts, copies_of
from ptlive.analysis.regions.fold import Edges, TooManyError
from ptlive.analysis.regions.repeat import LEAST, Repeat, Repeats
from ptlive.analysis.regions.rows import Rows, concatenate, empty, merge
from ptlive.errors import PtliveError
from ptlive.paging import fields
from ptlive.paging.format import Kind
from ptlive.paging.reach import spans_of
from ptlive.paging.select import Leaves, leaves

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ptlive.arrays import U8, U64, Bool, Index
    from ptlive.paging.format import Format
    from ptlive.paging.graph import Graph

TargetOf: TypeAlias = "Callable[[U64, U64], U8]"

# Leaves that are made rows at once.
_SOME = 1 << 17


@dataclass(frozen=True, eq=False)
class Regions:
    """n regions, by root and then by address.

    owner: which of the walk's roots; va, last_va: ends included; rights (folded)
    and attributes (packed, see `fields`); target: what the pages lie in, in the
    codes of the caller; pa: of the first page; contiguous: whether the frames
    follow each other; pages: uint64[n, len(page_bits)], how many of each size.

    A region that was folded is there `times` times. va, last_va and pa are of the first
    one, pages are those of all. repeat: how the others follow, by number in `repeats`,
    each a tuple of (times, stride) from the inside outwards.
    """

    fmt: Format
    page_bits: tuple[int, ...]
    owner: Index
    va: U64
    last_va: U64
    rights: U64
    attributes: U64
    target: U8
    pa: U64
    contiguous: Bool
    pages: U64
    times: U64
    repeat: Index
    repeats: tuple[Repeat, ...]

    def __len__(self) -> int:
        return self.va.size


def regions(
    graph: Graph,
    target: TargetOf,
    *,
    split_pa: bool = False,
    fold: bool = False,
    cuts: U64 | None = None,
) -> Regions:
    """Merge the leaves of a walk into regions.

    target: (pa uint64[n], page_bits uint64[n]) -> uint8[n] says what each page
        lies in; pages in different things are not one region
    split_pa: begin a new region also where the frames do not follow each other
    fold: make one region of equal ones at equal distances
    cuts: linear addresses at which no region goes on; a page that one goes through is
        not cut, and belongs to what it begins in

    Raises PtliveError if there are more than `fold.LIMIT` regions.
    """
    sizes = tuple(sorted({int(b) for floor in graph.floors for b in np.unique(leaves(floor).bits)}))
    repeats = Repeats()
    copies, top_node, at_tops = copies_of(graph, cuts)
    rows = empty(sizes)
    for depth in reversed(range(len(graph.floors))):
        here = as_cuts(copies[depth].cuts)
        own = [merge(each, split_pa, here) for each in _own(copies[depth], sizes, target)]
        edges = _edges(copies[depth])
        try:
            if fold:
                below = fold_.folded(rows, edges, own, repeats, split_pa, here)
            else:
                below = [fold_.reached(rows, edges)]
        except TooManyError as many:
            raise _too_many(graph, depth, many) from None
        rows = merge(concatenate([*own, *below], sizes), split_pa, here)
        if fold and (len(below) > 1 or sum(map(len, own)) >= LEAST):
            rows = fold_.fold_equal(rows, repeats, here)
    tops = graph.tops
    if len(rows):
        nodes = graph.floors[0].nodes
        last = tops.base + nodes.last[tops.node]
        edges = Edges(tops.space, top_node, tops.base, last)
        try:
            if fold:
                below = fold_.folded(rows, edges, [], repeats, split_pa, at_tops)
            else:
                below = [fold_.reached(rows, edges)]
        except TooManyError as many:
            raise _too_many(graph, -1, many) from None
        rows = merge(concatenate(below, sizes), split_pa, at_tops)
    return _finished(graph.fmt, sizes, rows, repeats)


def _finished(fmt: Format, sizes: tuple[int, ...], rows: Rows, repeats: Repeats) -> Regions:
    times = repeats.times[rows.repeat]
    pages = rows.pages * times[:, None] if rows.repeat.any() else rows.pages
    return Regions(
        fmt,
        sizes,
        rows.owner,
        rows.va,
        rows.last_va,
        rows.rights,
        rows.attributes,
        rows.target,
        rows.pa,
        rows.contiguous,
        pages,
        times,
        rows.repeat,
        tuple(repeats.all),
    )


def _edges(copies: Copies) -> Edges:
    """Return a floor's entries that refer to tables, and then those of copies."""
    floor = copies.floor
    down = np.flatnonzero(floor.kind == Kind.TABLE)
    again, copy = copies.edges_of(Kind.TABLE)
    owner = np.concatenate([floor.node[down], copy])
    down = np.concatenate([down, again])
    offset = floor.offset(down)
    last = offset + ((np.uint64(1) << floor.nodes.shift[floor.node[down]]) - np.uint64(1))
    return copies.redirect(Edges(owner, floor.child[down], offset, last), down)


def _own(copies: Copies, sizes: tuple[int, ...], target: TargetOf) -> Iterator[Rows]:
    """Yield a floor's own leaves, some at a time: most are merged away at once."""
    floor = copies.floor
    every = leaves(floor).edge
    for at in range(0, every.size, _SOME):
        yield _leaves(Leaves(floor, every[at : at + _SOME]), sizes, target)
    again, copy = copies.edges_of(Kind.LEAF)
    if again.size:
        yield replace(_leaves(Leaves(floor, again), sizes, target), owner=copy)


def _leaves(some: Leaves, sizes: tuple[int, ...], target: TargetOf) -> Rows:
    """Return some of a floor's leaves as rows."""
    floor, bits, pa = some.floor, some.bits.astype(np.uint64), some.pa
    last = (np.uint64(1) << bits) - np.uint64(1)
    # Of a group of entries that make one leaf, the first may be out of range.
    va = floor.offset(some.edge) & ~last
    pages = np.zeros((bits.size, len(sizes)), dtype=np.uint64)
    pages[np.arange(bits.size), np.searchsorted(np.array(sizes, dtype=np.uint64), bits)] = 1
    return Rows(
        owner=some.node,
        va=va,
        last_va=va + last,
        rights=some.rights,
        attributes=fields.pack_attributes(floor.fmt, floor.lvl, some.entry),
        target=target(pa, bits),
        pa=pa,
        last_pa=pa + last,
        contiguous=np.ones(bits.size, dtype=np.bool_),
        pages=pages,
        repeat=np.zeros(bits.size, dtype=np.intp),
    )


def _too_many(graph: Graph, depth: int, many: TooManyError) -> PtliveError:
    """Return what to tell the user: how many, and where most of them are."""
    where = ""
    if depth >= 0 and many.owner < graph.floors[depth].nodes.table.size:
        table = int(graph.floors[depth].nodes.table[many.owner])
        _, va, last_va = next(spans_of(graph, table))
        where = f", {many.rows} of them in {va:#018x}..{last_va:#018x}"
    return PtliveError(
        f"there are more than {fold_.LIMIT} regions{where}; ask for a range of addresses"
    )
