"""`ptlive map`: what is mapped."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click
import numpy as np

from ptlive.cli.connect import connect, tell_changes
from ptlive.cli.main import DONE
from ptlive.cli.options import RANGE, TargetOptions, target_options
from ptlive.errors import PtliveError
from ptlive.paging.format import Kind
from ptlive.show import regions as show
from ptlive.show import words
from ptlive.show.holes import bad_entries, bad_lines
from ptlive.show.json import print_json
from ptlive.show.progress import progress
from ptlive.show.terminal import heading, print_lines, stdout
from ptlive.space import TARGET_NAMES

if TYPE_CHECKING:
    from ptlive.arrays import U64
    from ptlive.paging.graph import Graph


@click.command("map")
@click.argument("ranges", metavar="[VA..LAST_VA]...", type=RANGE, nargs=-1)
@click.option("--split", type=click.Choice(["pa"]), help="Also split where the frames jump.")
@target_options
def map_(target: TargetOptions, ranges: tuple[tuple[int, int], ...], split: str | None) -> int:
    """Print what is mapped, neighbouring pages of equal rights and attributes merged.

    Rights are folded over all levels: r w x u, a dash where denied; u is user
    mode. A physical address with "..." begins frames that do not follow each
    other.
    """
    with connect(target) as connection, progress() as told:
        graphs = [space.walk(ends(ranges), told) for space in connection.spaces]
        changes = connection.changes()
    # The guest goes on from here: whoever reads the output may take their time.
    results = []
    for space, graph in zip(connection.spaces, graphs, strict=True):
        if graph.tops.number.size == 0:
            raise PtliveError(f"no address in these ranges is canonical in {space.format.name}")
        found = space.regions(graph, split_pa=split == "pa")
        counts: dict[str, Any] = {
            "tables": graph.tables,
            "leaves": graph.leaves,
            "reached": graph.reached(Kind.LEAF),
        }
        if target.json:
            regions = show.as_json(found, TARGET_NAMES)
            results.append({**counts, "regions": regions, "bad_entries": bad_entries(graph)})
            continue
        if len(connection.spaces) > 1:
            stdout().print(heading(f"root {int(space.root[0]):#x} ({space.origin})"))
        print_lines(show.lines(found, TARGET_NAMES))
        for line in bad_lines(graph):
            stdout().out(line, highlight=False)
        stdout().out(_summary(len(found), graph, counts), highlight=False)
    if target.json:
        print_json(connection.envelope("map", results, changes=changes))
    elif changes:
        tell_changes(changes)
    return DONE


def ends(ranges: tuple[tuple[int, int], ...]) -> tuple[U64, U64] | None:
    """Return ranges as the walker takes them; None for everything."""
    if not ranges:
        return None
    columns = np.array(ranges, dtype=np.uint64).T
    return columns[0], columns[1]


def _summary(regions: int, graph: Graph, counts: dict[str, int]) -> str:
    leaves = words.count(counts["leaves"], "leaf entry")
    reached = words.count(counts["reached"], "time")
    tables = words.count(counts["tables"], "table")
    return (
        f"{words.count(regions, 'region')}, {leaves} reached {reached}, {tables}, {graph.fmt.name}"
    )
