"""`ptlive find --tables`: which frames are tables, and what reaches them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ptlive.analysis import find as analysis
from ptlive.analysis import tables as about
from ptlive.analysis.fold import fold, tables
from ptlive.cli.tell import tell_changes
from ptlive.paging.select import only
from ptlive.show import find as show
from ptlive.show import words
from ptlive.show.json import print_json
from ptlive.show.terminal import heading, print_blocks, print_lines, stdout, write_lines

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ptlive.analysis.fold import Folded, Tables
    from ptlive.answers.together import Together
    from ptlive.cli.connect import Connection
    from ptlive.cli.torn import Changes

# Frames that are named where a few are meant.
_NAMED = 8


def print_tables(
    connection: Connection,
    groups: list[Together],
    limit: int,
    *,
    as_json: bool,
    changes: Changes | None,
) -> None:
    """Print the tables of some address spaces; limit: of the mappings that user mode has."""
    found = []
    for group in groups:
        if as_json:
            found.append(_as_json(group, limit))
            continue
        if len(groups) > 1:
            stdout().print(heading(group.graph.fmt.name))
        _print(group, limit)
    if not as_json:
        if changes:
            tell_changes(changes)
        return
    counted: dict[int, int] = {}
    for group in groups:
        members = tables(group.graph).roots.sum(axis=0).tolist()
        counted |= {id(space): count for space, count in zip(group.spaces, members, strict=True)}
    results = [{"tables": counted[id(space)]} for space in connection.spaces]
    print_json({**connection.envelope("tables", results, changes=changes), "found": found})


def _print(group: Together, limit: int) -> None:
    known, folded = tables(group.graph), fold(group.graph)
    print_lines(show.table_counts(group.graph.fmt, known))
    write_lines(_sentences(group, known, folded))
    answer = _user(group, known, folded, limit)
    if len(answer.spans):
        stdout().print(heading("what user mode reaches of them"))
        print_blocks(show.listing(answer))


def _sentences(group: Together, known: Tables, folded: Folded) -> Iterator[str]:
    """Yield what is to be said of all tables."""
    reach = about.reach(folded.graph, about.spans_of(group.graph.fmt, known))
    several = about.at_several_levels(known)
    if several:
        some = " ".join(map(hex, several[:_NAMED])) + (" ..." if len(several) > _NAMED else "")
        yield f"{words.count(len(several), 'frame')} are tables of more than one level: {some}"
    count = known.pa.size
    yield (
        f"of {words.count(count, 'table')} the kernel can write "
        f"{int(reach.supervisor.sum()):,} through these roots, user mode can read "
        f"{int(reach.user.sum()):,} and write {int(reach.user_writes.sum()):,}"
    )


def _user(group: Together, known: Tables, folded: Folded, limit: int) -> show.Answer:
    """Return what user mode reaches of the tables."""
    fmt = group.graph.fmt
    user = np.uint64(fmt.right("user").mask)
    spans = about.spans_of(fmt, known)
    graph = only(analysis.mapping(folded.graph, spans), lambda leaf: (leaf.rights & user) != 0)
    reached = spans.take(np.flatnonzero(analysis.counts(graph, spans) > 0)).merged()
    some = reached.take(np.arange(min(len(reached), limit)))
    return show.Answer(
        fmt=fmt,
        spans=some,
        found=analysis.find(graph, some, limit),
        targets=["table"] * len(some),
        places=[""] * len(some),
        tables=known,
        table_of={},
        roots=[hex(int(space.root[0])) for space in group.spaces],
        sets=folded.roots,
    )


def _as_json(group: Together, limit: int) -> dict[str, Any]:
    known, folded = tables(group.graph), fold(group.graph)
    reach = about.reach(folded.graph, about.spans_of(group.graph.fmt, known))
    answer = _user(group, known, folded, limit)
    return {
        "format": group.graph.fmt.name,
        "at_several_levels": [hex(pa) for pa in about.at_several_levels(known)],
        "kernel_writes": int(reach.supervisor.sum()),
        "user_reads": int(reach.user.sum()),
        "user_writes": int(reach.user_writes.sum()),
        "user_mappings": show.as_json(answer),
        "tables": (
            {
                **show.table_json(answer, at),
                "kernel_writes": bool(reach.supervisor[at]),
                "user_reads": bool(reach.user[at]),
                "user_writes": bool(reach.user_writes[at]),
            }
            for at in range(known.pa.size)
        ),
    }
