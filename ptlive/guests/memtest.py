"""memtest86+ at work: 64-bit code on a page table of its own, which identity-maps 4 GB.

It writes to all of RAM but where it is itself, so that what is left there of others changes
all the time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ptlive.guests import debian
from ptlive.guests.ready import Says
from ptlive.guests.recipe import Boot, Recipe

if TYPE_CHECKING:
    from collections.abc import Callable


def _prepare(progress: Callable[[str], None]) -> Boot:
    kernel = debian.provide("memtest86+", "boot/memtest86+x64.bin", progress)
    # Other CPUs would only test along.
    return Boot(kernel=kernel, append="console=ttyS0,115200 nosmp")


RECIPE = Recipe(
    name="memtest",
    summary="memtest86+ testing memory, 4 levels",
    memory=128 << 20,
    # It writes a screen, not lines.
    ready=Says(r"Status: Testing"),
    patience=120,
    prepare=_prepare,
    levels=(4,),
)
