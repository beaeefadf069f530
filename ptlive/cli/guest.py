"""`ptlive guest`: bundled guests that outlive the command that starts them."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ptlive.cli.main import DONE
from ptlive.cli.tell import tell
from ptlive.cli.witness import serial_log, told, witness
from ptlive.errors import PtliveError
from ptlive.guests import RECIPES, linux, recipe
from ptlive.guests.mapper import parse_order
from ptlive.guests.said.mapper import read_witness
from ptlive.show.json import print_json
from ptlive.show.terminal import columns as in_columns
from ptlive.show.terminal import plain, print_lines, stdout
from ptlive.target import launch, running
from ptlive.target.machine import Machine
from ptlive.target.process import orderly_signals
from ptlive.target.ready import wait_ready

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ptlive.guests import Recipe
    from ptlive.guests.said.mapper import Witness
    from ptlive.target.running import Guest

_UNITS = {"K": 10, "M": 20, "G": 30}
_PARKED = {"spin": "spins in user mode", "sleep": "sleeps", "exit": "has ended"}


@click.group()
def guest() -> None:
    """Start, stop and list bundled guests."""


guest.add_command(witness)


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
@click.option("--levels", type=click.Choice(["4", "5"]), help="5, where the guest can.")
@click.option("--gdb", metavar="HOST:PORT|unix:PATH", help="Where the gdb stub is to listen.")
@click.option("--memory", callback=_memory, metavar="SIZE", help="RAM, as 512M.")
@click.option("--cpus", type=click.IntRange(1), default=1, show_default=True)
@click.option("--accel", type=click.Choice(["tcg", "kvm"]), default="tcg", show_default=True)
@click.option(
    "--map",
    "order",
    metavar="KIND[=N],...",
    help="linux: have it map thp=4,scattered=100000,keys ..., or all, and spin.",
)
@click.option(
    "--kernel", type=click.Path(path_type=Path), metavar="FILE", help="linux: another bzImage."
)
@click.option(
    "--release",
    metavar="NAME",
    help="linux: the kernel of another Debian release, as bookworm-backports.",
)
@click.option(
    "--append",
    multiple=True,
    metavar="TEXT",
    help="linux: more for the kernel's command line, as pti=on.",
)
@click.option("--uefi", is_flag=True, help="linux: boot by UEFI firmware.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.argument("extra", metavar="[-- QEMU OPTION...]", nargs=-1, type=click.UNPROCESSED)
def start(
    kind: str,
    levels: str | None,
    gdb: str | None,
    memory: int | None,
    cpus: int,
    accel: str,
    order: str | None,
    kernel: Path | None,
    release: str | None,
    append: tuple[str, ...],
    uefi: bool,
    as_json: bool,
    extra: tuple[str, ...],
) -> int:
    """Boot a guest, print how to attach to it, and leave it running.

    \b
    menu     bare metal: every kind of mapping, described by the guest itself
    linux    Debian's packaged cloud kernel with a busybox prompt
    ovmf     UEFI firmware in its shell
    xen      the hypervisor, with a paravirtual domain that spins
    memtest  memtest86+ at work

    With --map a program in the Linux guest maps memory of many kinds, says what the
    kernel tells about those pages (`ptlive guest witness`), and stays in user mode, so
    that CR3 is its root and PKRU its own.
    """  # noqa: D301 - \b is click's mark for lines to leave as they are
    made = _recipe(kind, order, kernel, release, append, uefi)
    machine = Machine(
        levels=int(levels) if levels else made.levels[0],
        accel=accel,
        gdb=gdb,
        memory=memory,
        cpus=cpus,
        extra=extra,
    )
    with orderly_signals():
        started = launch.start(made, machine, outlive=True, progress=tell)
        try:
            tell(f"booting {kind}")
            started = wait_ready(started, made)
            seen = read_witness(serial_log(started)) if order else None
        except BaseException:
            launch.stop(started)
            raise
    if as_json:
        more = {"witness": told(seen)} if seen else {}
        print_json({"schema": "ptlive.guest/1", "guests": [_as_json(started) | more]})
        return DONE
    for line in (
        f"{started.name} is up: {plain(started.said)}",
        *(_summary(started, seen) if seen else ()),
        f"  ptlive map --guest {started.name}",
        f"  gdb -ex 'target remote {started.gdb.removeprefix('unix:')}'",
        f"  serial log: {started.serial_log}",
        *_prompt(made, started),
        f"  ptlive guest stop {started.name}",
    ):
        stdout().out(line, highlight=False)
    return DONE


def _recipe(
    kind: str,
    order: str | None,
    kernel: Path | None,
    release: str | None,
    append: tuple[str, ...],
    uefi: bool,
) -> Recipe:
    """Return the recipe of what was asked for. Raises PtliveError for what does not fit."""
    given = {
        "--map": order,
        "--kernel": kernel,
        "--release": release,
        "--append": append,
        "--uefi": uefi,
    }
    if not any(given.values()):
        return recipe(kind)
    if kind != linux.RECIPE.name:
        name = next(name for name, value in given.items() if value)
        raise PtliveError(f"{name} is for the linux guest; {kind} has no use for it")
    return linux.recipe(
        order=parse_order(order) if order else None,
        kernel=kernel,
        append=" ".join(append),
        release=release or "",
        uefi=uefi,
    )


def _prompt(made: Recipe, one: Guest) -> Iterator[str]:
    """Yield where the guest's prompt is, if it has one."""
    if made.name == linux.RECIPE.name:
        yield f"  its prompt: {one.serial.removeprefix('unix:')} (a unix socket)"


def _summary(one: Guest, seen: Witness) -> Iterator[str]:
    """Yield what a user wants to know of a mapper's run."""
    pages = sum(area.pages for area in seen.sums)
    yield f"  process {seen.pid} mapped {pages} pages and {_PARKED.get(seen.park, 'is parked')}"
    yield from (f"  without {plain(what)}" for what in seen.without)
    yield f"  ptlive guest witness {one.name}"


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
