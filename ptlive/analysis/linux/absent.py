"""What Linux on x86-64 keeps in entries that are not present."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from ptlive.arrays import U8, U64

NAMES = ("never mapped", "not present")


def absent(lvl: int, entries: U64) -> tuple[U8, tuple[str, ...]]:
    """Explain entries that are not present: codes, and the names of the codes."""
    return np.where(entries == 0, 0, 1).astype(np.uint8), NAMES


def explain(lvl: int, entry: int) -> str:
    """Explain one entry that is not present, with its details."""
    return NAMES[entry != 0]
