"""`ptlive find`: which addresses reach this physical one."""

from __future__ import annotations

import sys
from contextlib import suppress
from dataclasses import replace
from itertools import chain
from typing import TYPE_CHECKING, Any

import click
import numpy as np

from ptlive.analysis import find as analysis
from ptlive.analysis.find import Spans
from ptlive.analysis.fold import fold, tables
from ptlive.analysis.tables import spans_of
from ptlive.answers.together import Together, walk_together
from ptlive.cli.bundle import Command
from ptlive.cli.connect import connect
from ptlive.cli.find_tables import print_tables
from ptlive.cli.main import DONE, FOUND
from ptlive.cli.options import NUMBER, RANGE, TargetOptions, target_options
from ptlive.cli.profile import ProfileOptions, profile_of, profile_options
from ptlive.cli.tell import tell, tell_changes
from ptlive.errors import PtliveError
from ptlive.show import find as show
from ptlive.show.json import print_json
from ptlive.show.progress import progress
from ptlive.show.terminal import heading, print_blocks, stdout, write_lines
from ptlive.space import TARGET_NAMES

if TYPE_CHECKING:
    from ptlive.analysis.profile import Profile
    from ptlive.cli.connect import Connection
    from ptlive.space import AddressSpace

# Up to so many answers stand under a heading each; more are one table.
_HEADED = 20
# Ranges may all overlap, and each pair of one with a page is a row.
_MOST_RANGES = 1000


@click.command("find", cls=Command)
@click.argument("addresses", metavar="[PA[..LAST_PA]]...", nargs=-1)
@click.option("--va", type=NUMBER, multiple=True, help="Who else maps the frame of this address.")
@click.option("--tables", "about_tables", is_flag=True, help="Which frames are tables.")
@click.option(
    "--limit",
    type=click.IntRange(1, 1 << 22),
    default=100,
    show_default=True,
    help="How many mappings of each are listed; all are counted.",
)
@click.option("--check", is_flag=True, help="Exit with 1 if one of them is mapped nowhere.")
@profile_options
@target_options
def find_(
    target: TargetOptions,
    profile: ProfileOptions,
    addresses: tuple[str, ...],
    va: tuple[int, ...],
    about_tables: bool,
    limit: int,
    check: bool,
) -> int:
    """Find every linear address that reaches a physical one. A single "-" reads stdin.

    Each mapping is told with its rights, page size, level and entry, and, of several
    roots, the roots that have it: what they share is told once. Told too: what the
    address lies in, and whether it is a page table itself, of which roots.

    --tables tells how many frames are tables, and what maps them: whether user mode
    reaches one, and which the kernel itself can write.

    Exit status: 0, or 1 if --check finds an address that nothing maps.
    """
    if about_tables and (addresses or va or check):
        raise PtliveError("--tables tells of all tables, and takes no addresses and no --check")
    spans = _spans(addresses)
    if not about_tables and not len(spans) and not va:
        raise PtliveError("give physical addresses, or --va ADDRESS, or --tables")
    with connect(target) as connection, progress() as told:
        spans, absent = _with_va(connection.spaces, spans, va)
        if absent and not len(spans) and not check:
            raise PtliveError("; ".join(absent))
        groups = walk_together(connection.spaces, told)
        known = [_profiles(connection, group, profile) for group in groups]
        changes = connection.changes()
    for line in absent:
        tell(line)
    if about_tables:
        print_tables(connection, groups, limit, as_json=target.json, changes=changes)
        return DONE
    answers = [
        replace(
            _answer(group, spans, limit),
            areas=[one.areas if one else () for one in some],
            # The kernel's half, where its symbols are, is that of all roots of a system.
            name_of=next((one.name_of for one in some if one), profile.names),
        )
        for group, some in zip(groups, known, strict=True)
    ]
    if target.json:
        notes = [("no-translation", line) for line in absent]
        envelope = connection.envelope("find", _by_root(connection, groups, spans), notes, changes)
        print_json({**envelope, "found": chain.from_iterable(map(show.as_json, answers))})
    else:
        for group, answer in zip(groups, answers, strict=True):
            if len(groups) > 1:
                stdout().print(heading(f"{group.graph.fmt.name}: {' '.join(answer.roots)}"))
            _print(answer)
        if changes:
            tell_changes(changes)
    unmapped = ~np.any([answer.found.count > 0 for answer in answers], axis=0)
    return FOUND if check and (absent or unmapped.any()) else DONE


def _spans(addresses: tuple[str, ...]) -> Spans:
    """Return the stretches that are asked for, from stdin if that is wanted."""
    if addresses == ("-",):
        addresses = tuple(sys.stdin.read().split())
        if not addresses:
            raise PtliveError("no addresses on standard input")
    first = None
    with suppress(ValueError, OverflowError):  # mostly all are plain numbers, maybe a million
        first = np.array([int(word, 0) for word in addresses], dtype=np.uint64)
    if first is not None:
        return Spans(first, first)
    ends = [RANGE.convert(word, None, None) for word in addresses]
    if sum(low != high for low, high in ends) > _MOST_RANGES:
        raise PtliveError(f"more than {_MOST_RANGES} ranges are asked for at once")
    columns = np.array(ends, dtype=np.uint64).reshape(-1, 2).T
    return Spans(columns[0], columns[1])


def _with_va(
    spaces: list[AddressSpace], spans: Spans, va: tuple[int, ...]
) -> tuple[Spans, list[str]]:
    """Add what linear addresses translate to; tell which do not, as sentences."""
    if not va:
        return spans, []
    wanted = np.array(va, dtype=np.uint64)
    answers = [space.translate(wanted) for space in spaces]
    mapped = np.stack([one.mapped for one in answers])
    # In the order in which they were asked for; roots may agree on an address, or not.
    pa = np.stack([one.pa for one in answers]).T[mapped.T].tolist()
    more = np.array(list(dict.fromkeys(pa)), dtype=np.uint64)
    where = f"root {int(spaces[0].root[0]):#x}" if len(spaces) == 1 else "any of the roots"
    absent = [
        f"{address:#x} has no translation in {where}"
        for address, anywhere in zip(va, np.any(mapped, axis=0).tolist(), strict=True)
        if not anywhere
    ]
    first, last = (np.concatenate([ends, more]) for ends in (spans.first, spans.last))
    return Spans(first, last), absent


def _profiles(
    connection: Connection, group: Together, profile: ProfileOptions
) -> list[Profile | None]:
    return [profile_of(connection, space, None, profile) for space in group.spaces]


def _answer(group: Together, spans: Spans, limit: int) -> show.Answer:
    folded = fold(group.graph)
    space = group.spaces[0]
    known = tables(group.graph)
    table_of: dict[int, list[int]] = {}
    both = analysis.pairs(spans, spans_of(group.graph.fmt, known))
    for span, table in zip(*(rows.tolist() for rows in both), strict=True):
        table_of.setdefault(span, []).append(table)
    found, sets = analysis.united(analysis.find(folded.graph, spans, limit), folded.roots)
    codes = space.target_of(spans.first, np.zeros(len(spans), dtype=np.uint64))
    mixed = ~space.ram_map.uniform(spans.first, spans.last)
    names = [
        "mixed" if several else TARGET_NAMES[code]
        for code, several in zip(codes.tolist(), mixed.tolist(), strict=True)
    ]
    return show.Answer(
        fmt=group.graph.fmt,
        spans=spans,
        found=found,
        targets=names,
        places=space.ram_map.names_of(spans.first),
        tables=known,
        table_of=table_of,
        roots=[hex(int(space.root[0])) for space in group.spaces],
        sets=sets,
    )


def _print(answer: show.Answer) -> None:
    if len(answer.spans) > _HEADED:
        print_blocks(show.listing(answer))
        return
    for head, lines in show.headed(answer):
        stdout().print(heading(head))
        write_lines(lines)


def _by_root(connection: Connection, groups: list[Together], spans: Spans) -> list[dict[str, Any]]:
    """Return for each root how many mappings of all stretches it has."""
    counted: dict[int, int] = {}
    for group in groups:
        found = analysis.by_space(analysis.mapping(group.graph, spans)).tolist()
        counted |= {id(space): count for space, count in zip(group.spaces, found, strict=True)}
    return [{"mappings": counted[id(space)]} for space in connection.spaces]
