"""Entries that are not present and yet hold something, in runs of neighbours that say the same.

A kernel keeps in them where a page went. Entries of zeros are left out: they are all the
rest of the address space.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ptlive.arrays import changes
from ptlive.paging.format import Kind
from ptlive.paging.paths import Paths, holes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ptlive.analysis.profile import Profile
    from ptlive.arrays import U64, Bool, Index
    from ptlive.paging.graph import Floor, Graph

# So many entries are looked at, those of zeros beside the others too.
LIMIT = 1 << 25


class AbsentRun(NamedTuple):
    """Neighbouring entries of one level that say the same; example: the first of them."""

    space: int
    va: int
    last_va: int
    lvl: int
    name: str
    entries: int
    example: int


@dataclasses.dataclass
class AbsentRuns:
    """The runs, by root and address; looked: whether all entries were looked at."""

    runs: list[AbsentRun]
    complete: bool


def absent_runs(graph: Graph, profile: Profile | None, limit: int) -> AbsentRuns:
    """Return the runs of entries that are not present and not zero, at most so many."""
    found = AbsentRuns([], True)
    looked = 0
    for chunk in holes(_towards_rest(graph)):
        looked += len(chunk)
        chosen = np.flatnonzero((chunk.kind == Kind.ABSENT) & (chunk.entry != 0))
        if chosen.size:
            _join(found.runs, _runs(graph, chunk.take(chosen), profile))
        if looked >= LIMIT or len(found.runs) >= limit:
            found.complete = False
            break
    found.runs = found.runs[:limit]
    return found


def _join(runs: list[AbsentRun], more: Iterator[AbsentRun]) -> None:
    """Append runs, the first of which may go on with the last."""
    for run in more:
        last = runs[-1] if runs else None
        same = last is not None and (
            (last.space, last.last_va + 1, last.lvl, last.name)
            == (run.space, run.va, run.lvl, run.name)
        )
        if last is not None and same:
            runs[-1] = last._replace(last_va=run.last_va, entries=last.entries + run.entries)
        else:
            runs.append(run)


def _runs(graph: Graph, some: Paths, profile: Profile | None) -> Iterator[AbsentRun]:
    """Yield runs among entries that come in the order of their addresses."""
    name = _names(graph, some, profile)
    begins = changes(some.space, some.lvl, name)
    begins[1:] |= some.va[1:] != some.last_va[:-1] + np.uint64(1)
    first = np.flatnonzero(begins)
    count = np.diff(np.append(first, len(some)))
    for at, entries in zip(first.tolist(), count.tolist(), strict=True):
        yield AbsentRun(
            int(some.space[at]),
            int(some.va[at]),
            int(some.last_va[at + entries - 1]),
            int(some.lvl[at]),
            str(name[at]),
            entries,
            int(some.entry[at]),
        )


def _names(graph: Graph, some: Paths, profile: Profile | None) -> Index:
    """Return what each entry says, as text; without a profile, that nobody knows."""
    names = np.full(len(some), "not present", dtype=object)
    if profile is not None:
        kernel = some.va >= np.uint64(profile.kernel_from)
        for lvl in np.unique(some.lvl).tolist():
            here = np.flatnonzero(some.lvl == lvl)
            codes, known = profile.absent(lvl, some.entry[here], kernel[here])
            names[here] = np.array(known, dtype=object)[codes]
    return names


def _towards_rest(graph: Graph) -> Graph:
    """Return the graph without the entries behind which nothing of this kind lies."""
    floors: list[Floor] = []
    some: Bool = np.zeros(0, dtype=np.bool_)
    for floor in reversed(graph.floors):
        table = np.flatnonzero(floor.kind == Kind.TABLE)
        led = some[floor.child[table]] if table.size else np.zeros(0, dtype=np.bool_)
        useless = np.zeros(floor.kind.size, dtype=np.bool_)
        useless[table[~led]] = True
        here = np.zeros(floor.nodes.table.size, dtype=np.bool_)
        here[floor.node[table[led]]] = True
        here[_nodes_of(floor, ~graph.fmt.present(floor.rest.entry))] = True
        floors.insert(0, floor.without(useless) if useless.any() else floor)
        some = here
    return dataclasses.replace(graph, floors=floors)


def _nodes_of(floor: Floor, chosen: Bool) -> U64 | Index:
    """Return the nodes that have these entries of the rest."""
    return np.searchsorted(floor.start, floor.rest.position[chosen], side="right") - 1
