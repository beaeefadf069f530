"""UEFI firmware in its shell: OVMF, from Debian's package.

It pages in long mode with four levels: an identity map, made by EDK II. Newer versions know
five, but take four on the CPU that TCG emulates (tried with 2025.02 of Debian trixie).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ptlive.guests import debian
from ptlive.guests.ready import Says
from ptlive.guests.recipe import Boot, Recipe

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def firmware(progress: Callable[[str], None]) -> Path:
    """Return the firmware, code and variables in one: changed variables stay in memory."""
    return debian.provide("ovmf", "usr/share/ovmf/OVMF.fd", progress)


def _prepare(progress: Callable[[str], None]) -> Boot:
    return Boot(firmware=firmware(progress))


RECIPE = Recipe(
    name="ovmf",
    summary="UEFI firmware (EDK II) in its shell, 4 levels",
    memory=256 << 20,
    ready=Says(r"EDK II$", whole_lines=True),  # the shell's second line
    patience=120,
    prepare=_prepare,
    levels=(4,),
)
