"""`ptlive export`: the leaves as data for other programs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ptlive.analysis.filters import filtered
from ptlive.answers.ranges import ends, united
from ptlive.cli.bundle import Command
from ptlive.cli.connect import connect
from ptlive.cli.filters import FilterOptions, filter_options
from ptlive.cli.main import DONE
from ptlive.cli.options import RANGE, TargetOptions, target_options
from ptlive.cli.profile import ProfileOptions, profile_of, profile_options
from ptlive.cli.tell import tell_changes, tell_notes
from ptlive.errors import PtliveError
from ptlive.files import check_free
from ptlive.paging.words import none_inside
from ptlive.show import words
from ptlive.show.data.columns import Source
from ptlive.show.data.write import LIMIT, Written, check, export
from ptlive.show.json import print_json
from ptlive.show.progress import progress
from ptlive.show.terminal import plain, stdout
from ptlive.space import TARGET_NAMES
from ptlive.target.process import orderly_signals

if TYPE_CHECKING:
    from ptlive.cli.connect import Connection
    from ptlive.paging.graph import Graph
    from ptlive.space import AddressSpace


@click.command("export", cls=Command)
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.argument("ranges", metavar="[VA[..LAST_VA]]...", type=RANGE, nargs=-1)
@click.option("--holes", is_flag=True, help="What does not translate, too, each entry a row.")
@click.option(
    "--limit",
    type=click.IntRange(0),
    default=LIMIT,
    show_default=True,
    help="So many rows at most; it is told when there are more.",
)
@click.option("--force", is_flag=True, help="Replace a file of that name.")
@filter_options
@profile_options
@target_options
def export_(
    target: TargetOptions,
    profile: ProfileOptions,
    wanted: FilterOptions,
    file: Path,
    ranges: tuple[tuple[int, int], ...],
    holes: bool,
    limit: int,
    force: bool,
) -> int:
    """Write every page to FILE, as Parquet (.parquet), Arrow (.arrow) or CSV (.csv).

    A row for each page and each address at which it is reached: addresses, entry, rights
    folded over all levels, attributes, A and D, what it lies in. Rows are ordered by root,
    and then by address; with --holes, the holes of a root follow its pages.
    """
    check(file)
    check_free(file, force=force)
    with connect(target) as connection, progress() as told:
        at = ends(united(ranges))
        graphs = [space.walk(at, told) for space in connection.spaces]
        sources = [
            _source(connection, space, graph, profile, wanted)
            for space, graph in zip(connection.spaces, graphs, strict=True)
        ]
        changes = connection.changes()
    # The guest goes on from here; all that is written now is known.
    about = {"ptlive.guest": connection.guest, "ptlive.notes": json.dumps(connection.notes)}
    with orderly_signals(), progress() as told:  # or one would leave half a file behind
        done = export(file, sources, with_holes=holes, limit=limit, about=about, progress=told)
    notes = [("limited", _limited(done))] if sum(done.written) < sum(done.rows) else []
    tell_notes(notes)
    if target.json:
        results = [
            {"file": str(file), "rows": rows, "written": written}
            for rows, written in zip(done.rows, done.written, strict=True)
        ]
        print_json(connection.envelope("export", results, notes, changes))
        return DONE
    roots = words.count(len(sources), "root")
    size = file.stat().st_size
    text = f"{file}: {words.count(sum(done.written), 'row')} of {roots}, {size:,} bytes"
    stdout().out(plain(text), highlight=False)
    if changes:
        tell_changes(changes)
    return DONE


def _source(
    connection: Connection,
    space: AddressSpace,
    graph: Graph,
    profile: ProfileOptions,
    wanted: FilterOptions,
) -> Source:
    if not graph.tops.number.size:
        raise PtliveError(none_inside(space.format))
    known = profile_of(connection, space, graph, profile)
    some, _ = filtered(graph, wanted.of(space.format), space.target_of)
    return Source(
        walked=some,
        root=int(space.root[0]),
        origin=space.origin,
        target_of=space.target_of,
        targets=TARGET_NAMES,
        areas=tuple(known.areas) if known else (),
    )


def _limited(done: Written) -> str:
    missing = words.count(sum(done.rows) - sum(done.written), "row")
    return f"{missing} more than --limit allows, and the file ends before them"
