"""`ptlive guest`: bundled guests that outlive the command that starts them."""

from __future__ import annotations

import dataclasses
import time
from typing import TYPE_CHECKING, Any

import click

from ptlive.cli.main import DONE
from ptlive.errors import PtliveError
from ptlive.guests import RECIPES, recipe
from ptlive.show.json import print_json
from ptlive.show.terminal import columns as in_columns
from ptlive.show.terminal import plain, print_lines, stdout
from ptlive.target import launch, running
from ptlive.target.machine import Machine
from ptlive.target.process import orderly_signals

if TYPE_CHECKING:
    from ptlive.target.running import Guest

_UNITS = {"K": 10, "M": 20, "G": 30}


@click.group()
def guest() -> None:
    """Start, stop and list bundled guests."""


def _memory(_ctx: click.Context, _param: click.Parameter, value: str | None) -> int | None:
    if value is None:
        return None
    shift = _UNITS.get(value[-1:].upper(), 0)
    number = value[:-1] if shift else value
    if not (number.isascii() and number.isdigit()):
        raise click.BadParameter(f"{value!r} is no size: give 512M or 2G")
    return int(number) << (shift or _UNITS["M"])


@guest.command()
@click.argument("kind", type=click.Choice(list(RECIPES)))
@click.option("--levels", type=click.Choice(["4", "5"]), default="5", show_default=True)
@click.option("--gdb", metavar="HOST:PORT|unix:PATH", help="Where the gdb stub is to listen.")
@click.option("--memory", callback=_memory, metavar="SIZE", help="RAM, as 512M.")
@click.option("--cpus", type=click.IntRange(1), default=1, show_default=True)
@click.option("--accel", type=click.Choice(["tcg", "kvm"]), default="tcg", show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.argument("extra", metavar="[-- QEMU OPTION...]", nargs=-1, type=click.UNPROCESSED)
def start(
    kind: str,
    levels: str,
    gdb: str | None,
    memory: int | None,
    cpus: int,
    accel: str,
    as_json: bool,
    extra: tuple[str, ...],
) -> int:
    """Boot a guest, print how to attach to it, and leave it running.

    \b
    menu   bare metal: every kind of mapping, described by the guest itself
    linux  Debian's packaged cloud kernel with a busybox prompt
    """  # noqa: D301 - \b is click's mark for lines to leave as they are
    machine = Machine(
        levels=int(levels), accel=accel, gdb=gdb, memory=memory, cpus=cpus, extra=extra
    )
    made = recipe(kind)
    with orderly_signals():
        started = launch.start(made, machine, outlive=True, progress=_tell)
        try:
            _tell(f"booting {kind}")
            said = launch.wait_ready(started, made)
        except BaseException:
            launch.stop(started)
            raise
    if as_json:
        print_json({"schema": "ptlive.guest/1", "guests": [_as_json(started)]})
        return DONE
    for line in (
        f"{started.name} is up: {plain(said)}",
        f"  ptlive map --guest {started.name}",
        f"  gdb -ex 'target remote {started.gdb.removeprefix('unix:')}'",
        f"  serial log: {started.serial_log}",
        f"  ptlive guest stop {started.name}",
    ):
        stdout().out(line, highlight=False)
    return DONE


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
        raise PtliveError("no bundled guest is running")
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
        print_json({"schema": "ptlive.guest/1", "guests": [_as_json(one) for one in guests]})
        return DONE
    if not guests:
        stdout().out("no bundled guest is running", highlight=False)
        return DONE
    rows = [
        (
            one.name,
            one.kind,
            str(one.levels),
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


def _as_json(one: Guest) -> dict[str, Any]:
    return dataclasses.asdict(one)


def _tell(line: str) -> None:
    click.echo(f"ptlive: {plain(line)}", err=True)
