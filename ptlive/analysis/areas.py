"""Areas: named ranges of an address space, and how it is known that they are there."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from ptlive.arrays import U64, Index


class Area(NamedTuple):
    """A named range of linear addresses, ends included, and why it is thought to be there."""

    va: int
    last_va: int
    name: str
    evidence: str


def area_of(areas: tuple[Area, ...], va: U64) -> Index:
    """Return which area each address, uint64[n], lies in, intp[n]; -1 for none.

    areas: sorted by address, none overlapping
    """
    if not areas:
        return np.full(va.size, -1, dtype=np.intp)
    first = np.array([area.va for area in areas], dtype=np.uint64)
    last = np.array([area.last_va for area in areas], dtype=np.uint64)
    index = np.searchsorted(first, va, side="right") - 1
    inside = (index >= 0) & (va <= last[np.maximum(index, 0)])
    return np.where(inside, index, -1)
