"""`ptlive guest`: guests that outlive the command that starts them."""

from __future__ import annotations

import dataclasses
import time

import click

from ptlive.cli.main import DONE
from ptlive.cli.start import start
from ptlive.cli.witness import witness
from ptlive.errors import PtliveError
from ptlive.show.json import print_json
from ptlive.show.terminal import columns as in_columns
from ptlive.show.terminal import print_lines, stdout
from ptlive.target import launch, running


@click.group()
def guest() -> None:
    """Start, stop and list guests: bundled ones, and systems of your own."""


guest.add_command(start)
guest.add_command(witness)


@guest.command()
@click.argument("names", metavar="[NAME]...", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="Stop all.")
def stop(names: tuple[str, ...], everything: bool) -> int:
    """Stop guests by name, or the only one that runs."""
    if everything:
        chosen = running.guests()
    elif names:
        found = [running.find(name) for name in names]
        chosen = [one for one in found if one is not None]
    else:
        only = running.find()
        chosen = [only] if only else []
    if not chosen:
        raise PtliveError("no guest that ptlive started is running")
    for one in chosen:
        launch.stop(one)
        stdout().out(f"{one.name} stopped", highlight=False)
    return DONE


@guest.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def list_(as_json: bool) -> int:
    """List the guests that run."""
    guests = running.guests()
    if as_json:
        print_json(
            {"schema": "ptlive.guest/1", "guests": [dataclasses.asdict(one) for one in guests]}
        )
        return DONE
    if not guests:
        stdout().out("no guest that ptlive started is running", highlight=False)
        return DONE
    rows = [
        (
            one.name,
            one.kind,
            str(one.levels or "-"),
            one.accelerator,
            f"{one.memory >> 20}M",
            str(one.pid),
            f"{time.time() - one.started:.0f}s",
            one.gdb,
        )
        for one in guests
    ]
    header = ("name", "kind", "levels", "accel", "memory", "pid", "up", "gdb stub")
    print_lines(in_columns(header, rows, "  > >>>"))
    return DONE
