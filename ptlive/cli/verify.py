"""`ptlive verify`: is the walk right."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
import numpy as np

from ptlive.access_kind import ACCESS_KINDS
from ptlive.cli.connect import connect
from ptlive.cli.main import DONE, FAILED, FOUND
from ptlive.cli.options import RANGE, TargetOptions, target_options
from ptlive.show import report as show
from ptlive.show.json import print_json
from ptlive.show.progress import progress
from ptlive.show.terminal import heading, stdout
from ptlive.verify.run import ORACLES, Plan, verify

if TYPE_CHECKING:
    from ptlive.analysis.report import Report


@click.command("verify")
@click.argument("ranges", metavar="[VA|VA..LAST_VA]...", type=RANGE, nargs=-1)
@click.option(
    "--oracle",
    "oracles",
    type=click.Choice(ORACLES),
    multiple=True,
    help="Who is asked; may be given several times.  [default: debug-walker]",
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
    r"""Ask oracles whether the walk is right, about everything or the ranges given.

    \b
    stepped       the guest's own MMU: a vCPU of the stopped guest executes each
                  access. It writes and steps, and puts everything back.
    debug-walker  QEMU's gva2gpa, which knows no rights: a second opinion.

    Exit status: 0 all agreed; 1 something disagreed; 2 it could not be done, or
    a property was not checked once.
    """
    addresses = [first for first, last in ranges if first == last]
    if addresses and len(addresses) < len(ranges):
        raise click.UsageError("give addresses or ranges, not both")
    columns = np.array(ranges, dtype=np.uint64).reshape(-1, 2).T
    results: list[Report] = []
    with connect(target, let_run=let_run) as connection, progress() as show_progress:
        for space in connection.spaces:
            plan = Plan(
                oracles=oracles or ("debug-walker",),
                kinds=[ACCESS_KINDS[name] for name in accesses or ACCESS_KINDS],
                ranges=(columns[0], columns[1]) if ranges else None,
                va=np.array(addresses, dtype=np.uint64) if addresses else None,
                probes=probes,
                seed=seed,
                root="" if space.origin == "cr3" else f" --root {space.origin}",
            )
            results.append(verify(connection.target, space, plan, show_progress))
        if target.json:
            print_json(connection.envelope("verify", [show.as_json(one) for one in results]))
    if not target.json:
        for space, report in zip(connection.spaces, results, strict=True):
            if len(results) > 1:
                stdout().print(heading(f"root {int(space.root[0]):#x} ({space.origin})"))
            for line in show.lines(space.format, report):
                stdout().print(line)
    if any(report.disagreed for report in results):
        return FOUND
    return FAILED if any(report.never_checked for report in results) else DONE
