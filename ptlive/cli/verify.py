"""`ptlive verify`: is the walk right."""

from __future__ import annotations

import shlex
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click
import numpy as np

from ptlive.access_kind import ACCESS_KINDS
from ptlive.cli.bundle import Command
from ptlive.cli.connect import connect
from ptlive.cli.main import DONE, FAILED, FOUND
from ptlive.cli.options import RANGE, TargetOptions, target_options
from ptlive.cli.tell import tell, tell_notes
from ptlive.errors import PtliveError
from ptlive.files import writing
from ptlive.show import junit as ci
from ptlive.show import report as show
from ptlive.show.json import print_json
from ptlive.show.progress import progress
from ptlive.show.terminal import stdout
from ptlive.target.machine import QEMU
from ptlive.verify.choice import choose
from ptlive.verify.run import ORACLES, STRAYS, Plan, verify
from ptlive.verify.twins.accel import ACCELERATORS

# What they take, predictions and answers, stays below some GB.
MOST_STRAYS = 10_000_000

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ptlive.analysis.report import Report


@click.command("verify", cls=Command)
@click.argument("ranges", metavar="[VA[..LAST_VA]]...", type=RANGE, nargs=-1)
@click.option(
    "--oracle",
    "oracles",
    type=click.Choice(ORACLES),
    multiple=True,
    help="Who is asked; may be repeated.  [default: twin, where it can be]",
)
@click.option(
    "--twin-qemu",
    metavar="PROGRAM",
    default=QEMU,
    show_default=True,
    help="Which QEMU the twin is.",
)
@click.option(
    "--twin-accel",
    "accels",
    type=click.Choice(ACCELERATORS),
    multiple=True,
    help="Under what the twin runs; may be repeated.  [default: as the guest]",
)
@click.option(
    "--access",
    "accesses",
    type=click.Choice(list(ACCESS_KINDS)),
    multiple=True,
    help="Kinds of access; may be repeated.  [default: all]",
)
@click.option(
    "--let-run", is_flag=True, help="If the vCPU is halted, let the guest run until it wakes."
)
@click.option(
    "--each-frame", is_flag=True, help="Ask the twin for each 4K frame inside 2M and 1G pages."
)
@click.option(
    "--random",
    "strays",
    type=click.IntRange(0, MOST_STRAYS),
    default=STRAYS,
    show_default=True,
    help="So many random addresses the twin is asked besides.",
)
@click.option(
    "--junit",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write the result as JUnit XML, too.",
)
@click.option("--probes", type=click.IntRange(1), default=2000, show_default=True, help="At most.")
@click.option(
    "--seed", type=click.IntRange(0), default=0, show_default=True, help="Of what is chosen."
)
@target_options
def verify_(
    target: TargetOptions,
    ranges: tuple[tuple[int, int], ...],
    oracles: tuple[str, ...],
    twin_qemu: str,
    accels: tuple[str, ...],
    accesses: tuple[str, ...],
    each_frame: bool,
    strays: int,
    junit: Path | None,
    probes: int,
    let_run: bool,
    seed: int,
) -> int:
    """Ask oracles whether the walk is right, about everything or the ranges given.

    \b
    twin          a private copy of the guest, whose MMU makes every kind of access
                  to every leaf and hole; the guest itself is not touched. Its
                  RAM is mapped where it is shared, else copied first.
    stepped       the guest's own MMU: a vCPU of the stopped guest executes each
                  access. It writes and steps, and puts everything back.
    debug-walker  QEMU's gva2gpa, which knows no rights: a second opinion.
    info-tlb      QEMU's info tlb, over QMP: every page that it prints, and its flags.

    Exit status: 0 all agreed; 1 something disagreed; 2 it could not be done, or
    a property was not checked once.
    """  # noqa: D301 - \b is click's mark for lines to leave as they are
    if target.live:
        raise PtliveError("verify needs a guest that stands still, and --live reads one that runs")
    addresses = [first for first, last in ranges if first == last]
    if addresses and len(addresses) < len(ranges):
        raise click.UsageError("give addresses or ranges, not both")
    columns = np.array(ranges, dtype=np.uint64).reshape(-1, 2).T
    results: list[Report] = []
    rest = "".join(f" {first:#x}..{last:#x}" for first, last in ranges if first != last)
    rest += "".join(f" {address:#x}" for address in addresses)
    rest += "".join(f" --access {name}" for name in accesses)
    rest += " --each-frame" if each_frame else ""
    rest += f" --random {strays}" if strays != STRAYS else ""
    with (
        _told_to_ci(junit),
        connect(target, let_run=let_run) as connection,
        progress() as show_progress,
    ):
        choice = choose(
            oracles, connection.target, connection.spaces, connection.running, qemu=twin_qemu
        )
        notes = choice.notes
        tell_notes(notes)
        for space in choice.spaces:
            plan = Plan(
                oracles=choice.oracles,
                kinds=[ACCESS_KINDS[name] for name in accesses or ACCESS_KINDS],
                ranges=(columns[0], columns[1]) if ranges else None,
                va=np.array(addresses, dtype=np.uint64) if addresses else None,
                probes=probes,
                seed=seed,
                strays=strays,
                each_frame=each_frame,
                accels=accels,
                root=selection(target, space.origin, twin_qemu),
                rest=rest,
                guest=connection.running,
                ram=choice.ram,
                qemu=twin_qemu,
                version=choice.version,
            )
            results.append(verify(connection.target, space, plan, show_progress))
    asked = list(zip(connection.spaces, results, strict=True))
    if junit:
        write(junit, ci.junit([(space.title, space.format, one) for space, one in asked]))
    if target.json:
        print_json(connection.envelope("verify", list(map(show.as_json, results)), notes))
    else:
        for space, report in asked:
            connection.print_root(space)
            for line in show.lines(space.format, report):
                stdout().print(line)
    if any(report.disagreed for report in results):
        return FOUND
    never = {f"{c.oracle} {c.aspect}" for report in results for c in report.never_checked}
    if never:
        tell(f"not checked once: {', '.join(sorted(never))}")
    return FAILED if never else DONE


@contextmanager
def _told_to_ci(junit: Path | None) -> Iterator[None]:
    """Write into the JUnit file why a verification could not be done.

    That it can be written is seen first, and no older result is left to be taken for ours.
    """
    if junit:
        write(junit, b"")
    try:
        yield
    except PtliveError as error:
        if junit:
            write(junit, ci.junit_of_error(str(error)))
        raise


def write(path: Path, data: bytes) -> None:
    """Write a file. Raises PtliveError if that cannot be."""
    with writing(path):
        path.write_bytes(data)


def selection(target: TargetOptions, origin: str, twin_qemu: str) -> str:
    """Return the options that choose the guest, the root and the twin, as they were given."""
    given = [
        ("--guest", target.guest),
        ("--gdb", target.gdb),
        ("--qmp", target.qmp),
        ("--from", None if target.from_file is None else str(target.from_file)),
        *(("--assume", one) for one in target.assume),
        ("--vcpu", None if target.vcpu == 1 else str(target.vcpu)),
        ("--format", target.format),
        ("--twin-qemu", None if twin_qemu == QEMU else twin_qemu),
        ("--root", None if origin == "cr3" else origin),
        ("--memory", None if target.memory == "auto" else target.memory),
        ("--pkru", None if target.pkru is None else hex(target.pkru)),
    ]
    return "".join(f" {name} {shlex.quote(value)}" for name, value in given if value is not None)
