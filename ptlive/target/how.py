"""How a system of the user's own is booted: words of the library and of the pytest plugin."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from os import PathLike

    from ptlive.guests import Recipe
    from ptlive.target.machine import Machine


class How(TypedDict, total=False):
    """How a guest is started; all of it may be left out.

    levels: of paging that its CPU offers, 4 or 5; accel: "tcg" or "kvm"; memory: in bytes, or
    "512M"; cpus: how many vCPUs; extra: more arguments for QEMU
    append: the kernel's command line (of the bundled linux: more for it)

    Of a system of one's own only: initrd, for the kernel; disks: images, which stay as they are;
    cdrom: an ISO image; bios: firmware; symbols: an ELF file with names, by default the kernel;
    debug_exit: the port of QEMU's isa-debug-exit; patience: seconds until it is up, and ready, when
    that is: "paging" (as soon as it is on), a regular expression for what it writes to COM1 or to
    port 0xe9, "at:SYMBOL" or "at:0x..." (where it is stopped), "after:SECONDS", or "now"
    """

    levels: int | None
    accel: str
    memory: int | str | None
    cpus: int
    extra: Sequence[str]
    append: str
    initrd: str | PathLike[str] | None
    disks: Sequence[str | PathLike[str]]
    cdrom: str | PathLike[str] | None
    bios: str | PathLike[str] | None
    symbols: str | PathLike[str] | None
    debug_exit: int | None
    patience: float
    ready: str


#: Those that are of the machine, and not of what it boots.
MACHINE = ("levels", "accel", "memory", "cpus", "extra")
#: Those that name a file.
FILES = ("kernel", "initrd", "cdrom", "bios", "symbols")


def recipe_of(how: Mapping[str, Any], base: Path | None = None) -> Recipe:
    """Return what the launcher boots; relative paths are relative to `base`.

    how: what `How` has, and `kernel`; what is the machine's is passed over
    Raises PtliveError for what cannot be, and if nothing is named.
    """
    from ptlive.guests import own

    def file(name: str | PathLike[str]) -> Path:
        return (base or Path()) / Path(name).expanduser()

    given = {name: value for name, value in how.items() if name not in MACHINE}
    for name in FILES:
        if given.get(name):
            given[name] = file(given[name])
    given["disks"] = [file(one) for one in given.get("disks", ())]
    return own.recipe(**given)


def machine_of(how: Mapping[str, Any], levels: int | None = None) -> Machine:
    """Return the machine that it is booted on, by default with so many levels.

    Raises PtliveError for one that cannot be.
    """
    from ptlive.target.machine import Machine, size_of

    given = {"levels": levels} | {name: how[name] for name in MACHINE if name in how}
    if isinstance(given.get("memory"), str):
        given["memory"] = size_of(given["memory"])
    return Machine(**given)
