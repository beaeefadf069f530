"""PAE paging: 32-bit linear addresses, entries of 64 bits, and a root of four entries.

SDM vol. 3A 4.4, tables 4-7 (CR3) to 4-11. The root is a table of 32 bytes. A CPU loads its four
entries into registers at MOV to CR3 and walks from there (4.4.1); here they are read from
memory, which TCG does, too, at each walk.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from ptlive.paging.format import NEVER, Bits, Field, Format, Level, Match, Window, ones
from ptlive.paging.formats import x86_64
from ptlive.paging.formats.x86_64 import ADDRESS, PRESENT, RIGHTS

if TYPE_CHECKING:
    from ptlive.arrays import U64

NAME = "pae"
ADDRESS_BITS = 32
ROOT_MASK = ones(5, ADDRESS_BITS)
OUTSIDE = "has more than the 32 bits of a linear address"

# Table 4-8: a PDPTE has neither R/W nor U/S, they are reserved, and denies nothing.
PDPTE_RESERVED = ones(1, 3) | ones(5, 9)
# TCG takes them for entries like any other and sets A (mmu_translate in
# target/i386/tcg/sysemu/excp_helper.c), so that a table that it walked has that bit.
PDPTE_ACCESSED = 1 << 5
_GRANTED = np.uint64(sum(right.mask for right in RIGHTS if not right.set_denies))


def make(
    *,
    maxphyaddr: int = x86_64.PHYSICAL_LIMIT,
    nxe: bool = True,
    accessed: bool = True,
) -> Format:
    """Return the format.

    maxphyaddr: the CPU's physical-address width
    nxe: EFER.NXE; without it XD is reserved
    accessed: whether a PDPTE may have bit 5 set, as TCG leaves it; to a CPU it is reserved
    """
    # The entries of 4-level paging, but for bits 62:52: reserved, and no protection key.
    above = ones(x86_64.PHYSICAL_LIMIT, 63)
    page_table, directory = (
        replace(
            level,
            reserved_table=level.reserved_table | above,
            reserved_leaf=level.reserved_leaf | above,
            fields=tuple(field for field in level.fields if field.name != "PK"),
        )
        for level in x86_64.make_levels(4, maxphyaddr=maxphyaddr, nxe=nxe).levels[:2]
    )
    return Format(
        name=NAME,
        levels=(page_table, directory, _pointers(maxphyaddr, accessed)),
        windows=(Window(0, ones(0, ADDRESS_BITS)),),
        root_mask=ROOT_MASK,
        present=Match(PRESENT, PRESENT),
        rights=RIGHTS,
        outside=OUTSIDE,
    )


def _pointers(maxphyaddr: int, accessed: bool) -> Level:
    told = (Field("A", PDPTE_ACCESSED),) if accessed else ()
    reserved = PDPTE_RESERVED | ones(maxphyaddr, 64)
    if accessed:
        reserved &= ~PDPTE_ACCESSED
    address = Bits(ADDRESS & ones(0, maxphyaddr))
    return Level(
        spec="PDPTE",
        linux="pgd",
        shift=30,
        index_bits=2,
        leaf=NEVER,
        table_address=address,
        leaf_address=address,
        reserved_table=reserved,
        reserved_leaf=reserved,
        fields=(
            Field("P", PRESENT),
            Field("PWT", 1 << 3, attribute=True),
            Field("PCD", 1 << 4, attribute=True),
            *told,
        ),
        granting=_granting_all,
    )


def _granting_all(entries: U64) -> U64:
    return entries | _GRANTED
