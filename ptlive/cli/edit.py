"""`ptlive edit`: change page tables of a stopped guest; by default, only show what would change."""

from __future__ import annotations

import dataclasses
import time
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ptlive.answers.edit import edit_of, fields_of, rights_of
from ptlive.answers.edit_write import check_writable, patches, take_back, write
from ptlive.answers.spaces import space_at
from ptlive.cli.bundle import Command, bundle, option
from ptlive.cli.connect import connect
from ptlive.cli.filters import Size
from ptlive.cli.main import DONE, FOUND
from ptlive.cli.options import NUMBER, RANGE, ROOT, TargetOptions, target_options
from ptlive.cli.tell import tell_notes
from ptlive.errors import PtliveError
from ptlive.show import edit as show
from ptlive.show import regions as show_regions
from ptlive.show import report as show_report
from ptlive.show import words
from ptlive.show.json import print_json
from ptlive.show.progress import progress
from ptlive.show.terminal import heading, plain, print_lines, stdout, verdict, write_lines
from ptlive.space import TARGET_NAMES
from ptlive.verify.edit import ask_edited, dangers, execute

if TYPE_CHECKING:
    from collections.abc import Callable

    from ptlive.analysis.edit import Edit
    from ptlive.analysis.regions.build import Regions
    from ptlive.analysis.report import Report
    from ptlive.answers.edit_write import Flushed
    from ptlive.cli.connect import Connection
    from ptlive.paging.graph import Write
    from ptlive.paging.operations import Made
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


def _how(command: Any) -> Any:
    return bundle("how", How, (field.name for field in fields(How)), _OPTIONS)(command)


@dataclass(frozen=True, eq=False)
class _Done:
    """An edit of one address space, and all that is to be said of it."""

    space: AddressSpace
    edit: Edit
    changed: list[Write]
    tables: list[Made]
    before: Regions
    after: Regions
    warnings: list[str]
    mmu: Report | None = None
    mmu_why: str = ""
    undo: Path | None = None
    flushed: Flushed | None = None
    executed: Report | None = None
    executed_why: str = ""

    @property
    def bad(self) -> bool:
        """Whether there is something that the user must look at."""
        reports = [one for one in (self.mmu, self.executed) if one is not None]
        return any(one.disagreed for one in reports) or (bool(self.warnings) and not self.undo)


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
    """Map in a range what another root maps there: an address, vcpu:N or cr3.

    The frames are the same, not copies, and the flags, too; tables are new ones. The range
    must not be mapped before.
    """

    def do(one: Edit, connection: Connection, space: AddressSpace) -> None:
        other = space_at(connection.target, target, source)
        if other.format.name != space.format.name:
            raise PtliveError(f"{other.title} is of {other.format.name}, not {space.format.name}")
        one.copy(space.memory, other.root)

    return _run(target, how, range_, "copy", do)


@edit.command(cls=Command)
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--force", is_flag=True, help="Also where the guest has written since.")
@target_options
def undo(target: TargetOptions, file: Path, force: bool) -> int:
    """Put back what an edit changed, if it is as the edit left it.

    What the MMU has noted since in entries that stay mapped (A, D) is kept.
    """
    with connect(_alone(target)) as connection:
        check_writable(connection.target)
        count, flushed = take_back(connection.target, file, force=force)
        whole = words.count(count, "piece")
        result = {"operation": "undo", "restored": count, "tlb_flushed": flushed.done}
        if target.json:
            print_json(connection.envelope("edit", [result] * len(connection.spaces)))
        else:
            are = "is as it was" if count == 1 else "are as they were"
            stdout().out(f"{whole} of memory {are}; {flushed.text}")
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
        one = edit_of(space, *range_, how.frame)
        do(one, connection, space)
        one.frames.check()
        done = _Done(
            space,
            one,
            one.changed(),
            one.tables(),
            space.regions(one.before()),
            space.regions(one.graph()),
            list(dangers(connection.target, space, one)),
        )
        if how.write and done.warnings and not how.yes:
            tell_notes([("danger", text) for text in done.warnings])
            raise PtliveError("nothing was written: --yes writes it all the same")
        done = _written(connection, done, how, name) if how.write else _asked(connection, done, how)
    if target.json:
        print_json(connection.envelope("edit", [_as_json(done, name)]))
    else:
        _print(done)
    return FOUND if done.bad else DONE


def _asked(connection: Connection, done: _Done, how: How) -> _Done:
    """Ask a twin what its MMU answers when it has the edit."""
    if not how.twin:
        return dataclasses.replace(done, mmu_why="it was not asked (--no-twin)")
    if not done.changed:
        return dataclasses.replace(done, mmu_why="nothing would change")
    try:
        with progress() as told:
            args = connection.target, done.space, connection.running, done.edit
            return dataclasses.replace(done, mmu=ask_edited(*args, told))
    except PtliveError as error:
        return dataclasses.replace(done, mmu_why=str(error))


def _written(connection: Connection, done: _Done, how: How, name: str) -> _Done:
    """Write the edit, and have the guest's own MMU confirm it."""
    if not patches(done.edit):
        return dataclasses.replace(done, executed_why="nothing was to change")
    path = how.undo or Path(f"ptlive-undo-{time.strftime('%Y%m%d-%H%M%S')}.json")
    if path.exists():
        raise PtliveError(f"{path} is there already: name another file by --undo")
    about = {
        "operation": name,
        "guest": connection.guest,
        "root": hex(int(done.space.root[0])),
        "format": done.space.format.name,
        "va": hex(done.edit.va),
        "last_va": hex(done.edit.last_va),
    }
    flushed = write(connection.target, done.edit, path, about)
    done = dataclasses.replace(done, undo=path, flushed=flushed)
    ends = done.edit.va, done.edit.last_va
    try:
        report = execute(connection.target, done.space, *ends, connection.running)
        return dataclasses.replace(done, executed=report)
    except PtliveError as error:
        # Then a copy of the guest is asked, which has the edit by now.
        return _asked(connection, dataclasses.replace(done, executed_why=str(error)), how)


def _print(done: _Done) -> None:
    if not done.changed:
        stdout().out("nothing would change: the range is so already, or nothing is mapped there")
        return
    print_lines(show.change_lines(done.space.format, done.changed, done.tables))
    for title, found in (("before", done.before), ("after", done.after)):
        stdout().print(heading(title))
        write_lines(show_regions.lines(found, TARGET_NAMES) if len(found) else ["nothing mapped"])
    for text in done.warnings:
        stdout().print(verdict(f"danger: {text}", good=False))
    for report, why, who in (
        (done.mmu, done.mmu_why, "the MMU of a copy"),
        (done.executed, done.executed_why, "the guest's MMU"),
    ):
        if report is not None:
            stdout().print(heading(f"what {who} answers"))
            for line in show_report.lines(done.space.format, report):
                stdout().print(line)
        elif why:
            stdout().print(verdict(f"not verified by {who}: {why}", good=None))
    what = show.summary(done.changed, done.tables)
    if done.flushed is None or done.undo is None:
        stdout().out(f"{what} would change; nothing was written (--write does it)")
        return
    stdout().print(verdict(done.flushed.text, good=True if done.flushed.done else None))
    stdout().out(f"{what} written; to undo it: ptlive edit undo {plain(str(done.undo))}")


def _as_json(done: _Done, name: str) -> dict[str, Any]:
    fmt = done.space.format
    return {
        "operation": name,
        "va": words.address(done.edit.va, fmt),
        "last_va": words.address(done.edit.last_va, fmt),
        "changes": show.changes_json(fmt, done.changed),
        "new_tables": show.tables_json(fmt, done.tables),
        "before": show_regions.as_json(done.before, TARGET_NAMES),
        "after": show_regions.as_json(done.after, TARGET_NAMES),
        "dangers": done.warnings,
        "mmu": show_report.as_json(done.mmu) if done.mmu else None,
        "mmu_not_asked": done.mmu_why or None,
        "written": done.undo is not None,
        "undo": str(done.undo) if done.undo else None,
        "tlb": {"flushed": done.flushed.done, "text": done.flushed.text} if done.flushed else None,
        "executed": show_report.as_json(done.executed) if done.executed else None,
        "not_executed": done.executed_why or None,
    }
