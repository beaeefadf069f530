"""`ptlive edit`: change page tables of a stopped guest; by default, only show what would change."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click

from ptlive.answers.edit import edit_of, fields_of, rights_of
from ptlive.answers.edit_undo import take_back
from ptlive.answers.edit_write import check_writable, patches, write
from ptlive.cli.bundle import Command, bundle, option
from ptlive.cli.connect import connect
from ptlive.cli.filters import Size
from ptlive.cli.main import DONE, FOUND
from ptlive.cli.options import NUMBER, RANGE, ROOT, TargetOptions, target_options
from ptlive.cli.spaces import wanted_spaces
from ptlive.cli.tell import tell_notes
from ptlive.errors import PtliveError
from ptlive.show import edit as show
from ptlive.show import words
from ptlive.show.json import print_json
from ptlive.show.progress import progress
from ptlive.show.terminal import stdout, write_lines
from ptlive.space import TARGET_NAMES
from ptlive.verify.edit import ask_edited, dangers, execute

if TYPE_CHECKING:
    from collections.abc import Callable

    from ptlive.analysis.edit import Edit
    from ptlive.cli.connect import Connection
    from ptlive.space import AddressSpace


@dataclass(frozen=True)
class How:
    """How an edit is done."""

    frame: tuple[tuple[int, int], ...]
    write: bool
    undo: Path | None
    yes: bool
    twin: bool


_HOW = "The edit"
_OPTIONS = (
    option("--write", heading=_HOW, is_flag=True, help="Do it; else it is only shown."),
    option(
        "--frame",
        heading=_HOW,
        type=RANGE,
        multiple=True,
        metavar="PA[..LAST_PA]",
        help="Where new tables may be: RAM that nobody uses; may be repeated.",
    ),
    option(
        "--undo",
        heading=_HOW,
        type=click.Path(path_type=Path, dir_okay=False),
        metavar="FILE",
        help="Where to write how to undo it.  [default: ptlive-undo-TIME.json]",
    ),
    option(
        "--yes",
        heading=_HOW,
        is_flag=True,
        help="Write even if a vCPU would lose its code, its stack or the like.",
    ),
    option(
        "--twin/--no-twin",
        heading=_HOW,
        default=True,
        help="Before: ask the MMU of a copy what it would answer.  [default: ask]",
    ),
)


_how = bundle("how", How, _OPTIONS)


class _Work(NamedTuple):
    """One edit of one address space."""

    connection: Connection
    space: AddressSpace
    edit: Edit
    how: How
    name: str


@click.group()
def edit() -> None:
    """Change page tables of a stopped guest; by default, show what would change.

    \b
    Shown are the entries, what the range translates to before and after, and what
    the MMU would answer: it is asked in a private copy of the guest. --write does
    it: it flushes the TLBs, has a vCPU execute accesses to the range, and leaves a
    file from which `ptlive edit undo FILE` puts all back.
    Ranges are VA..LAST_VA, both ends included; pages that are only partly in range
    are split first. New tables need --frame: which memory is free only the guest's
    own kernel knows. An entry that is also reached from outside the range is refused.

    Exit status: 0 done; 1 a vCPU would lose what it stands on, or the MMU disagrees;
    2 it could not be done.
    """  # noqa: D301 - \b is click's mark for lines to leave as they are


_RANGE = click.argument("range_", metavar="VA..LAST_VA", type=RANGE)


@edit.command(cls=Command)
@_RANGE
@click.option(
    "--tables", is_flag=True, help="Clear what refers to tables that are whole in range, too."
)
@_how
@target_options
def unmap(target: TargetOptions, how: How, range_: tuple[int, int], tables: bool) -> int:
    """Unmap a range: its leaf entries become zero; entries that are absent stay as they are."""
    return _run(target, how, range_, "unmap", lambda one, *_: one.unmap(tables=tables))


@edit.command(cls=Command)
@_RANGE
@click.option(
    "--rights",
    metavar="LETTERS",
    help="All of them as a map shows them (r-x-), or those to change: +w, -w, u-x.",
)
@click.option(
    "--attr", multiple=True, metavar="[-]NAME[=VALUE]", help="Set a bit or a field: G, -PCD, PAT."
)
@click.option("--key", type=click.IntRange(0), metavar="N", help="Set the protection key.")
@_how
@target_options
def protect(
    target: TargetOptions,
    how: How,
    range_: tuple[int, int],
    rights: str | None,
    attr: tuple[str, ...],
    key: int | None,
) -> int:
    """Change rights, attributes or the key in the leaf entries of a range.

    What a table above denies stays denied: that shows in what the range would be.
    """
    values = fields_of(attr) | ({} if key is None else {"PK": key})
    if not rights and not values:
        raise click.UsageError("say what is to change: --rights, --attr or --key")

    def do(one: Edit, *_: object) -> None:
        one.protect(*(rights_of(one.fmt, rights) if rights else ((), ())), values)

    return _run(target, how, range_, "protect", do)


@edit.command(cls=Command)
@_RANGE
@click.argument("pa", type=NUMBER)
@click.option("--size", type=Size(), metavar="SIZE", help="In pages of at most this size.")
@click.option(
    "--like",
    type=NUMBER,
    metavar="VA",
    help="Where nothing is mapped: with the flags, and the size, of this one's page.",
)
@_how
@target_options
def remap(
    target: TargetOptions,
    how: How,
    range_: tuple[int, int],
    pa: int,
    size: int | None,
    like: int | None,
) -> int:
    """Have a range translate to the frames from PA on; flags stay as they are."""
    return _run(target, how, range_, "remap", lambda one, *_: one.remap(pa, size, like))


@edit.command(cls=Command)
@_RANGE
@click.argument("size", type=Size())
@_how
@target_options
def split(target: TargetOptions, how: How, range_: tuple[int, int], size: int) -> int:
    """Make pages of at most SIZE of the larger ones; they translate as before."""
    return _run(target, how, range_, "split", lambda one, *_: one.split(size))


@edit.command(cls=Command)
@_RANGE
@click.argument("source", type=ROOT)
@_how
@target_options
def copy(target: TargetOptions, how: How, range_: tuple[int, int], source: str) -> int:
    """Map in a range what another root maps there: an address, cr3, vcpu:N or #N.

    The frames are the same, not copies, and the flags, too; tables are new ones. The range
    must not be mapped before.
    """

    def do(one: Edit, connection: Connection, space: AddressSpace) -> None:
        (other,) = wanted_spaces(connection.target, replace(target, root=(source,)))
        if other.format.name != space.format.name:
            raise PtliveError(f"{other.title} is of {other.format.name}, not {space.format.name}")
        one.copy(space.memory, other.root)

    return _run(target, how, range_, "copy", do)


@edit.command(cls=Command)
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option(
    "--force",
    is_flag=True,
    help="Also where it is not: the guest has written since, or is another.",
)
@target_options
def undo(target: TargetOptions, file: Path, force: bool) -> int:
    """Put back what an edit changed, if it is as the edit left it, in the same address space.

    What the MMU has noted since in entries that stay mapped (A, D) is kept.
    """
    with connect(_alone(target)) as connection:
        check_writable(connection.target)
        count, flushed = take_back(connection.target, target, file, force=force)
        done = flushed is not None and flushed.done
        result = {"operation": "undo", "restored": count, "tlb_flushed": done}
        if target.json:
            print_json(connection.envelope("edit", [result] * len(connection.spaces)))
        elif flushed is None:
            stdout().out("nothing to put back: all is as it was before the edit")
        else:
            are = "is as it was" if count == 1 else "are as they were"
            stdout().out(f"{words.count(count, 'piece')} of memory {are}; {flushed.text}")
    return DONE


def _alone(target: TargetOptions) -> TargetOptions:
    """Refuse what makes no sense for an edit."""
    if target.live:
        raise PtliveError("an edit needs a guest that stands still, and --live reads one that runs")
    if target.all_roots or len(target.root) > 1:
        raise PtliveError("an edit is of one root: name it by one --root")
    return target


def _run(
    target: TargetOptions,
    how: How,
    range_: tuple[int, int],
    name: str,
    do: Callable[[Edit, Connection, AddressSpace], None],
) -> int:
    with connect(_alone(target)) as connection:
        if how.write:
            check_writable(connection.target)
        space = connection.spaces[0]
        one = edit_of(connection.target, space, *range_, how.frame)
        do(one, connection, space)
        one.frames.check()
        done = show.Outcome(
            one,
            one.changed(),
            one.tables(),
            space.regions(one.before()),
            space.regions(one.graph()),
            list(dangers(connection.target, space, one)),
        )
        if how.write and done.dangers and not how.yes:
            tell_notes([("danger", text) for text in done.dangers])
            raise PtliveError("nothing was written: --yes writes it all the same")
        work = _Work(connection, space, one, how, name)
        done = _written(work, done) if how.write else _asked(work, done)
    if target.json:
        print_json(connection.envelope("edit", [show.as_json(done, name, TARGET_NAMES)]))
    else:
        _print(done)
    return FOUND if done.bad else DONE


def _asked(work: _Work, done: show.Outcome) -> show.Outcome:
    """Ask a twin what its MMU answers when it has the edit."""
    connection, space, one, how, _ = work
    if not how.twin:
        return replace(done, mmu_why="it was not asked (--no-twin)")
    if not done.changed:
        return replace(done, mmu_why="nothing would change")
    try:
        with progress() as told:
            report = ask_edited(connection.target, space, connection.running, one, told)
            return replace(done, mmu=report)
    except PtliveError as error:
        return replace(done, mmu_why=str(error))


def _written(work: _Work, done: show.Outcome) -> show.Outcome:
    """Write the edit, and have it confirmed."""
    connection, _, one, how, name = work
    if not patches(one):
        return replace(done, executed_why="nothing was to change")
    path = how.undo or Path(f"ptlive-undo-{time.strftime('%Y%m%d-%H%M%S')}.json")
    if path.exists():
        raise PtliveError(f"{path} is there already: name another file by --undo")
    about = {"operation": name, "guest": connection.guest}
    flushed = write(connection.target, one, path, about)
    done = replace(done, undo=path, flushed=flushed)
    try:
        return _confirmed(work, done)
    except BaseException:
        tell_notes([("written", f"the edit is written; to undo it: ptlive edit undo {path}")])
        raise


def _confirmed(work: _Work, done: show.Outcome) -> show.Outcome:
    """Have the guest's own MMU confirm what is written, else that of a copy."""
    connection, space, one, *_ = work
    if done.dangers:
        # A fault that cannot be delivered resets the guest.
        return _asked(work, replace(done, executed_why="a vCPU has lost what it stands on"))
    try:
        report = execute(connection.target, space, one.va, one.last_va, connection.running)
        return replace(done, executed=report)
    except PtliveError as error:
        # Then a copy of the guest is asked, which has the edit by now.
        return _asked(work, replace(done, executed_why=str(error)))


def _print(done: show.Outcome) -> None:
    for line in show.lines(done, TARGET_NAMES):
        if isinstance(line, str):
            write_lines([line])  # rich looks at each character, and regions may be many
        else:
            stdout().print(line)
