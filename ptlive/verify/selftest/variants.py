"""Entries in every variant: what one table of a bench holds.

No rule of paging is stated here. An entry that grants everything is taken, and
each of its 64 bits is changed, alone, with P, and in many combinations; which of
them matter, and how, is for the walker and the MMU to say.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np

P, RW, US, PS, XD = 1 << 0, 1 << 1, 1 << 2, 1 << 7, 1 << 63
OPEN = P | RW | US
#: The bits that rights are made of; the matrix has them in every combination.
RIGHTS = (RW, US, XD)
KEY_SHIFT, KEYS = 59, 16
ADDRESS = (1 << 52) - (1 << 12)
ENTRY_NAMES = ("PTE", "PDE", "PDPTE", "PML4E", "PML5E")
PAGE_SIZES = ("4K", "2M", "1G", "512G", "256T")
_BIT_NAMES = {0: "P", 1: "R/W", 2: "U/S", 3: "PWT", 4: "PCD", 5: "A", 6: "D", 7: "PS", 63: "XD"}
# Entries that differ in two to four bits at random: so many of each shape.
_RANDOM = 60


@dataclass(frozen=True)
class Variant:
    """An entry as it differs from one that grants everything.

    name: says how; leaf: whether that one maps a page; flips: the bits that are
    changed in it; rights: whether nothing but rights differs
    """

    name: str
    leaf: bool
    flips: int
    rights: bool


def variants(lvl: int, random: np.random.Generator) -> list[Variant]:
    """Return all variants of an entry of one level; the first of each shape is the open one.

    At every level but the last there are those with PS set, too: it is not for here
    to say where that makes a page.
    """
    return [
        Variant(f"{_shape(lvl, leaf)} {_changes(flips, lvl, leaf)}", leaf, flips, rights)
        for leaf in ([True] if lvl == 1 else [False, True])
        for flips, rights in dict(reversed(list(_flips(random)))).items()
    ]


def _flips(random: np.random.Generator) -> Iterator[tuple[int, bool]]:
    """Yield which bits of the open entry to change, and whether they are rights alone."""
    for number in range(1 << len(RIGHTS)):
        yield sum(mask for at, mask in enumerate(RIGHTS) if number >> at & 1), True
    for bit in range(64):
        yield 1 << bit, 1 << bit in RIGHTS
        yield P | 1 << bit, False
    for key in range(1, KEYS):
        yield key << KEY_SHIFT, False
        yield key << KEY_SHIFT | US, False
    for _ in range(_RANDOM):
        bits = random.choice(64, size=random.integers(2, 5), replace=False)
        yield sum(1 << int(bit) for bit in bits), False


def _shape(lvl: int, leaf: bool) -> str:
    return f"{PAGE_SIZES[lvl - 1]} {ENTRY_NAMES[lvl - 1]}" if leaf else ENTRY_NAMES[lvl - 1]


def _changes(flips: int, lvl: int, leaf: bool) -> str:
    """Say what is changed, such as `R/W=0 bit 51=1`; bits of an address as `bit 20 flipped`."""
    base = OPEN | (PS if leaf and lvl > 1 else 0)
    names = _BIT_NAMES | ({7: "PAT"} if lvl == 1 else {})
    words = [
        f"bit {bit} flipped"
        if ADDRESS >> bit & 1
        else f"{names.get(bit, f'bit {bit}')}={1 - (base >> bit & 1)}"
        for bit in range(64)
        if flips >> bit & 1
    ]
    return ", ".join(words) or "open"
