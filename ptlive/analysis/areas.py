"""Areas: what a system has laid out in its address space, and how that is known.

A profile (see `profile`) names them. They are data for whoever shows or judges regions;
nothing here knows any system.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from ptlive.arrays import U8, U64, Bool, Index


class Area(NamedTuple):
    """A named range of linear addresses, ends included, and why it is thought to be there."""

    va: int
    last_va: int
    name: str
    evidence: str


class Explained(NamedTuple):
    """What one entry that is not present says: in short, its numbers by name, in words."""

    name: str
    values: dict[str, int]
    text: str


class Absent(Protocol):
    """Tells what entries that are not present say."""

    def __call__(
        self, lvl: int, entries: U64, kernel: Bool | bool = False
    ) -> tuple[U8, tuple[str, ...]]:
        """Return codes, uint8[n], for entries, uint64[n], and the names of all codes.

        The first code is that of an entry of zeros. kernel: which of them translate the
        kernel's own addresses, where that matters.
        """
        ...


class Explain(Protocol):
    """Tells what one entry that is not present says."""

    def __call__(self, lvl: int, entry: int, kernel: bool = False) -> Explained:
        """Return it with its details; see `Absent`."""
        ...


def _nameless(_va: int) -> str | None:
    return None


@dataclass(frozen=True, eq=False)
class Profile:
    """What is known of a system beyond what the hardware says.

    name: of the system, such as "linux"
    areas: sorted by address, none overlapping
    evidence: why this is thought to be that system, in sentences
    absent, explain: what entries that are not present say; see there
    root: of the address space in which the areas were seen, which may be the other half
        of an isolated pair
    parts: finer areas, known from symbols; they lie inside of areas, on any byte
    name_of: (address) -> the symbol there and how far behind it, None where none is known
    """

    name: str
    areas: tuple[Area, ...]
    evidence: tuple[str, ...]
    absent: Absent
    explain: Explain
    root: int = 0
    parts: tuple[Area, ...] = ()
    name_of: Callable[[int], str | None] = _nameless


def area_of(areas: tuple[Area, ...], va: U64) -> Index:
    """Return which area each address lies in, intp[n]; -1 for none."""
    if not areas:
        return np.full(va.size, -1, dtype=np.intp)
    first = np.array([area.va for area in areas], dtype=np.uint64)
    last = np.array([area.last_va for area in areas], dtype=np.uint64)
    index = np.searchsorted(first, va, side="right") - 1
    inside = (index >= 0) & (va <= last[np.maximum(index, 0)])
    return np.where(inside, index, -1)
