"""Areas: what a system has laid out in its address space, and how that is known.

A profile (see `profile`) names them. They are data for whoever shows or judges regions;
nothing here knows any system.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from ptlive.arrays import U8, U64, Index


class Area(NamedTuple):
    """A named range of linear addresses, ends included, and why it is thought to be there."""

    va: int
    last_va: int
    name: str
    evidence: str


@dataclass(frozen=True, eq=False)
class Profile:
    """What is known of a system beyond what the hardware says.

    name: of the system, such as "linux"
    areas: sorted by address, none overlapping
    evidence: why this is thought to be that system, in sentences
    absent: (level, entries uint64[n]) -> (codes uint8[n], their names): what entries that
        are not present say
    explain: (level, entry) -> what one of them says, with its details
    """

    name: str
    areas: tuple[Area, ...]
    evidence: tuple[str, ...]
    absent: Callable[[int, U64], tuple[U8, tuple[str, ...]]]
    explain: Callable[[int, int], str]


def area_of(areas: tuple[Area, ...], va: U64) -> Index:
    """Return which area each address lies in, intp[n]; -1 for none."""
    if not areas:
        return np.full(va.size, -1, dtype=np.intp)
    first = np.array([area.va for area in areas], dtype=np.uint64)
    last = np.array([area.last_va for area in areas], dtype=np.uint64)
    index = np.searchsorted(first, va, side="right") - 1
    inside = (index >= 0) & (va <= last[np.maximum(index, 0)])
    return np.where(inside, index, -1)
