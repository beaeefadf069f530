"""`ptlive guest start`: a guest that outlives the command that starts it."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ptlive.cli.bundle import Command, bundle, option
from ptlive.cli.main import DONE
from ptlive.cli.options import NUMBER
from ptlive.cli.tell import tell
from ptlive.cli.witness import serial_log, told
from ptlive.errors import PtliveError
from ptlive.guests import RECIPES, linux, own, recipe
from ptlive.guests.mapper import parse_order
from ptlive.guests.ready import WORDS
from ptlive.guests.said.mapper import read_witness
from ptlive.show.json import print_json
from ptlive.show.terminal import plain, stdout
from ptlive.target import launch
from ptlive.target.how import recipe_of
from ptlive.target.machine import Machine, size_of
from ptlive.target.process import orderly_signals
from ptlive.target.ready import wait_ready

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ptlive.guests import Recipe
    from ptlive.guests.said.mapper import Witness
    from ptlive.target.running import Guest

_PARKED = {"spin": "spins in user mode", "sleep": "sleeps", "exit": "has ended"}
_LAST_PORT = 0xFFFF


@dataclass(frozen=True)
class Told:
    """What the user says of a system; the names are the options'."""

    kernel: Path | None
    append: tuple[str, ...]
    map: str | None
    release: str | None
    uefi: bool
    initrd: Path | None
    disk: tuple[Path, ...]
    cdrom: Path | None
    bios: Path | None
    symbols: Path | None
    ready: str | None
    patience: float | None
    debug_exit: int | None

    def given(self) -> dict[str, Any]:
        """Return what is said at all, by name."""
        return {
            name: told
            for name, told in vars(self).items()
            if told is not False and told not in (None, (), "")
        }

    def check(self, kind: str) -> None:
        """Raise PtliveError for the first option with which such a guest can do nothing."""
        for name in self.given():
            if kind not in _FITS[name]:
                fits = " and ".join(_FITS[name])
                option_name = name.replace("_", "-")
                raise PtliveError(f"--{option_name} is for {fits}; {kind} has no use for it")


_LINUX, _OWN = linux.RECIPE.name, own.NAME
_FITS: dict[str, tuple[str, ...]] = {field.name: (_OWN,) for field in dataclasses.fields(Told)}
_FITS |= {"map": (_LINUX,), "release": (_LINUX,), "uefi": (_LINUX,)}
_FITS |= {"kernel": (_LINUX, _OWN), "append": (_LINUX, _OWN)}


def _memory(_ctx: click.Context, _param: click.Parameter, value: str | None) -> int | None:
    return None if value is None else size_of(value)


def _port(_ctx: click.Context, _param: click.Parameter, value: int | None) -> int | None:
    if value is not None and value > _LAST_PORT:
        raise click.BadParameter(f"{value:#x} is no I/O port")
    return value


_FILE: dict[str, Any] = {"type": click.Path(path_type=Path), "metavar": "FILE"}
_BOTH, _OF_LINUX, _OF_OWN = "linux and own", "linux", "own"
_OPTIONS = (
    option(
        "--kernel",
        heading=_BOTH,
        help="own: an ELF file with a PVH note or a multiboot header, or a bzImage; "
        "linux: another bzImage.",
        **_FILE,
    ),
    option(
        "--append",
        heading=_BOTH,
        multiple=True,
        metavar="TEXT",
        help="The kernel's command line; linux: more for it, as pti=on.",
    ),
    option(
        "--map",
        heading=_OF_LINUX,
        metavar="KIND[=N],...",
        help="Have it map thp=4,scattered=100000,keys ..., or all, and spin.",
    ),
    option(
        "--release",
        heading=_OF_LINUX,
        metavar="NAME",
        help="The kernel of another Debian release, as bookworm-backports.",
    ),
    option("--uefi", heading=_OF_LINUX, is_flag=True, help="Boot by UEFI firmware."),
    option("--initrd", heading=_OF_OWN, help="For the kernel, or its first module.", **_FILE),
    option(
        "--disk",
        heading=_OF_OWN,
        multiple=True,
        help="An image, raw or qcow2; what is written to it is lost. May be repeated.",
        **_FILE,
    ),
    option("--cdrom", heading=_OF_OWN, help="An ISO image.", **_FILE),
    option("--bios", heading=_OF_OWN, help="Firmware, in place of QEMU's.", **_FILE),
    option(
        "--symbols",
        heading=_OF_OWN,
        help="An ELF file with names, if the kernel has none.",
        **_FILE,
    ),
    option(
        "--ready",
        heading=_OF_OWN,
        metavar="WHEN",
        help=f"When it is up: {WORDS}. A REGEX is looked for in what it writes to COM1 and to "
        "port 0xe9; at a place it is stopped.  [default: paging]",
    ),
    option(
        "--patience",
        heading=_OF_OWN,
        type=click.FloatRange(0, min_open=True),
        metavar="SECONDS",
        help=f"How long that may take.  [default: {own.PATIENCE:g}]",
    ),
    option(
        "--debug-exit",
        heading=_OF_OWN,
        type=NUMBER,
        callback=_port,
        metavar="PORT",
        help="Where a byte N ends QEMU with status 2N+1 (isa-debug-exit).",
    ),
)


@click.command(cls=Command)
@click.argument("kind", type=click.Choice([*RECIPES, own.NAME]))
@click.option("--levels", type=click.Choice(["4", "5"]), help="5, where the guest can.")
@click.option("--gdb", metavar="HOST:PORT|unix:PATH", help="Where the gdb stub is to listen.")
@click.option("--memory", callback=_memory, metavar="SIZE", help="RAM, as 512M.")
@click.option("--cpus", type=click.IntRange(1), default=1, show_default=True)
@click.option("--accel", type=click.Choice(["tcg", "kvm"]), default="tcg", show_default=True)
@bundle("of", Told, _OPTIONS)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.argument("extra", metavar="[-- QEMU OPTION...]", nargs=-1, type=click.UNPROCESSED)
def start(
    kind: str,
    levels: str | None,
    gdb: str | None,
    memory: int | None,
    cpus: int,
    accel: str,
    of: Told,
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
    own      a system of yours: a --kernel, --disk, --cdrom or --bios

    With --map a program in the Linux guest maps memory of many kinds, says what the
    kernel tells about those pages (`ptlive guest witness`), and stays in user mode, so
    that CR3 is its root and PKRU its own.
    """  # noqa: D301 - \b is click's mark for lines to leave as they are
    of.check(kind)
    made = _recipe(kind, of)
    machine = Machine(
        levels=int(levels) if levels else made.usual_levels,
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
            seen = read_witness(serial_log(started)) if of.map else None
        except BaseException:
            launch.stop(started)
            raise
    if as_json:
        more = {"witness": told(seen)} if seen else {}
        print_json({"schema": "ptlive.guest/1", "guests": [dataclasses.asdict(started) | more]})
        return DONE
    for line in (
        f"{started.name} is up: {plain(started.said)}{_paging(started)}",
        *(_summary(started, seen) if seen else ()),
        f"  ptlive map --guest {started.name}",
        f"  gdb -ex 'target remote {started.gdb.removeprefix('unix:')}'",
        f"  serial log: {started.serial_log}",
        *_prompt(started),
        f"  ptlive guest stop {started.name}",
    ):
        stdout().out(line, highlight=False)
    return DONE


def _recipe(kind: str, of: Told) -> Recipe:
    """Return the recipe of what was asked for. Raises PtliveError for what does not fit."""
    append = " ".join(of.append)
    if kind == _OWN:
        how = of.given()
        how["append"], how["disks"] = append, how.pop("disk", ())
        return recipe_of(how)
    if kind != _LINUX:
        return recipe(kind)
    return linux.recipe(
        order=parse_order(of.map) if of.map else None,
        kernel=of.kernel,
        append=append,
        release=of.release or "",
        uefi=of.uefi,
    )


def _paging(one: Guest) -> str:
    """Return what is not known beforehand: how a system of the user's pages."""
    if one.kind != _OWN:
        return ""
    return f" ({one.levels} levels of paging)" if one.levels else " (paging is off)"


def _prompt(one: Guest) -> Iterator[str]:
    """Yield where one can type to the guest, if it may listen."""
    what = {_LINUX: "prompt", _OWN: "serial port"}.get(one.kind)
    if what:
        yield f"  its {what}: {one.serial.removeprefix('unix:')} (a unix socket)"


def _summary(one: Guest, seen: Witness) -> Iterator[str]:
    """Yield what a user wants to know of a mapper's run."""
    pages = sum(area.pages for area in seen.sums)
    yield f"  process {seen.pid} mapped {pages} pages and {_PARKED.get(seen.park, 'is parked')}"
    yield from (f"  without {plain(what)}" for what in seen.without)
    yield f"  ptlive guest witness {one.name}"
