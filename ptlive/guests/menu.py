"""The menu guest: a bare-metal ELF file that travels with the package."""

from __future__ import annotations

import fcntl
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from ptlive.errors import PtliveError
from ptlive.guests.recipe import Boot, Recipe

if TYPE_CHECKING:
    from collections.abc import Callable

ELF = Path(__file__).with_name("menu.elf")
_SOURCE = ELF.parents[2] / "guest"


def _prepare(progress: Callable[[str], None]) -> Boot:
    if not ELF.exists():
        _build(progress)
    return Boot(kernel=ELF, symbols=ELF)


def has_source() -> bool:
    """Tell whether this is a source checkout, which can build the guest."""
    return (_SOURCE / "Makefile").exists()


def _build(progress: Callable[[str], None]) -> None:
    """Build the guest, where this is a source checkout with a compiler at hand."""
    if not has_source():
        raise PtliveError(f"{ELF} is missing: this installation of ptlive is incomplete")
    if not (shutil.which("make") and shutil.which("gcc")):
        raise PtliveError("the menu guest is not built yet: run scripts/setup, which builds it")
    with open(_SOURCE / "Makefile") as lock:  # two commands at once: the second one waits
        fcntl.flock(lock, fcntl.LOCK_EX)
        if ELF.exists():
            return
        progress("building the menu guest")
        done = subprocess.run(
            ["make", "-s", "-C", str(_SOURCE)], capture_output=True, text=True, check=False
        )
    if done.returncode != 0 or not ELF.exists():
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise PtliveError(f"make -C {_SOURCE} did not build the menu guest: {last}")


RECIPE = Recipe(
    name="menu",
    summary="a bare-metal menu of page-table entries that describes and tests itself",
    memory=256 << 20,
    ready=r"menu: levels=(?P<levels>\d)",
    patience=30,
    prepare=_prepare,
)
