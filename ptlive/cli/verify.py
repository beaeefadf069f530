"""`ptlive verify`: is the walk right."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
import numpy as np

from ptlive.access_kind import ACCESS_KINDS
from ptlive.cli.connect import connect, tell
from ptlive.cli.main import DONE, FAILED, FOUND
from ptlive.cli.options import RANGE, TargetOptions, target_options
from ptlive.errors import PtliveError
from ptlive.show import report as show
from ptlive.show.json import print_json
from ptlive.show.progress import progress
from ptlive.show.terminal import heading, stdout
from ptlive.verify.fork import TELLING_PKRU
from ptlive.verify.run import ORACLES, Plan, verify

if TYPE_CHECKING:
    from ptlive.analysis.report import Report
    from ptlive.cli.connect import Connection


@click.command("verify")
@click.argument("ranges", metavar="[VA|VA..LAST_VA]...", type=RANGE, nargs=-1)
@click.option(
    "--oracle",
    "oracles",
    type=click.Choice(ORACLES),
    multiple=True,
    help="Who is asked; may be given several times.  [default: twin, where it can be]",
)
@click.option(
    "--access",
    "accesses",
    type=click.Choice(list(ACCESS_KINDS)),
    multiple=True,
    help="Kinds of access; may be given several times.  [default: all]",
)
@click.option(
    "--let-run", is_flag=True, help="If the vCPU is halted, let the guest run until it wakes."
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
    accesses: tuple[str, ...],
    probes: int,
    let_run: bool,
    seed: int,
) -> int:
    """Ask oracles whether the walk is right, about everything or the ranges given.

    \b
    twin          a private copy of the guest, whose MMU makes every kind of access
                  to every leaf and hole; the guest itself is not touched. For
                  guests whose RAM can be forked: the bundled ones, as yet.
    stepped       the guest's own MMU: a vCPU of the stopped guest executes each
                  access. It writes and steps, and puts everything back.
    debug-walker  QEMU's gva2gpa, which knows no rights: a second opinion.

    Exit status: 0 all agreed; 1 something disagreed; 2 it could not be done, or
    a property was not checked once.
    """  # noqa: D301 - \b is click's mark for lines to leave as they are
    addresses = [first for first, last in ranges if first == last]
    if addresses and len(addresses) < len(ranges):
        raise click.UsageError("give addresses or ranges, not both")
    columns = np.array(ranges, dtype=np.uint64).reshape(-1, 2).T
    results: list[Report] = []
    with connect(target, let_run=let_run) as connection, progress() as show_progress:
        chosen, notes = choose(oracles, connection)
        for _, text in notes:
            tell(f"note: {text}")
        for space in connection.spaces:
            plan = Plan(
                oracles=chosen,
                kinds=[ACCESS_KINDS[name] for name in accesses or ACCESS_KINDS],
                ranges=(columns[0], columns[1]) if ranges else None,
                va=np.array(addresses, dtype=np.uint64) if addresses else None,
                probes=probes,
                seed=seed,
                root="" if space.origin == "cr3" else f" --root {space.origin}",
                guest=connection.running,
            )
            results.append(verify(connection.target, space, plan, show_progress))
    if target.json:
        print_json(connection.envelope("verify", list(map(show.as_json, results)), notes))
    else:
        for space, report in zip(connection.spaces, results, strict=True):
            if len(results) > 1:
                stdout().print(heading(f"root {int(space.root[0]):#x} ({space.origin})"))
            for line in show.lines(space.format, report):
                stdout().print(line)
    if any(report.disagreed for report in results):
        return FOUND
    never = {f"{c.oracle} {c.aspect}" for report in results for c in report.never_checked}
    if never:
        tell(f"not checked once: {', '.join(sorted(never))}")
    return FAILED if never else DONE


def choose(
    oracles: tuple[str, ...], connection: Connection
) -> tuple[tuple[str, ...], list[tuple[str, str]]]:
    """Return the oracles, by default the best that there can be, and notes about them."""
    notes = []
    if not oracles:
        oracles = ("twin" if connection.running else "debug-walker",)
        if not connection.running:
            text = "QEMU's debug walker is asked, not the MMU; --oracle stepped asks the MMU"
            notes.append(("not-the-mmu", text))
    by = connection.target.accelerator
    if "stepped" in oracles and by != "TCG":
        # There a step that faults runs on into the handler, and pushes more than is put back.
        raise PtliveError(
            f"the stepped probe leaves a guest as it found it under TCG only, not under {by}"
        )
    if "twin" in oracles and any(space.controls.key_matters for space in connection.spaces):
        text = f"PKRU is not known: the twin has {TELLING_PKRU:#x} (--pkru gives it the guest's)"
        notes.append(("pkru", text))
    return oracles, notes
