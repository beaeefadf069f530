"""From leaves that a rule means to the places that are told: regions, never single pages."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ptlive.analysis.areas import area_of
from ptlive.analysis.audit.context import locate
from ptlive.analysis.audit.finding import Place
from ptlive.analysis.regions.build import regions
from ptlive.errors import PtliveError
from ptlive.paging import fields, paths
from ptlive.paging.fields import size_name
from ptlive.paging.format import Kind

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ptlive.analysis.audit.context import Context
    from ptlive.arrays import U8, U64, Bool, Index
    from ptlive.paging.graph import Graph

# A graph that reaches more pages than this, each by many paths on average, may have as many
# regions: of a hostile one its first pages are told instead.
_MANY = 1 << 22
_PATHS = 16
_FIRST = 1 << 10


@dataclass(frozen=True, eq=False)
class Rows:
    """Regions of a folded walk's leaves, n rows; cut: whether there are more, uncounted.

    pages: uint64[n, len(sizes)]; area: of the profile's, -1 for none
    """

    context: Context
    graph: Graph
    cut: bool
    sizes: tuple[str, ...]
    space: Index
    va: U64
    last_va: U64
    pa: U64
    pages: U64
    rights: U64
    attributes: U64
    target: U8
    times: U64
    area: Index

    def __len__(self) -> int:
        return self.va.size

    def bytes(self, rows: Index) -> int:
        """Return how many bytes some rows are, as addresses count."""
        size = (self.last_va[rows] - self.va[rows]).tolist()
        return sum((a + 1) * b for a, b in zip(size, self.times[rows].tolist(), strict=True))

    def places(self, rows: Index) -> tuple[Place, ...]:
        """Return some rows as places."""
        context = self.context
        areas = context.profile.areas if context.profile else ()
        roots = members(context.folded.roots)
        lvl, entry_pa, entry = locate(self.graph, self.space[rows], self.va[rows])
        columns: tuple[Sequence[Any], ...] = (  # in the order of a place's fields
            [roots[space] for space in self.space[rows].tolist()],
            self.va[rows].tolist(),
            self.last_va[rows].tolist(),
            self.pa[rows].tolist(),
            [dict(_some(self.sizes, pages)) for pages in self.pages[rows].tolist()],
            self.rights[rows].tolist(),
            self.attributes[rows].tolist(),
            [context.targets[code] for code in self.target[rows].tolist()],
            [areas[at].name if at >= 0 else None for at in self.area[rows].tolist()],
            lvl.tolist(),
            entry_pa.tolist(),
            entry.tolist(),
            self.times[rows].tolist(),
        )
        return tuple(Place(*row) for row in zip(*columns, strict=True))


def rows_of(context: Context, graph: Graph) -> Rows:
    """Return the regions of a folded walk's leaves, none of which spans two areas."""
    areas = context.profile.areas if context.profile else ()
    reached = graph.reached(Kind.LEAF)
    if reached > _MANY and reached > _PATHS * graph.leaves:
        return _first_pages(context, graph)
    ends = [end for area in areas for end in (area.va, area.last_va + 1)]
    cuts = np.array(sorted({end for end in ends if end >> 64 == 0}), dtype=np.uint64)
    try:
        found = regions(graph, context.target, fold=True, cuts=cuts if cuts.size else None)
    except PtliveError:  # more than can be held
        return _first_pages(context, graph)
    return Rows(
        context,
        graph,
        cut=False,
        sizes=tuple(size_name(bits) for bits in found.page_bits),
        space=found.owner,
        va=found.va,
        last_va=found.last_va,
        pa=found.pa,
        pages=found.pages,
        rights=found.rights,
        attributes=found.attributes,
        target=found.target,
        times=found.times,
        area=area_of(areas, found.va),
    )


def _some(sizes: Sequence[str], pages: list[int]) -> Iterator[tuple[str, int]]:
    """Yield each size of which there are pages, and how many."""
    return ((name, count) for name, count in zip(sizes, pages, strict=True) if count)


def members(sets: Bool) -> list[tuple[int, ...]]:
    """Return the numbers of the roots in each set."""
    return [tuple(np.flatnonzero(one).tolist()) for one in sets]


def _first_pages(context: Context, graph: Graph) -> Rows:
    """Return the first pages as regions of their own."""
    areas = context.profile.areas if context.profile else ()
    first = next(iter(paths.leaves(graph, _FIRST)))
    bits = np.unique(first.bits)
    pages = (first.bits[:, None] == bits).astype(np.uint64)
    attributes = np.zeros(len(first), dtype=np.uint64)
    for lvl in np.unique(first.lvl).tolist():
        here = first.lvl == lvl
        attributes[here] = fields.pack_attributes(graph.fmt, lvl, first.entry[here])
    return Rows(
        context,
        graph,
        cut=True,
        sizes=tuple(size_name(size) for size in bits.tolist()),
        space=first.space,
        va=first.va,
        last_va=first.last_va,
        pa=first.pa,
        pages=pages,
        rights=first.rights,
        attributes=attributes,
        target=context.target(first.pa, first.bits.astype(np.uint64)),
        times=np.ones(len(first), dtype=np.uint64),
        area=area_of(areas, first.va),
    )


def entries(context: Context, kind: Kind, limit: int) -> list[Place]:
    """Return the first entries of a kind of hole that is not merely absent, as places."""
    roots = members(context.folded.roots)
    areas = context.profile.areas if context.profile else ()
    others = {Kind.MALFORMED, Kind.UNREADABLE} - {kind}
    floors = [floor.without(np.isin(floor.kind, list(others))) for floor in context.whole.floors]
    result: list[Place] = []
    for chunk in paths.bad(dataclasses.replace(context.whole, floors=floors), limit):
        rows = zip(
            chunk.space.tolist(),
            chunk.va.tolist(),
            chunk.last_va.tolist(),
            area_of(areas, chunk.va).tolist(),
            chunk.lvl.tolist(),
            chunk.entry_pa.tolist(),
            chunk.entry.tolist(),
            strict=True,
        )
        result += [
            Place(
                roots[space],
                va,
                last_va,
                area=areas[area].name if area >= 0 else None,
                level=lvl,
                entry_pa=entry_pa,
                entry=entry,
            )
            for space, va, last_va, area, lvl, entry_pa, entry in rows
        ]
    return result


def spans(graph: Graph) -> tuple[U64, U64]:
    """Return the ends of the regions of linear addresses that some leaves map, sorted.

    Raises PtliveError if there are more than can be held.
    """
    if graph.reached(Kind.LEAF) > _MANY:
        raise PtliveError("there are too many pages")
    found = regions(graph, lambda pa, _: np.zeros(pa.size, dtype=np.uint8))
    order = np.argsort(found.va)
    return found.va[order], found.last_va[order]
