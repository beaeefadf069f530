"""`ptlive stats`: how much is mapped, and what its tables cost."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
import numpy as np

from ptlive.analysis.filters import filtered
from ptlive.analysis.statistics.leaves import Kinds, distinct_bytes
from ptlive.analysis.statistics.tables import tables
from ptlive.answers.ranges import ends, united
from ptlive.answers.together import alike
from ptlive.cli.bundle import Command
from ptlive.cli.connect import connect
from ptlive.cli.filters import FilterOptions, filter_options
from ptlive.cli.main import DONE
from ptlive.cli.options import RANGE, TargetOptions, target_options
from ptlive.cli.profile import ProfileOptions, profile_of, profile_options
from ptlive.cli.tell import tell_changes
from ptlive.errors import PtliveError
from ptlive.memory.told import ToldMemory
from ptlive.paging.sums import paths_from
from ptlive.paging.walk import walk
from ptlive.paging.words import none_inside
from ptlive.show import statistics as show
from ptlive.show.json import print_json
from ptlive.show.progress import progress
from ptlive.show.statistics import Statistics
from ptlive.show.terminal import heading, stdout, write_lines
from ptlive.space import TARGET_NAMES

if TYPE_CHECKING:
    from collections.abc import Callable

    from ptlive.analysis.areas import Area
    from ptlive.analysis.filters import Filter
    from ptlive.analysis.statistics.leaves import Count
    from ptlive.arrays import U64, Bool
    from ptlive.paging.graph import Graph
    from ptlive.space import AddressSpace

    Told = Callable[[str, int, int], None]

LAST = (1 << 64) - 1


@click.command("stats", cls=Command)
@click.argument("ranges", metavar="[VA[..LAST_VA]]...", type=RANGE, nargs=-1)
@filter_options
@profile_options
@target_options
def stats(
    target: TargetOptions,
    profile: ProfileOptions,
    wanted: FilterOptions,
    ranges: tuple[tuple[int, int], ...],
) -> int:
    """Print how much is mapped, by size, rights and areas, and what the tables cost.

    A leaf entry or a table counts once however many addresses, or roots, reach it;
    "reached" counts it as often as they do, and so does "bytes", of addresses. With
    several roots each is told by itself, and then all together.
    """
    whole = united(ranges)
    with connect(target) as connection, progress() as told:
        spaces = connection.spaces
        known = profile_of(connection, spaces[0], None, profile)
        areas = known.areas if known is not None else ()
        results: list[Statistics] = [None] * len(spaces)  # type: ignore[list-item]  # filled below
        totals = []
        for group in alike(spaces):
            some = [spaces[at] for at in group]
            counted = _Counted(some, wanted.of(some[0].format), whole, areas, told)
            for number, at in enumerate(group):
                results[at] = counted.of(number)
            totals.append(counted.of(None))
        changes = connection.changes()
    if target.json:
        encoded = [show.as_json(one, TARGET_NAMES) for one in results]
        value = connection.envelope("stats", encoded, changes=changes)
        value["total"] = [
            {"format": one.fmt.name, "result": show.as_json(one, TARGET_NAMES)} for one in totals
        ]
        print_json(value)
        return DONE
    for space, one in zip(spaces, results, strict=True):
        connection.print_root(space)
        _print(one)
    for one in totals if len(spaces) > 1 else []:
        stdout().print(heading(f"all roots of {one.fmt.name} together"))
        _print(one)
    if changes:
        tell_changes(changes)
    return DONE


def _print(one: Statistics) -> None:
    write_lines(show.lines(one, TARGET_NAMES))


class _Counted:
    """What is counted of some address spaces, walked as one."""

    def __init__(
        self,
        spaces: list[AddressSpace],
        wanted: Filter,
        ranges: tuple[tuple[int, int], ...],
        areas: tuple[Area, ...],
        told: Told,
    ) -> None:
        first = spaces[0]
        memory, roots = ToldMemory(first.memory, told), np.stack([s.root for s in spaces])

        def look(at: tuple[U64, U64] | None) -> Graph:
            return walk(first.format, memory, roots, at)

        def some(graph: Graph) -> Graph:
            return filtered(graph, wanted, first.target_of)[0]

        self.fmt = first.format
        # Tables are what they are, whichever of their leaves are wanted.
        self.whole = look(ends(ranges))
        self.graph = some(self.whole)
        if self.graph.tops.number.size == 0:
            raise PtliveError(none_inside(first.format))
        self.kinds = Kinds(self.graph, first.target_of)
        # The areas in another walk, as parts: tables at their ends are in both.
        self.parts = _parts(areas, ranges)
        at = ends(tuple(part[:2] for part in self.parts))
        self.apart = some(look(at)) if areas else None
        self.kinds_apart = Kinds(self.apart, first.target_of) if self.apart is not None else None

    def of(self, space: int | None) -> Statistics:
        """Return the statistics of one of the spaces, or of all together."""
        paths = paths_from(self.graph, _of_space(self.graph, space))
        return Statistics(
            self.fmt,
            self.kinds.count(paths),
            distinct_bytes(self.graph, paths),
            tables(self.whole, paths),
            self._areas(space),
        )

    def _areas(self, space: int | None) -> dict[str, Count]:
        """Return what is mapped in each area that has something."""
        if self.apart is None or self.kinds_apart is None:
            return {}
        tops, found = self.apart.tops, {}
        for name in dict.fromkeys(name for *_, name in self.parts):
            mine = [at for at, part in enumerate(self.parts) if part[2] == name]
            chosen = _of_space(self.apart, space) & np.isin(tops.number, mine)
            count = self.kinds_apart.count(paths_from(self.apart, chosen)).total
            if count.reached:
                found[name] = count
        return found


def _of_space(graph: Graph, space: int | None) -> Bool:
    here = graph.tops.space >= 0 if space is None else graph.tops.space == space
    return np.asarray(here, dtype=np.bool_)


def _parts(
    areas: tuple[Area, ...], ranges: tuple[tuple[int, int], ...]
) -> list[tuple[int, int, str]]:
    """Return what lies in ranges, or everything, cut into areas and what is between them."""
    parts: list[tuple[int, int, str]] = []
    at = 0
    for area in areas:
        if at < area.va:
            parts.append((at, area.va - 1, ""))
        parts.append((area.va, area.last_va, area.name))
        at = area.last_va + 1
    if at <= LAST:
        parts.append((at, LAST, ""))
    return [
        (max(va, first), min(last_va, last), name)
        for va, last_va, name in parts
        for first, last in ranges or ((0, LAST),)
        if va <= last and first <= last_va
    ]
