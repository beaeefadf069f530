"""`ptlive selftest`: are the walker's rules those of the MMU."""

from __future__ import annotations

import shlex
import time

import click
import numpy as np

from ptlive.analysis.selftest import SelftestReport
from ptlive.cli.bundle import Command
from ptlive.cli.connect import connect
from ptlive.cli.main import DONE, FOUND
from ptlive.cli.options import NO_STUB, NUMBER, TargetOptions, target_options
from ptlive.cli.tell import tell_notes
from ptlive.errors import PtliveError
from ptlive.oracle.twin.qemu import version_of
from ptlive.show import selftest as show
from ptlive.show.json import print_json
from ptlive.show.progress import progress
from ptlive.show.terminal import stdout
from ptlive.target.machine import QEMU, Machine
from ptlive.target.process import orderly_signals
from ptlive.verify.choice import choose
from ptlive.verify.selftest.cpus import cpu_of, cpu_of_guest, levels_of
from ptlive.verify.selftest.guest import selftest_guest as changes
from ptlive.verify.selftest.run import Selftest, selftest
from ptlive.verify.twins.accel import ACCELERATORS
from ptlive.verify.twins.fork import fork_of
from ptlive.verify.twins.run import ORACLE


@click.command("selftest", cls=Command)
@click.argument("addresses", metavar="[VA]...", type=NUMBER, nargs=-1)
@click.option("--levels", type=click.Choice(["4", "5"]), help="Only these.  [default: 5, then 4]")
@click.option("--quick", is_flag=True, help="Leave out the matrix of rights and rare CPUs.")
@click.option(
    "--seed", type=click.IntRange(0), default=0, show_default=True, help="Of all that is random."
)
@click.option(
    "--accel", type=click.Choice(ACCELERATORS), help="Whose MMU is asked.  [default: tcg]"
)
@click.option(
    "--twin-qemu",
    "qemu",
    metavar="PROGRAM",
    default=QEMU,
    show_default=True,
    help="Which QEMU the twins are.",
)
@target_options
def selftest_(
    target: TargetOptions,
    addresses: tuple[int, ...],
    levels: str | None,
    quick: bool,
    seed: int,
    accel: str | None,
    qemu: str,
) -> int:
    """Hold the walker's rules against an MMU, on tables made for that; needs no guest.

    A guest's own tables cannot show that a walker is right: those of real kernels
    grant everything above the leaf, and set no reserved bit. Here one table a level
    holds an entry in every variant (each of its bits changed, alone and in many
    combinations, every combination of rights, every protection key), and each kind
    of access is made at addresses that combine them over all levels, with 4 and 5
    levels, in every setting of WP, NXE, SMEP, SMAP and PKE. Compared are outcome,
    error code, CR2, the frame reached, and what the MMU writes into the tables.

    With --guest or --gdb the tables of that guest are changed instead, in a private
    copy: each bit of the entries on the way to leaves and holes of every class.

    With addresses, only these are asked, on the tables made up: a disagreement
    names the command that asks again.

    Exit status: 0 all agreed; 1 something disagreed; 2 it could not be done.
    """
    version = version_of(qemu)
    if target.guest or target.gdb or target.from_file:
        if addresses or levels or quick or accel:
            raise click.UsageError("with a guest there is nothing to choose but --seed")
        report = _of_guest(target, seed, qemu, version)
    else:
        accel = accel or "tcg"
        if levels:
            Machine(levels=int(levels), accel=accel).check_host()
        asked = Selftest(
            levels=[int(levels)] if levels else levels_of(accel),
            cpu=cpu_of(accel, qemu),
            seed=seed,
            quick=quick,
            va=np.array(addresses, dtype=np.uint64) if addresses else None,
        )
        with orderly_signals(), progress() as show_progress:
            report = selftest(asked, version, show_progress)
    if target.json:
        print_json(show.as_json(report))
    else:
        for line in show.lines(report):
            stdout().print(line)
    return FOUND if report.disagreed else DONE


def _of_guest(target: TargetOptions, seed: int, qemu: str, version: str) -> SelftestReport:
    """Change the tables of a guest's copy."""
    if target.live:
        raise PtliveError("a guest whose tables are copied stands still, and --live lets it run")
    begun = time.monotonic()
    with connect(target) as connection, progress() as show_progress:
        held, guest = connection.target, connection.running
        choice = choose((ORACLE,), held, connection.spaces, guest, qemu=qemu)
        tell_notes(choice.notes)
        report = SelftestReport(held.accelerator, version, seed)
        for space in choice.spaces:
            root = "" if space.origin == "cr3" else f" --root {space.origin}"
            door = "--gdb none --qmp" if target.gdb == NO_STUB else "--gdb"
            door = "--from" if target.from_file else door
            again = f"ptlive selftest {door} {shlex.quote(held.address)}{root} --seed {seed}"
            fork = fork_of(held, space, guest, ram=choice.ram, qemu=qemu)
            state = next(cpu for cpu in held.cpus if cpu.vcpu == space.vcpu)
            cpu = cpu_of_guest(state, fork, held.accelerator)
            report.benches.append(changes(space, fork, cpu, seed, again, show_progress))
    report.seconds = time.monotonic() - begun
    return report
