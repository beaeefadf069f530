"""`ptlive gdb`: the user's gdb, attached to a guest, with ptlive inside."""

from __future__ import annotations

import importlib.util
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

import ptlive
from ptlive.cli.main import DONE
from ptlive.cli.place import DEFAULT
from ptlive.errors import PtliveError
from ptlive.target import running

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ptlive.target.running import Guest

#: What gdb is to `source`. (Its package can be imported inside gdb only.)
LOADER = Path(ptlive.__file__).parent / "gdb" / "load.py"
#: Names the folders of our libraries to the loader; see ptlive/gdb/packages.py.
PACKAGES = "PTLIVE_PACKAGES"


# No -h: it stands in gdb's own -batch.
@click.command(context_settings={"ignore_unknown_options": True, "help_option_names": ["--help"]})
@click.option("--path", is_flag=True, help="Only print the file that gdb is to `source`.")
@click.option("--guest", metavar="NAME", help="A bundled guest (see: ptlive guest list).")
@click.option(
    "--gdb",
    "address",
    metavar="HOST:PORT|unix:PATH",
    help="Where QEMU's gdb stub listens, or a proxy.  [default: the one guest that runs, "
    f"else {DEFAULT}]",
)
@click.option(
    "--program",
    metavar="PROGRAM",
    envvar="PTLIVE_GDB",
    default="gdb",
    show_default=True,
    show_envvar=True,
    help="Which gdb.",
)
@click.argument("arguments", metavar="[GDB ARGUMENT]...", nargs=-1, type=click.UNPROCESSED)
def gdb(
    path: bool, guest: str | None, address: str | None, program: str, arguments: tuple[str, ...]
) -> int:
    """Start gdb, attached to a guest, with ptlive's commands inside.

    A bundled guest's symbols are loaded where it has some. What follows the options goes to
    gdb, such as vmlinux, -ex COMMAND or -batch; behind -- so do options that ptlive has, too.
    To have it in every gdb, `source` the file that --path prints from ~/.gdbinit.
    """
    if path:
        click.echo(LOADER)
    else:
        _start(guest, address, program, arguments)
    return DONE


def _start(
    name: str | None, address: str | None, program: str, arguments: Sequence[str]
) -> NoReturn:
    """Become gdb."""
    if name and address:
        raise PtliveError("--guest and --gdb both say where the guest is; give one")
    found = shutil.which(program)
    if found is None:
        raise PtliveError(f"{program} is not installed (Debian: apt install gdb)")
    guest = None if address else running.find(name)
    os.environ[PACKAGES] = os.pathsep.join(_packages())
    os.execv(found, [found, *_commands(guest, address or DEFAULT), *arguments])


def _commands(guest: Guest | None, address: str) -> list[str]:
    """Return what gdb is told before the user's own arguments."""
    place = (guest.gdb if guest else address).removeprefix("unix:")
    symbols = ["-ex", f"file {guest.symbols}"] if guest and guest.symbols else []
    return ["-ex", f"source {LOADER}", *symbols, "-ex", f"target remote {place}"]


def _packages() -> list[str]:
    """Return the folders in which this Python finds the libraries."""
    specs = (importlib.util.find_spec(name) for name in ("numpy", "click"))
    origins = (spec.origin for spec in specs if spec is not None and spec.origin)
    return sorted({str(Path(origin).parents[1]) for origin in origins})
