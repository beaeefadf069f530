"""Which memory type an access gets: the page's attributes, IA32_PAT and the MTRRs.

SDM vol. 3A 11.12 "Page Attribute Table (PAT)" (12.12 in newer editions), 11.11 "Memory Type
Range Registers (MTRRs)", table 11-7 for both together.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ptlive.paging import fields

if TYPE_CHECKING:
    from ptlive.arrays import U8, U64
    from ptlive.paging.format import Format
    from ptlive.paging.select import Leaves

# Encodings of IA32_PAT's fields and of MTRRs (tables 11-10 and 11-8).
UC, WC, WT, WP, WB, UC_MINUS = 0, 1, 4, 5, 6, 7
NAMES = {UC: "UC", WC: "WC", WT: "WT", WP: "WP", WB: "WB", UC_MINUS: "UC-"}
CACHEABLE = (WT, WP, WB)

_MTRR_ENABLED, _FIXED_ENABLED = 1 << 11, 1 << 10  # of IA32_MTRR_DEF_TYPE, 11.11.2.1
_VALID = 1 << 11  # of IA32_MTRR_PHYSMASKn
_PAGE = 1 << 12
# The fixed ranges: the first address and the size of one of 8 ranges of each register.
_FIXED = (
    (0x00000, 64 << 10),
    (0x80000, 16 << 10),
    (0xA0000, 16 << 10),
    *((0xC0000 + n * 0x8000, 4 << 10) for n in range(8)),
)


@dataclass(frozen=True)
class MemoryTypes:
    """IA32_PAT of the CPUs, and their MTRRs where these are known too.

    fixed: the 11 fixed-range registers, from IA32_MTRR_FIX64K_00000 on
    default: IA32_MTRR_DEF_TYPE, None if the MTRRs are not known; variable: (base, mask)
    source: who told
    """

    pat: int
    default: int | None = None
    fixed: tuple[int, ...] = ()
    variable: tuple[tuple[int, int], ...] = ()
    source: str = "told"

    def of_index(self, index: int) -> int:
        """Return the memory type of a PAT index."""
        return self.pat >> (8 * index) & 7

    def by_mtrr(self, pa: U64) -> U8 | None:
        """Return the memory type that the MTRRs give each address; None if not known."""
        if self.default is None:
            return None
        if not self.default & _MTRR_ENABLED:
            return np.full(pa.size, UC, dtype=np.uint8)
        result = np.full(pa.size, self.default & 0xFF, dtype=np.uint8)
        covered = np.zeros(pa.size, dtype=np.bool_)
        for base, mask in self.variable:
            if not mask & _VALID:
                continue
            bits = np.uint64(mask & ~(_PAGE - 1))
            here = (pa & bits) == (np.uint64(base) & bits)
            # Where ranges overlap UC wins, and WT over WB (11.11.4.1).
            weaker = here & (~covered | (result > np.uint8(base & 0xFF)))
            result[weaker] = base & 0xFF
            covered |= here
        if self.default & _FIXED_ENABLED:
            for (first, size), register in zip(_FIXED, self.fixed, strict=False):
                for n in range(8):
                    low = np.uint64(first + n * size)
                    here = (pa >= low) & (pa < low + np.uint64(size))
                    result[here] = register >> (8 * n) & 0xFF
        return result


def pat_index(fmt: Format, lvl: int, entries: U64) -> U8:
    """Return the PAT index of leaves: PAT, PCD and PWT as a number (11.12.3)."""
    index = np.zeros(entries.size, dtype=np.uint8)
    for field in fmt.level(lvl).fields:
        weight = _WEIGHTS.get(field.name)
        if weight is not None and field.leaves:
            index |= np.where((entries & np.uint64(field.mask)) != 0, weight, 0).astype(np.uint8)
    return index


_WEIGHTS = {"PWT": np.uint8(1), "PCD": np.uint8(2), "PAT": np.uint8(4)}


def leaf_index(leaf: Leaves) -> U8:
    """Return the PAT index of each leaf."""
    return pat_index(leaf.floor.fmt, leaf.floor.lvl, leaf.entry)


def index_of(fmt: Format, packed: int) -> int:
    """Return the PAT index in packed attributes."""
    values = fields.unpack_attributes(fmt, packed)
    return sum(int(weight) * values.get(name, 0) for name, weight in _WEIGHTS.items())
