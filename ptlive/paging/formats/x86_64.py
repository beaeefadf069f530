"""The long-mode formats of x86-64: 4-level and 5-level paging.

SDM vol. 3A 4.5.4 "Linear-Address Translation with 4-Level Paging and 5-Level
Paging", tables 4-14 to 4-20 (formats of the entries) and 4.1.4 (enumeration).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from ptlive.paging.format import (
    ALWAYS,
    NEVER,
    Bits,
    Field,
    Format,
    Level,
    Match,
    Right,
    halves,
    ones,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

PAGE_SHIFT = 12
PAGE1GB_SHIFT = 30
INDEX_BITS = 9
ADDRESS_BITS = 64  # of a linear address; a sixth level would have 7 bits left for its index
PRESENT = 1 << 0
PS = 1 << 7
XD = 1 << 63
PAT_LARGE = 1 << 12  # of a 2M or 1G page; bit 7 there is PS
PROTECTION_KEY = 0xF << 59
PHYSICAL_LIMIT = 52  # bits of an address that an entry can hold, SDM 4.1.4
ADDRESS = ones(PAGE_SHIFT, PHYSICAL_LIMIT)

# A leaf with R/W=0 and D=1 is a shadow-stack page where CET is on (SDM vol. 3A 4.6.1).
SHADOW_STACK = Match((1 << 6) | (1 << 1), 1 << 6)


class Row(NamedTuple):
    """One level's names, and whether its entries may be leaves."""

    spec: str
    linux: str
    leaf: bool = False


ROWS = (
    Row("PTE", "pte", leaf=True),
    Row("PDE", "pmd", leaf=True),
    Row("PDPTE", "pud", leaf=True),
    Row("PML4E", "p4d"),
    Row("PML5E", "pgd"),
)

RIGHTS = (
    Right("write", 1 << 1),  # R/W, SDM 4.6.1
    Right("execute", XD, set_denies=True),
    Right("user", 1 << 2),  # U/S
)


def make(
    rows: Sequence[Row] = ROWS,
    *,
    maxphyaddr: int = PHYSICAL_LIMIT,
    nxe: bool = True,
    gbpages: bool = True,
) -> Format:
    """Return the format with one level for each row, the first row being level 1.

    maxphyaddr: the CPU's physical-address width (CPUID 80000008H:EAX[7:0])
    nxe: EFER.NXE; without it XD is reserved
    gbpages: whether the CPU has 1G pages (CPUID 80000001H:EDX.Page1GB)
    """
    top = len(rows)
    reserved = ones(maxphyaddr, PHYSICAL_LIMIT) | (0 if nxe else XD)
    levels = tuple(
        _level(row, lvl, lvl == top, reserved, gbpages) for lvl, row in enumerate(rows, start=1)
    )
    return Format(
        name=f"x86-64-{top}level",
        levels=levels,
        windows=halves(levels[-1].span_bits),
        root_mask=ones(PAGE_SHIFT, maxphyaddr),
        present=Match(PRESENT, PRESENT),
        rights=RIGHTS,
    )


def make_levels(
    levels: int, *, maxphyaddr: int = PHYSICAL_LIMIT, nxe: bool = True, gbpages: bool = True
) -> Format:
    """Return the format of the CPU's 4-level or 5-level paging."""
    if levels not in (4, 5):
        raise ValueError(f"x86-64 has 4-level and 5-level paging, not {levels}")
    return make(ROWS[:levels], maxphyaddr=maxphyaddr, nxe=nxe, gbpages=gbpages)


def needs_page1gb(fmt: Format, lvl: int, entry: int) -> bool:
    """Tell whether an entry is malformed only because the CPU shows no 1G pages."""
    level = fmt.level(lvl)
    return level.shift == PAGE1GB_SHIFT and entry & level.reserved_table == PS


def _level(row: Row, lvl: int, is_root: bool, reserved: int, gbpages: bool) -> Level:
    shift = PAGE_SHIFT + INDEX_BITS * (lvl - 1)
    has_ps = lvl > 1
    leaf_allowed = row.leaf and (gbpages or shift < PAGE1GB_SHIFT)
    address = ADDRESS & ~reserved
    # Below a large page's address only PAT has a meaning; the rest is reserved
    # (tables 4-16 and 4-18). PS where no page may be is reserved too.
    low = ones(PAGE_SHIFT + 1, shift) if has_ps else 0
    return Level(
        spec=row.spec,
        # Linux calls the root table's entries pgd, however many levels there are.
        linux="pgd" if is_root else row.linux,
        shift=shift,
        index_bits=min(INDEX_BITS, ADDRESS_BITS - shift),
        leaf=(Match(PS, PS) if has_ps else ALWAYS) if leaf_allowed else NEVER,
        table_address=Bits(address),
        leaf_address=Bits(address & ~ones(0, shift)),
        reserved_table=reserved | (0 if leaf_allowed else PS),
        reserved_leaf=reserved | (low if leaf_allowed else PS),
        fields=_fields(has_ps),
    )


def common_fields(has_ps: bool) -> tuple[Field, ...]:
    """Return the fields in bits 11:0, with PAT: the same in entries of 32 bits."""
    pat = Field("PAT", PAT_LARGE if has_ps else PS, tables=False, attribute=True)
    return (
        Field("P", PRESENT),
        Field("R/W", 1 << 1),
        Field("U/S", 1 << 2),
        Field("PWT", 1 << 3, attribute=True),
        Field("PCD", 1 << 4, attribute=True),
        Field("A", 1 << 5),
        Field("D", 1 << 6, tables=False),
        *((Field("PS", PS),) if has_ps else ()),
        pat,
        Field("G", 1 << 8, tables=False, attribute=True),
    )


def _fields(has_ps: bool) -> tuple[Field, ...]:
    key = Field("PK", PROTECTION_KEY, tables=False, attribute=True)
    return (*common_fields(has_ps), key, Field("XD", XD))
