"""`ptlive map`: what is mapped."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from ptlive.analysis.absent.counts import absent_counts
from ptlive.analysis.absent.runs import AbsentRuns, absent_runs
from ptlive.analysis.filters import Dropped, filtered
from ptlive.analysis.regions.build import Regions, regions
from ptlive.analysis.tree import Run, Tree, merged_tables
from ptlive.answers.areas import chosen_ranges, cuts_of
from ptlive.answers.ranges import ends, united
from ptlive.answers.spaces import isolation_notes
from ptlive.cli.area_option import AREA_OPTION
from ptlive.cli.bundle import Command
from ptlive.cli.connect import connect
from ptlive.cli.filters import FilterOptions, filter_options
from ptlive.cli.main import DONE
from ptlive.cli.options import RANGE, TargetOptions, target_options
from ptlive.cli.profile import ProfileOptions, profile_of, profile_options
from ptlive.cli.tell import tell, tell_changes, tell_notes
from ptlive.errors import PtliveError
from ptlive.paging.format import Kind
from ptlive.paging.words import none_inside
from ptlive.show import areas as show_areas
from ptlive.show import regions as show
from ptlive.show import tree as show_tree
from ptlive.show import words
from ptlive.show.holes import absent_json, absent_lines, bad_entries, bad_lines
from ptlive.show.json import print_json
from ptlive.show.progress import progress
from ptlive.show.terminal import heading, stdout, write_lines
from ptlive.space import TARGET_NAMES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ptlive.analysis.profile import Profile
    from ptlive.cli.connect import Connection
    from ptlive.paging.graph import Graph
    from ptlive.space import AddressSpace

RUNS = 100_000


@dataclass(frozen=True)
class MapOptions:
    """What is to be shown, and how."""

    ranges: tuple[tuple[int, int], ...]
    areas: tuple[str, ...]
    split_pa: bool
    fold: bool
    absent: bool
    verbose: bool
    tree: bool
    depth: int | None


@dataclass(frozen=True, eq=False)
class Mapped:
    """What was found of one address space; graph: before the filter, some: after it.

    found: the regions, unless the tree was asked for
    """

    space: AddressSpace
    graph: Graph
    some: Graph
    dropped: Dropped
    found: Regions | None
    profile: Profile | None
    runs: AbsentRuns | None


@click.command("map", cls=Command)
@click.argument("ranges", metavar="[VA[..LAST_VA]]...", type=RANGE, nargs=-1)
@filter_options
@AREA_OPTION
@click.option("--split", type=click.Choice(["pa"]), help="Also split where the frames jump.")
@click.option("--no-fold", is_flag=True, help="List what repeats at equal distances one by one.")
@click.option(
    "--absent", is_flag=True, help="List entries that are not present but hold something."
)
@click.option("--tree", is_flag=True, help="Show the tables, level by level, and their entries.")
@click.option(
    "--depth",
    type=click.IntRange(1),
    metavar="N",
    help="With --tree: how many levels of tables to show.  [default: all but the last]",
)
@profile_options
@target_options
def map_(
    target: TargetOptions,
    profile: ProfileOptions,
    wanted: FilterOptions,
    ranges: tuple[tuple[int, int], ...],
    area: tuple[str, ...],
    split: str | None,
    no_fold: bool,
    absent: bool,
    tree: bool,
    depth: int | None,
) -> int:
    """Print what is mapped, neighbouring pages of equal rights and attributes merged.

    Rights are folded over all levels: r w x u, a dash where denied; u is user
    mode. A physical address with "..." begins frames that do not follow each
    other. What repeats at equal distances is one line: start, last and physical
    are of the first one, the pages are those of all.
    """
    if depth is not None and not tree:
        raise click.UsageError("--depth is of --tree")
    whole, fold = united(ranges), not no_fold
    asked = MapOptions(whole, area, split == "pa", fold, absent, target.verbose, tree, depth)
    with connect(target) as connection, progress() as told:
        results = [
            _map(connection, space, asked, wanted, profile, told) for space in connection.spaces
        ]
        notes = isolation_notes(connection.spaces)
        changes = connection.changes()
    tell_notes(notes)
    # The guest goes on from here: whoever reads the output may take their time.
    if target.json:
        encoded = [_as_json(one, asked) for one in results]
        print_json(connection.envelope("map", encoded, notes, changes))
        return DONE
    for space, one in zip(connection.spaces, results, strict=True):
        connection.print_root(space)
        _print(one, asked)
    if changes:
        tell_changes(changes)
    return DONE


def _map(
    connection: Connection,
    space: AddressSpace,
    asked: MapOptions,
    wanted: FilterOptions,
    profile: ProfileOptions,
    told: Any,
) -> Mapped:
    filter_ = wanted.of(space.format)
    graph = space.walk(ends(asked.ranges), told)
    if graph.tops.number.size == 0:
        raise PtliveError(none_inside(space.format))
    known = profile_of(connection, space, graph, profile)
    if asked.areas and known is None:
        raise PtliveError("--area needs a system that is known, and this one is not (--profile)")
    if asked.areas:
        graph = space.walk(ends(chosen_ranges(known, asked.areas, asked.ranges)), told)
    some, dropped = filtered(graph, filter_, space.target_of)
    found = None
    if not asked.tree:
        cuts = cuts_of(known)
        found = regions(some, space.target_of, split_pa=asked.split_pa, fold=asked.fold, cuts=cuts)
    runs = absent_runs(graph, known, RUNS) if asked.absent else None
    return Mapped(space, graph, some, dropped, found, known, runs)


def _print(one: Mapped, asked: MapOptions) -> None:
    """Print what was found of one address space."""
    known = one.profile
    if known is not None and asked.verbose:
        for line in show_areas.evidence_lines(known):
            tell(line)
    areas = known.areas if known is not None else ()
    if one.found is None:
        write_lines(show_tree.lines(one.graph.fmt, _tree(one, asked), TARGET_NAMES))
    else:
        blocks = show.text(one.found, TARGET_NAMES, areas, verbose=asked.verbose)
        stdout().print(heading(next(blocks).rstrip()))
        for block in blocks:
            stdout().file.write(block)
    write_lines(_below(one, known))


def _tree(one: Mapped, asked: MapOptions) -> Iterator[Run]:
    depth = max(len(one.some.floors) - 1, 1) if asked.depth is None else asked.depth
    return merged_tables(Tree(one.some, one.space.target_of, depth).runs())


def _below(one: Mapped, known: Profile | None) -> Iterator[str]:
    """Yield what stands below the regions."""
    yield from bad_lines(one.graph)
    if one.runs is not None:
        yield from absent_lines(one.runs, known, one.graph.fmt, RUNS)
    # Who asks for pages of one kind does not ask for what is no page.
    if known is not None and (one.runs is not None or not one.dropped.leaves):
        yield from show_areas.absent_lines(one.graph.fmt, known, absent_counts(one.graph, known))
    yield _summary(one)


def _as_json(one: Mapped, asked: MapOptions) -> dict[str, Any]:
    graph, known = one.graph, one.profile
    areas = known.areas if known is not None else ()
    shown: dict[str, Any]
    if one.found is None:
        shown = {"tree": show_tree.as_json(graph.fmt, _tree(one, asked), TARGET_NAMES)}
    else:
        shown = {"regions": show.as_json(one.found, TARGET_NAMES, areas)}
    result: dict[str, Any] = {
        **_counts(one),
        **shown,
        "bad_entries": bad_entries(graph),
    }
    if one.dropped.leaves:
        result["filtered_out"] = one.dropped._asdict()
    if known is not None:
        result["profile"] = show_areas.profile_json(known)
        result["not_present"] = show_areas.absent_json(
            graph.fmt, known, absent_counts(graph, known)
        )
    if one.runs is not None:
        result["absent"] = absent_json(one.runs, known, graph.fmt)
        result["absent_complete"] = one.runs.complete
    return result


def _counts(one: Mapped) -> dict[str, int]:
    """Return how much was found, without what was filtered out."""
    return {
        "tables": one.graph.tables,
        "leaves": one.graph.leaves - one.dropped.leaves,
        "reached": one.graph.reached(Kind.LEAF) - one.dropped.reached,
    }


def _summary(one: Mapped) -> str:
    counts = _counts(one)
    leaves = words.count(counts["leaves"], "leaf entry")
    reached = words.count(counts["reached"], "time")
    tables = words.count(counts["tables"], "table")
    regions = f"{_regions(one.found)}, " if one.found is not None else ""
    less = one.dropped
    without = f"; filtered out: {words.count(less.leaves, 'leaf entry')}" if less.leaves else ""
    return f"{regions}{leaves} reached {reached}, {tables}, {one.graph.fmt.name}{without}"


def _regions(found: Regions) -> str:
    several = int(found.times.sum())
    folded = f" ({several:,} unfolded)" if several > len(found) else ""
    return f"{words.count(len(found), 'region')}{folded}"
