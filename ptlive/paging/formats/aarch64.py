"""The stage 1 formats of AArch64: granules of 4K, 16K and 64K, for one half or both.

Arm Architecture Reference Manual for A-profile, issue J.a: D8.2 "Translation process", D8.3
"Translation table descriptor formats", D8.4 "Memory access control" and D8.7.1 "The
Contiguous bit". Its levels count from the root: its level 3 is level 1 here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ptlive.paging.format import NEVER, Field, Format, Level, Match, Right, Window, Wrong, ones

if TYPE_CHECKING:
    from ptlive.arrays import U64
    from ptlive.paging.format import EntryOp

VALID, TABLE_OR_PAGE = 1 << 0, 1 << 1
BLOCK, PAGE = VALID, VALID | TABLE_OR_PAGE  # of bits 1:0; a table has those of a page
AP1, AP2, AF, NG = 1 << 6, 1 << 7, 1 << 10, 1 << 11
DBM, CONTIGUOUS, PXN, UXN = 1 << 51, 1 << 52, 1 << 53, 1 << 54
PXN_TABLE, UXN_TABLE, AP_TABLE0, AP_TABLE1 = (1 << bit for bit in (59, 60, 61, 62))
# What each of a table's bits does to the pages below, as their own bits would (D8.4.3).
_TABLE_RIGHTS = ((AP_TABLE1, AP2), (AP_TABLE0, AP1), (UXN_TABLE, UXN), (PXN_TABLE, PXN))
_LINUX = ("pte", "pmd", "pud", "p4d", "pgd")
_LAST = 3  # the manual's number of the last level

RIGHTS = (
    Right("write", AP2, set_denies=True),
    Right("execute", PXN, set_denies=True),
    Right("user", AP1),
    Right("user-execute", UXN, set_denies=True),
)


class Granule(NamedTuple):
    """A size of base pages. All levels here are the manual's.

    blocks: levels with blocks, and those that have them only with addresses of 52 bits
    contiguous: by level, log2 of how many entries make one (table D8-97)
    """

    name: str
    shift: int
    blocks: tuple[int, ...]
    blocks_52: tuple[int, ...]
    contiguous: dict[int, int]

    @property
    def index_bits(self) -> int:
        """Width of an index: a table is as large as a page."""
        return self.shift - 3


GRANULES = {
    one.name: one
    for one in (
        Granule("4k", 12, (1, 2), (0,), {1: 4, 2: 4, 3: 4}),
        Granule("16k", 14, (2,), (1,), {2: 5, 3: 7}),
        Granule("64k", 16, (2,), (1,), {2: 5, 3: 5}),
    )
}


class Shape(NamedTuple):
    """How TCR_EL1 has one half of the addresses translated.

    va_bits: 64 - TnSZ; pa_bits: what IPS and the CPU allow; wide: whether descriptors hold
    addresses of 52 bits (FEAT_LPA with 64K, else FEAT_LPA2 and TCR_EL1.DS)
    sets_dirty: TCR_EL1.HD; hierarchical: whether a table's bits forbid what is below (HPDn)
    """

    granule: str
    va_bits: int
    pa_bits: int = 48
    wide: bool = False
    sets_dirty: bool = False
    hierarchical: bool = True

    @property
    def name(self) -> str:
        """What the format is called, both halves together."""
        lpa2 = "-lpa2" if self.wide and self.granule != "64k" else ""
        return f"aarch64-{self.granule}-{self.va_bits}{lpa2}"


def make(shape: Shape, *, lower: bool = True, upper: bool = True) -> Format:
    """Return the format; lower, upper: which halves it has, each of which has its own root."""
    first = _first_level(shape)
    levels = tuple(_level(shape, number, number == first) for number in range(_LAST, first - 1, -1))
    span = 1 << shape.va_bits
    windows: tuple[Window, ...] = (Window(0, span - 1),) if lower else ()
    if upper:
        windows += (Window((1 << 64) - span, (1 << 64) - 1, root=len(windows)),)
    half = "" if lower and upper else "-lower" if lower else "-upper"
    table_bits = max(levels[-1].index_bits + 3, 6)
    return Format(
        name=shape.name + half,
        levels=levels,
        windows=windows,
        root_mask=ones(table_bits, 52 if shape.wide else 48),
        present=Match(VALID, VALID),
        rights=RIGHTS,
        outside=f"has bits above {shape.va_bits - 1} that choose no half",
        manual="Arm",
    )


def _first_level(shape: Shape) -> int:
    granule = GRANULES[shape.granule]
    return _LAST + 1 - -(-(shape.va_bits - granule.shift) // granule.index_bits)


def _level(shape: Shape, number: int, is_root: bool) -> Level:
    granule = GRANULES[shape.granule]
    shift = granule.shift + granule.index_bits * (_LAST - number)
    is_last = number == _LAST
    has_blocks = number in granule.blocks or (shape.wide and number in granule.blocks_52)
    wrong: tuple[Wrong, ...] = ()
    if is_last:
        wrong = (Wrong(Match(PAGE, BLOCK), "is a block, where there are only pages"),)
    elif not has_blocks:
        wrong = (Wrong(Match(PAGE, BLOCK), "is a block, which this level has none of"),)
    group = granule.contiguous.get(number, 0) if is_last or has_blocks else 0
    return Level(
        spec=f"L{number}",
        linux="pgd" if is_root else _LINUX[_LAST - number],
        shift=shift,
        index_bits=min(granule.index_bits, shape.va_bits - shift),
        leaf=Match(PAGE, PAGE) if is_last else Match(PAGE, BLOCK) if has_blocks else NEVER,
        table_address=_address(shape, granule.shift),
        leaf_address=_leaf_address(shape, shift, group),
        # What an output address may not have is no reserved bit, but faults alike (D8.2.9).
        reserved_table=_beyond(shape),
        reserved_leaf=_beyond(shape),
        fields=_fields(shape, is_last),
        leaf_bits=_leaf_bits(shift + group) if group else None,
        granting=_granting(shape, is_last),
        wrong=wrong,
    )


def _address(shape: Shape, low: int) -> EntryOp:
    """Return what takes the address from an entry, from bit `low` up (D8.3.1)."""
    direct = np.uint64(ones(low, 50 if shape.wide and shape.granule != "64k" else 48))
    if not shape.wide:
        return lambda entries: entries & direct
    # Bits 51:48 stand in bits 15:12; with FEAT_LPA2, bits 51:50 in bits 9:8.
    mask, up = (ones(12, 16), 36) if shape.granule == "64k" else (ones(8, 10), 42)
    return lambda entries: entries & direct | (entries & np.uint64(mask)) << np.uint64(up)


def _leaf_address(shape: Shape, shift: int, group: int) -> EntryOp:
    """Return where a page begins; of contiguous entries, where the first one's does."""
    address = _address(shape, shift)
    if not group:
        return address
    inside = np.uint64(ones(shift, shift + group))

    def begin(entries: U64) -> U64:
        single = (entries & np.uint64(CONTIGUOUS)) == 0
        return address(entries) & ~np.where(single, np.uint64(0), inside)

    return begin


def _leaf_bits(bits: int) -> EntryOp:
    def size(entries: U64) -> U64:
        together = (entries & np.uint64(CONTIGUOUS)) != 0
        return np.where(together, np.uint64(bits), np.uint64(0))

    return size


def _beyond(shape: Shape) -> int:
    """Return the bits of an entry that are an address's beyond those that there are."""
    if not shape.wide:
        return ones(shape.pa_bits, 48)
    bits = ones(shape.pa_bits, 52)
    if shape.granule == "64k":
        return bits & ones(0, 48) | (bits >> 36) & ones(12, 16)
    return bits & ones(0, 50) | (bits >> 42) & ones(8, 10)


def _granting(shape: Shape, is_last: bool) -> EntryOp | None:
    """Return what puts a table's rights where those of pages are (D8.4.3)."""
    if is_last and not shape.sets_dirty:
        return None

    def rights(entries: U64) -> U64:
        own = entries
        if shape.sets_dirty:
            # AP[2] says clean, not read-only, where the CPU may clear it (D8.4.6).
            clean = (entries & np.uint64(DBM)) != 0
            own = entries & ~np.where(clean, np.uint64(AP2), np.uint64(0))
        if is_last:
            return own
        below = np.full(entries.shape, AP1, dtype=np.uint64)
        for table, page in _TABLE_RIGHTS if shape.hierarchical else ():
            denied = (entries & np.uint64(table)) != 0
            below ^= np.where(denied, np.uint64(page), np.uint64(0))
        return np.where((entries & np.uint64(PAGE)) == PAGE, below, own)

    return rights


def _fields(shape: Shape, is_last: bool) -> tuple[Field, ...]:
    lpa2 = shape.wide and shape.granule != "64k"
    pages = (
        Field("AttrIndx", 7 << 2, tables=False, attribute=True),
        Field("NS", 1 << 5, tables=False, attribute=True),
        Field("AP[1]", AP1, tables=False),
        Field("AP[2]", AP2, tables=False),
        *(() if lpa2 else (Field("SH", 3 << 8, tables=False, attribute=True),)),
        Field("A", AF, tables=False),  # AF, by the name that is counted in every format
        Field("nG", NG, tables=False, attribute=True),
        Field("GP", 1 << 50, tables=False, attribute=True),
        Field("DBM", DBM, tables=False),
        Field("Contiguous", CONTIGUOUS, tables=False),
        Field("PXN", PXN, tables=False),
        Field("UXN", UXN, tables=False),
    )
    tables = (
        Field("PXNTable", PXN_TABLE, leaves=False),
        Field("UXNTable", UXN_TABLE, leaves=False),
        Field("APTable[0]", AP_TABLE0, leaves=False),
        Field("APTable[1]", AP_TABLE1, leaves=False),
    )
    return (Field("Valid", VALID), *pages, *(() if is_last else tables))
