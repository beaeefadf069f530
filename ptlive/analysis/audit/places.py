"""From leaves that a rule means to the places that are told: regions, never single pages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ptlive.analysis.areas import area_of
from ptlive.analysis.audit.context import locate
from ptlive.analysis.audit.finding import Place
from ptlive.analysis.regions import regions
from ptlive.errors import PtliveError
from ptlive.paging import fields, paths
from ptlive.paging.fields import size_name
from ptlive.paging.format import Kind

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ptlive.analysis.audit.context import Context
    from ptlive.arrays import U64, Bool
    from ptlive.paging.graph import Graph

# So many regions of one thing are looked at; what lies beyond is only counted.
MOST = 1 << 16
# Of a graph with more regions than can be held, so many pages stand for them.
_PAGES = 1 << 10


def places(context: Context, graph: Graph) -> tuple[list[Place], int]:
    """Return the regions of a folded walk's leaves as places, and how many there are in all."""
    areas = context.profile.areas if context.profile else ()
    ends = [end for area in areas for end in (area.va, area.last_va + 1)]
    cuts = np.array(sorted({end for end in ends if end >> 64 == 0}), dtype=np.uint64)
    try:
        found = regions(graph, context.target, fold=True, cuts=cuts if cuts.size else None)
    except PtliveError:
        return _single(context, graph), graph.reached(Kind.LEAF)
    some = slice(0, MOST)
    owner, va = found.owner[some], found.va[some]
    lvl, entry_pa, entry = locate(graph, owner, va)
    named = [areas[at].name if at >= 0 else None for at in area_of(areas, va).tolist()]
    sizes = [size_name(bits) for bits in found.page_bits]
    roots = members(context.folded.roots)
    columns: tuple[Sequence[Any], ...] = (  # in the order of a place's fields
        [roots[space] for space in owner.tolist()],
        va.tolist(),
        found.last_va[some].tolist(),
        found.pa[some].tolist(),
        [dict(_some(sizes, pages)) for pages in found.pages[some].tolist()],
        found.rights[some].tolist(),
        found.attributes[some].tolist(),
        [context.targets[code] for code in found.target[some].tolist()],
        named,
        lvl.tolist(),
        entry_pa.tolist(),
        entry.tolist(),
        found.times[some].tolist(),
    )
    result = [Place(*row) for row in zip(*columns, strict=True)]
    return result, len(found)


def _some(sizes: list[str], pages: list[int]) -> Iterator[tuple[str, int]]:
    """Yield each size of which there are pages, and how many."""
    return ((name, count) for name, count in zip(sizes, pages, strict=True) if count)


def members(sets: Bool) -> list[tuple[int, ...]]:
    """Return the numbers of the roots in each set."""
    return [tuple(np.flatnonzero(one).tolist()) for one in sets]


def _single(context: Context, graph: Graph) -> list[Place]:
    """Return the first pages as places of their own."""
    roots = members(context.folded.roots)
    areas = context.profile.areas if context.profile else ()
    result = []
    for chunk in paths.leaves(graph, _PAGES):
        targets = context.target(chunk.pa, chunk.bits.astype(np.uint64)).tolist()
        named = area_of(areas, chunk.va).tolist()
        for row in range(len(chunk)):
            lvl, entry = int(chunk.lvl[row]), chunk.entry[row : row + 1]
            result.append(
                Place(
                    roots[int(chunk.space[row])],
                    int(chunk.va[row]),
                    int(chunk.last_va[row]),
                    int(chunk.pa[row]),
                    {size_name(int(chunk.bits[row])): 1},
                    int(chunk.rights[row]),
                    int(fields.pack_attributes(graph.fmt, lvl, entry)[0]),
                    context.targets[targets[row]],
                    areas[named[row]].name if named[row] >= 0 else None,
                    lvl,
                    int(chunk.entry_pa[row]),
                    int(entry[0]),
                )
            )
    return result


def entries(context: Context, kind: Kind, limit: int) -> list[Place]:
    """Return the first entries of a kind of hole as places; those alike side by side as one."""
    roots = members(context.folded.roots)
    areas = context.profile.areas if context.profile else ()
    result: list[Place] = []
    for chunk in paths.bad(context.whole):
        rows = np.flatnonzero(chunk.kind == kind)[: limit - len(result)]
        named = area_of(areas, chunk.va[rows]).tolist()
        for row, area in zip(rows.tolist(), named, strict=True):
            result.append(
                Place(
                    roots[int(chunk.space[row])],
                    int(chunk.va[row]),
                    int(chunk.last_va[row]),
                    area=areas[area].name if area >= 0 else None,
                    level=int(chunk.lvl[row]),
                    entry_pa=int(chunk.entry_pa[row]),
                    entry=int(chunk.entry[row]),
                )
            )
        if len(result) >= limit:
            break
    return result


def spans(context: Context, graph: Graph) -> tuple[U64, U64]:
    """Return the ends of the regions of linear addresses that some leaves map, sorted."""
    found = regions(graph, lambda pa, _: np.zeros(pa.size, dtype=np.uint8))
    order = np.argsort(found.va)
    return found.va[order], found.last_va[order]
