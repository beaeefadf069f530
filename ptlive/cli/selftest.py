"""`ptlive selftest`: are the walker's rules those of the MMU."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
import numpy as np

from ptlive.cli.main import DONE, FOUND
from ptlive.cli.options import NUMBER
from ptlive.errors import PtliveError
from ptlive.show import selftest as show
from ptlive.show.json import print_json
from ptlive.show.progress import progress
from ptlive.show.terminal import stdout
from ptlive.target.doctor import program_version
from ptlive.target.machine import QEMU, Machine
from ptlive.target.process import orderly_signals
from ptlive.verify.selftest.cpus import cpu_of, levels_of
from ptlive.verify.selftest.run import Selftest, selftest

if TYPE_CHECKING:
    from ptlive.analysis.selftest import SelftestReport


@click.command("selftest")
@click.argument("addresses", metavar="[VA]...", type=NUMBER, nargs=-1)
@click.option("--levels", type=click.Choice(["4", "5"]), help="Only these.  [default: 5, then 4]")
@click.option("--quick", is_flag=True, help="Leave out the matrix of rights and rare CPUs.")
@click.option(
    "--seed", type=click.IntRange(0), default=0, show_default=True, help="Of all that is random."
)
@click.option(
    "--accel",
    type=click.Choice(["tcg", "kvm"]),
    default="tcg",
    show_default=True,
    help="Whose MMU is asked.",
)
@click.option(
    "--twin-qemu", "qemu", metavar="PATH", default=QEMU, show_default=True, help="Which QEMU's."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def selftest_(
    addresses: tuple[int, ...],
    levels: str | None,
    quick: bool,
    seed: int,
    accel: str,
    qemu: str,
    as_json: bool,
) -> int:
    """Hold the walker's rules against an MMU, on tables made for that; needs no guest.

    A guest's own tables cannot show that a walker is right: those of real kernels
    grant everything above the leaf, and set no reserved bit. Here one table a level
    holds an entry in every variant (each of its bits changed, alone and in many
    combinations, every combination of rights, every protection key), and each kind
    of access is made at addresses that combine them over all levels, with 4 and 5
    levels, in every setting of WP, NXE, SMEP, SMAP and PKE. Compared are outcome,
    error code, CR2, the frame reached, and what the MMU writes into the tables.

    With addresses, only these are asked, on the same tables: a disagreement names
    the command that asks again.

    Exit status: 0 all agreed; 1 something disagreed; 2 it could not be done.
    """
    if levels:
        Machine(levels=int(levels), accel=accel).check_host()
    version = program_version(qemu)
    if version is None:
        raise PtliveError(f"{qemu} is missing, or is no program that tells its version")
    with orderly_signals(), progress() as show_progress:
        asked = Selftest(
            levels=[int(levels)] if levels else levels_of(accel),
            cpu=cpu_of(accel, qemu),
            seed=seed,
            quick=quick,
            va=np.array(addresses, dtype=np.uint64) if addresses else None,
        )
        report = selftest(asked, version, show_progress)
    return _print(report, as_json)


def _print(report: SelftestReport, as_json: bool) -> int:
    if as_json:
        print_json(show.as_json(report))
    else:
        for line in show.lines(report):
            stdout().print(line)
    return FOUND if report.disagreed else DONE
