"""32-bit paging: two levels of entries of 32 bits, pages of 4K and 4M.

SDM vol. 3A 4.3, tables 4-3 (CR3) to 4-6. A 4M page can lie above 4G: with PSE-36 bits 39:32 of
its address stand in bits 20:13 of the entry.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ptlive.paging.format import ALWAYS, NEVER, Bits, Format, Level, Match, Window, ones
from ptlive.paging.formats.x86_64 import PRESENT, PS, RIGHTS, common_fields

if TYPE_CHECKING:
    from ptlive.arrays import U64

NAME = "32-bit"
ADDRESS_BITS = 32
OUTSIDE = "has more than the 32 bits of a linear address"
INDEX_BITS = 10
LARGE_SHIFT = 22
PSE36_LOW = 13  # where the high bits of a 4M page's address begin
PSE36_LIMIT = 40  # and how far they reach


def make(*, pse: bool = True, pse36: bool = True, maxphyaddr: int = PSE36_LIMIT) -> Format:
    """Return the format.

    pse: CR4.PSE; without it bit 7 of a PDE is ignored
    pse36: CPUID.01H:EDX.PSE-36[bit 17]; without it a 4M page lies below 4G
    maxphyaddr: the CPU's physical-address width
    """
    # "M is the minimum of 40 and MAXPHYADDR" (table 4-4, a footnote).
    width = min(PSE36_LIMIT, maxphyaddr) if pse36 else ADDRESS_BITS
    address = Bits(ones(12, ADDRESS_BITS))
    page_table = Level(
        spec="PTE",
        linux="pte",
        shift=12,
        index_bits=INDEX_BITS,
        leaf=ALWAYS,
        table_address=address,
        leaf_address=address,
        reserved_table=0,
        reserved_leaf=0,
        fields=common_fields(has_ps=False),
        entry="<u4",
    )
    directory = Level(
        spec="PDE",
        linux="pgd",
        shift=LARGE_SHIFT,
        index_bits=INDEX_BITS,
        leaf=Match(PS, PS) if pse else NEVER,
        table_address=address,
        leaf_address=LargeAddress(width),
        reserved_table=0,
        # "Bits 21:(M-19): reserved (must be 0)".
        reserved_leaf=ones(width - ADDRESS_BITS + PSE36_LOW, LARGE_SHIFT),
        fields=common_fields(has_ps=pse),
        entry="<u4",
    )
    return Format(
        name=NAME,
        levels=(page_table, directory),
        windows=(Window(0, ones(0, ADDRESS_BITS)),),
        root_mask=ones(12, ADDRESS_BITS),
        present=Match(PRESENT, PRESENT),
        # An entry of 32 bits has no XD, so that none ever denies execution.
        rights=RIGHTS,
        outside=OUTSIDE,
    )


@dataclass(frozen=True)
class LargeAddress:
    """Where a 4M page begins: bits 31:22 stand in their place, those above from bit 13 on."""

    width: int

    def __call__(self, entries: U64) -> U64:
        """Return uint64[n] for uint64[n]."""
        low = np.uint64(ones(LARGE_SHIFT, ADDRESS_BITS))
        high = np.uint64(ones(PSE36_LOW, PSE36_LOW + self.width - ADDRESS_BITS))
        return (entries & low) | (entries & high) << np.uint64(ADDRESS_BITS - PSE36_LOW)
