"""The radix trees of POWER9 and POWER10: big-endian entries that say how large the next table is.

Power ISA version 3.1, book III, 6.7.11 "Radix Tree Translation": figures 27 (page directory
entry) and 28 (page table entry), and the "Supported Radix Tree Configurations" of the POWER9
Processor User's Manual, 4.10.4.1. So pages of 4K and of 64K may stand in one tree: the page
directory above chooses. The manual counts bits from the left: its bit 0 is 1 << 63.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ptlive.paging.format import (
    NEVER,
    Bits,
    Field,
    Fold,
    Format,
    Level,
    Match,
    Right,
    Window,
    Wrong,
)

if TYPE_CHECKING:
    from ptlive.arrays import U64, Bool

NAME = "power-radix"
VALID, LEAF = 1 << 63, 1 << 62
NEXT_BASE, NEXT_SIZE = ((1 << 60) - 1) & ~0xFF, 0x1F  # of a directory's entry: NLB, NLS
FRAME = ((1 << 57) - 1) & ~0xFFF  # RPN
REFERENCE, CHANGE = 1 << 8, 1 << 7
ATTRIBUTES = 3 << 4
NON_IDEMPOTENT = 2 << 4
PRIVILEGED, READ, READ_WRITE, EXECUTE = 1 << 3, 1 << 2, 1 << 1, 1 << 0  # EAA

ADDRESS_BITS = 52  # of each quadrant
KERNEL = 0xC << 60  # the quadrant of PID 0
# Lowest address bit and width of the indexes of levels 1 to 4. A last table of 5 bits has
# pages of 64K, so that the span of it is the same.
SHIFTS, WIDTHS = (12, 21, 30, 39), (9, 9, 9, 13)
_SIZES = {2: (5, 9), 3: (9,), 4: (9,)}  # of the table that an entry of this level refers to
_LINUX = ("pte", "pmd", "pud", "pgd")

RIGHTS = (
    Right("read", READ, fold=Fold.LEAF),
    Right("write", READ_WRITE, fold=Fold.LEAF),
    Right("execute", EXECUTE, fold=Fold.LEAF),
    Right("user", PRIVILEGED, set_denies=True, fold=Fold.LEAF),
)


def make(*, user: bool = True, kernel: bool = True) -> Format:
    """Return the format; user, kernel: of which quadrants there are trees, one root for each."""
    span = 1 << ADDRESS_BITS
    windows: tuple[Window, ...] = (Window(0, span - 1),) if user else ()
    if kernel:
        windows += (Window(KERNEL, KERNEL + span - 1, root=len(windows)),)
    half = "" if user and kernel else "-user" if user else "-kernel"
    return Format(
        name=NAME + half,
        levels=tuple(_level(lvl) for lvl in (1, 2, 3, 4)),
        windows=windows,
        root_mask=NEXT_BASE,
        present=Match(VALID, VALID),
        rights=RIGHTS,
        outside="is in no quadrant that is walked",
        manual="POWER",
    )


def _level(lvl: int) -> Level:
    shift = SHIFTS[lvl - 1]
    has_pages = lvl < len(SHIFTS)
    wrong = Wrong(Match(LEAF, LEAF), "is a page of a size that there is none of")
    if lvl == 1:
        wrong = Wrong(Match(LEAF, 0), "refers to a table, where there is no more level")
    elif has_pages:
        wrong = _wrong_size(lvl)
    return Level(
        spec=f"{'PTE' if lvl == 1 else 'PDE'}{len(SHIFTS) - lvl}",
        linux=_LINUX[lvl - 1],
        shift=shift,
        index_bits=WIDTHS[lvl - 1],
        leaf=Match(LEAF, LEAF) if has_pages else NEVER,
        table_address=Bits(NEXT_BASE),
        leaf_address=Bits(FRAME & -(1 << shift)),
        reserved_table=0,
        reserved_leaf=0,
        fields=_fields(lvl),
        entry=">u8",
        table_bits=Bits(NEXT_SIZE),
        granting=_granting,
        wrong=(wrong,) if has_pages else (wrong, _wrong_size(lvl)),
    )


def _wrong_size(lvl: int) -> Wrong:
    def other(entries: U64) -> Bool:
        table = (entries & np.uint64(LEAF)) == 0
        known = np.zeros(entries.shape, dtype=np.bool_)
        for bits in _SIZES[lvl]:
            known |= (entries & np.uint64(NEXT_SIZE)) == np.uint64(bits)
        wrong: Bool = table & ~known
        return wrong

    sizes = " or ".join(str(1 << bits) for bits in _SIZES[lvl])
    return Wrong(other, f"refers to a table that has not {sizes} entries")


def _granting(entries: U64) -> U64:
    """Return entries that say that what may be written may be read, as it may (figure 28)."""
    return entries | (entries & np.uint64(READ_WRITE)) << np.uint64(1)


def _fields(lvl: int) -> tuple[Field, ...]:
    return (
        Field("V", VALID),
        Field("L", LEAF),
        *((Field("NLS", NEXT_SIZE, leaves=False),) if lvl > 1 else ()),
        # R and C, by the names that are counted in every format.
        Field("A", REFERENCE, tables=False),
        Field("D", CHANGE, tables=False),
        Field("ATT", ATTRIBUTES, tables=False, attribute=True),
        Field("EAA", 0xF, tables=False),
    )
