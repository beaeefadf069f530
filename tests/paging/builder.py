"""x86-64 tables as a kernel builds them: map an address, and tables are made on the way."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ptlive.arrays import u64
from ptlive.paging.formats import x86_64
from tests.paging.plain_ram import FRAME, PlainRam
from tests.paging.tables import PWU

if TYPE_CHECKING:
    from ptlive.arrays import U64
    from ptlive.paging.format import Format


class Builder:
    """Page tables in plain RAM; the root is the first frame."""

    def __init__(self, levels: int = 5, frames: int = 32, base: int = 0x10_0000) -> None:
        self.levels = levels
        self.ram = PlainRam(frames * FRAME, base)
        self.root = base
        self.free = base + FRAME
        self.fmt: Format = x86_64.make_levels(levels)

    @property
    def roots(self) -> U64:
        return u64(self.root)

    def table(self) -> int:
        """Return the address of a new table."""
        self.free += FRAME
        return self.free - FRAME

    def map(self, va: int, entry: int, *, level: int = 1, upper: int = PWU) -> int:
        """Write the entry of `va` at a level, with tables above; return where it stands."""
        table = self.root
        for lvl in range(self.levels, level, -1):
            place = table + 8 * (va >> (12 + 9 * (lvl - 1)) & 511)
            if not self.ram.value(place):
                self.ram.write(place, self.table() | upper)
            table = self.ram.value(place) & 0x000F_FFFF_FFFF_F000
        place = table + 8 * (va >> (12 + 9 * (level - 1)) & 511)
        self.ram.write(place, entry)
        return place
