"""`ptlive diff`: what is different between two states of a guest, or two of its roots."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ptlive.analysis.diff.compare import Diff, diff
from ptlive.analysis.diff.kinds import NAMES, Change, wanted
from ptlive.answers.ranges import ends, united
from ptlive.cli.bundle import Command
from ptlive.cli.connect import Connection, connect
from ptlive.cli.main import DONE, FOUND
from ptlive.cli.options import RANGE, TargetOptions, target_options
from ptlive.cli.profile import ProfileOptions, profile_of, profile_options
from ptlive.cli.tell import tell_changes, tell_notes
from ptlive.errors import PtliveError
from ptlive.paging.words import none_inside
from ptlive.show import diff as show
from ptlive.show.json import print_json
from ptlive.show.progress import progress
from ptlive.show.terminal import heading, plain, stdout
from ptlive.space import TARGET_NAMES

if TYPE_CHECKING:
    from collections.abc import Callable

    from ptlive.arrays import U64
    from ptlive.cli.torn import Changes
    from ptlive.space import AddressSpace


class _Kinds(click.ParamType[tuple[str, ...]]):
    """Names of changes, with commas between them."""

    name = "kinds"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, ...]:
        if isinstance(value, tuple):
            return value
        names = tuple(str(value).split(","))
        for name in names:
            if name not in NAMES:
                self.fail(f"{name!r} is none of {', '.join(NAMES)}", param, ctx)
        return names


KINDS = _Kinds()


@dataclass(frozen=True)
class _Wish:
    """What is to be compared, and how it is to be told."""

    ranges: tuple[U64, U64] | None
    kinds: Change
    profile: ProfileOptions
    fold: bool


@dataclass(frozen=True)
class _Compared:
    """Two address spaces, what is different, and in which area each region lies."""

    one: AddressSpace
    other: AddressSpace
    found: Diff
    areas: list[str | None]


@click.command("diff", cls=Command)
@click.argument("what", metavar="[A [B]] [VA[..LAST_VA]]...", nargs=-1)
@click.option("--only", type=KINDS, multiple=True, metavar="KIND,...", help="Only these changes.")
@click.option("--ignore", type=KINDS, multiple=True, metavar="KIND,...", help="Not these changes.")
@click.option("--no-fold", is_flag=True, help="List what repeats at equal distances one by one.")
@profile_options
@target_options
def diff_(
    target: TargetOptions,
    profile: ProfileOptions,
    what: tuple[str, ...],
    only: tuple[tuple[str, ...], ...],
    ignore: tuple[tuple[str, ...], ...],
    no_fold: bool,
) -> int:
    """Tell what is different between A and B, two snapshots, or a snapshot and the guest.

    Without B the guest is compared as it is now; without files, two roots of one guest
    are, given by --root X --root Y.

    Pages that are neighbours and differ alike are one region: + added, - removed, ~ changed
    (moved to another frame, rights, attributes, size, the A and D bits, bits left to
    software), ! faulting for another reason. Kinds: added, removed, moved, rights,
    attributes, size, ad, software, fault. Several roots are matched by address.

    Exit status: 0 no difference, 1 some, 2 it could not be told.
    """
    files, ranges = _arguments(what)
    wanted_kinds = wanted(*(tuple(chain.from_iterable(names)) for names in (only, ignore)))
    if not wanted_kinds:
        raise PtliveError("--ignore leaves none of the changes that --only names")
    with ExitStack() as stack:
        one, other = _sides(stack, target, files)
        told = stack.enter_context(progress())
        matched, alone = _matched(one, other)
        wish = _Wish(ends(united(ranges)), wanted_kinds, profile, fold=not no_fold)
        compared = [_compare(one, other, pair, wish, told) for pair in matched]
        changes = [side.changes() for side in ((one,) if one is other else (one, other))]
    notes = [*_notes(one, other, compared), *((("no-partner", text)) for text in alone)]
    tell_notes(notes)
    if target.json:
        print_json(_envelope(one, other, compared, notes, changes))
    else:
        for each in compared:
            _print(one, other, each)
        for change in filter(None, changes):
            tell_changes(change)
    return FOUND if alone or any(each.found.counts for each in compared) else DONE


def _arguments(what: tuple[str, ...]) -> tuple[list[Path], list[tuple[int, int]]]:
    """Part the arguments: whatever reads as a number or a range is one, the rest are files."""
    files, ranges = [], []
    for word in what:
        try:
            ranges.append(RANGE.convert(word, None, None))
        except click.BadParameter:
            files.append(Path(word))
    for file in files:
        if not file.exists():
            raise PtliveError(f"{str(file)!r} is no file, and no range of addresses")
    if len(files) > 2:
        raise PtliveError(f"two files are compared, and these are {len(files)}")
    return files, ranges


def _sides(
    stack: ExitStack, target: TargetOptions, files: list[Path]
) -> tuple[Connection, Connection]:
    """Return the connections to both sides; for two roots of one guest it is the same one."""
    if files and target.from_file is not None:
        raise PtliveError("the files that are compared are arguments: leave out --from")
    if not files:
        if len(target.root) != 2:
            raise PtliveError(
                "give two files, or a file to compare with the guest, or --root twice"
            )
        connection = stack.enter_context(connect(target))
        return connection, connection
    if len(files) == 2 and (target.guest or target.gdb or target.qmp or target.live):
        raise PtliveError("two files are compared: leave out --guest, --gdb, --qmp and --live")
    rest = [replace(target, from_file=file) for file in files[1:]]
    before = replace(target, from_file=files[0])
    if not rest:
        before = replace(before, guest=None, gdb=None, qmp=None, live=False, memory="auto")
    one = stack.enter_context(connect(before))
    other = stack.enter_context(connect(rest[0] if rest else replace(target, assume=())))
    return one, other


def _matched(
    one: Connection, other: Connection
) -> tuple[list[tuple[AddressSpace, AddressSpace]], list[str]]:
    """Return the address spaces that are compared, and what is told of those without a partner."""
    if one is other:
        return [(one.spaces[0], one.spaces[1])], []
    if len(one.spaces) == len(other.spaces) == 1:
        return [(one.spaces[0], other.spaces[0])], []
    theirs = {int(space.root[0]): space for space in other.spaces}
    mine = {int(space.root[0]): space for space in one.spaces}
    alone = [
        f"{space.title} is in {side.guest} only"
        for side, spaces, others in ((one, mine, theirs), (other, theirs, mine))
        for root, space in spaces.items()
        if root not in others
    ]
    return [(space, theirs[root]) for root, space in mine.items() if root in theirs], alone


def _compare(
    one: Connection,
    other: Connection,
    pair: tuple[AddressSpace, AddressSpace],
    wish: _Wish,
    told: Callable[[str, int, int], None],
) -> _Compared:
    graphs = [space.walk(wish.ranges, told) for space in pair]
    if not any(graph.tops.number.size for graph in graphs):
        raise PtliveError(none_inside(pair[0].format))
    found = diff(
        graphs[0],
        graphs[1],
        pair[0].target_of,
        pair[1].target_of,
        chosen=wish.kinds,
        same_memory=one is other,
        fold=wish.fold,
    )
    if not len(found):
        return _Compared(*pair, found, [])
    known = profile_of(other, pair[1], graphs[1], wish.profile)
    known = known or profile_of(one, pair[0], graphs[0], wish.profile)
    return _Compared(*pair, found, found.area_names(known.areas if known else ()))


def _notes(one: Connection, other: Connection, compared: list[_Compared]) -> list[tuple[str, str]]:
    """Return what the reader must know of what was compared."""
    notes = []
    for each in compared:
        roots = [int(space.root[0]) for space in (each.one, each.other)]
        if one is not other and roots[0] != roots[1]:
            text = f"the root is {roots[0]:#x} on one side and {roots[1]:#x} on the other"
            notes.append(("other-root", f"{text}; --root {roots[0]:#x} compares the first of them"))
        names = [space.format.name for space in (each.one, each.other)]
        if names[0] != names[1]:
            text = f"{names[0]} and {names[1]} are compared address by address"
            notes.append(("other-format", text))
    return notes


def _print(one: Connection, other: Connection, each: _Compared) -> None:
    for sign, side, space in (("---", one, each.one), ("+++", other, each.other)):
        what = f"{side.guest}: {space.title}, {space.format.name}"
        stdout().print(heading(plain(f"{sign} {what}")))
    if len(each.found):
        show.print_diff(show.lines(each.found, TARGET_NAMES, each.areas))
    stdout().out(show.summary(each.found), highlight=False)


def _envelope(
    one: Connection,
    other: Connection,
    compared: list[_Compared],
    notes: list[tuple[str, str]],
    changes: list[Changes | None],
) -> dict[str, Any]:
    """Return the JSON object: that of the new side, with both sides named."""
    sides = [
        side.envelope("diff", [{}] * len(side.spaces), changes=change)
        for side, change in zip((one, other), changes * 2, strict=False)
    ]
    for side in sides:
        del side["schema"], side["roots"]
    more = [{"code": code, "text": text} for code, text in notes]
    return {
        "schema": "ptlive.diff/1",
        **{key: value for key, value in sides[1].items() if key not in ("notes", "torn")},
        "notes": [*sides[0]["notes"], *(sides[1]["notes"] if one is not other else ()), *more],
        "a": sides[0],
        "b": sides[1],
        "roots": [
            {
                **_root(each.other),
                "a": _root(each.one),
                "b": _root(each.other),
                "result": show.result(each.found, TARGET_NAMES, each.areas),
            }
            for each in compared
        ],
    }


def _root(space: AddressSpace) -> dict[str, Any]:
    root = hex(int(space.root[0]))
    return {"root": root, "format": space.format.name, "origin": space.origin}
