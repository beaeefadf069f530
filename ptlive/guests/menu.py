"""The menu guest: a bare-metal ELF file that travels with the package."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ptlive.guests import built
from ptlive.guests.ready import Says
from ptlive.guests.recipe import Boot, Recipe

if TYPE_CHECKING:
    from collections.abc import Callable

ELF = Path(__file__).with_name("menu.elf")
_SOURCE = ELF.parents[2] / "guest"


def _prepare(progress: Callable[[str], None]) -> Boot:
    built.provide(ELF, "the menu guest", _SOURCE, progress)
    return Boot(kernel=ELF, symbols=ELF)


def has_source() -> bool:
    """Tell whether this is a source checkout, which can build the guest."""
    return (_SOURCE / "Makefile").exists()


RECIPE = Recipe(
    name="menu",
    summary="a bare-metal menu of page-table entries that describes and tests itself",
    memory=256 << 20,
    ready=Says(r"menu: levels=(?P<levels>\d)", whole_lines=True),
    patience=30,
    prepare=_prepare,
)
