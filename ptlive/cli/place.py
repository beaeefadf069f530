"""Which guest the options mean, and by which doors it is entered: its stub, its QMP."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from ptlive.cli import inside
from ptlive.cli.options import NO_STUB
from ptlive.errors import PtliveError
from ptlive.target import running
from ptlive.target.sources import AUTO, GDB, QMP

if TYPE_CHECKING:
    from pathlib import Path

    from ptlive.cli.inside import Debugger
    from ptlive.cli.options import TargetOptions
    from ptlive.target.running import Guest

DEFAULT = "localhost:1234"


@dataclass(frozen=True)
class Place:
    """Where the guest is found.

    gdb: its stub's address, None to leave the stub alone; qmp: its QMP's
    name: what to call it; guest: the bundled guest that it is
    transport: who carries the packets to the stub
    file: what is read in place of a guest that runs somewhere
    debugger: who holds the guest, if we run inside of a debugger
    """

    gdb: str | None
    qmp: str | None
    name: str
    guest: Guest | None
    transport: Literal["stub", "gdb"] = "stub"
    file: Path | None = None
    debugger: Debugger | None = None


def find_place(options: TargetOptions) -> Place:
    """Return where the options say that the guest is. Raises PtliveError if they do not."""
    if options.from_file is not None:
        return _file(options.from_file, options)
    if options.assume:
        raise PtliveError("--assume tells what a file does not hold: name the file by --from")
    debugger = inside.debugger()
    if (
        debugger is not None
        and not (options.gdb or options.live)
        and (options.guest is None or debugger.holds(options.guest))
    ):
        return _debugged(debugger, options)
    stubless = options.live or options.gdb == NO_STUB
    address = None if options.gdb == NO_STUB else options.gdb
    if options.guest and address:
        raise PtliveError("--guest and --gdb both say where the guest is; give one")
    if address or (stubless and options.qmp and not options.guest):
        known = ((one, one.gdb if address else one.qmp) for one in running.guests())
        guest = next((one for one, at in known if at == (address or options.qmp)), None)
    else:
        guest = running.find(options.guest)
    qmp = options.qmp
    if qmp is None and guest is not None and (stubless or options.memory == QMP):
        qmp = guest.qmp
    if stubless and qmp is None:
        what = "--live" if options.live else f"--gdb {NO_STUB}"
        raise PtliveError(
            f"{what} leaves the gdb stub alone, which stops a guest: name its QMP by --qmp"
        )
    name = guest.name if guest and not address else address or (qmp if stubless else None)
    gdb = None if stubless else address or (guest.gdb if guest else DEFAULT)
    return Place(gdb, qmp, name or DEFAULT, guest, "gdb" if options.memory == GDB else "stub")


def _debugged(debugger: Debugger, options: TargetOptions) -> Place:
    """Return the guest that the debugger holds which we are in."""
    guest = debugger.guest()
    qmp = options.qmp
    if qmp is None and guest is not None and options.memory == QMP:
        qmp = guest.qmp
    name = guest.name if guest else debugger.name
    return Place(None, qmp, name, guest, debugger=debugger)


def _file(path: Path, options: TargetOptions) -> Place:
    """Return the file as a place. Raises PtliveError if a live guest is named, too."""
    given = {
        "--guest": options.guest is not None,
        "--gdb": options.gdb is not None,
        "--qmp": options.qmp is not None,
        "--live": options.live,
        "--memory": options.memory != AUTO,
    }
    for name, is_given in given.items():
        if is_given:
            raise PtliveError(f"--from reads a file, and {name} is for a live guest: give one")
    return Place(None, None, str(path), None, file=path)
