"""The formats of RISC-V's 64-bit harts: Sv39, Sv48 and Sv57.

The RISC-V Instruction Set Manual, volume II (privileged), 4.3 to 4.6 "Sv32", "Sv39",
"Sv48", "Sv57", chapter 5 "Svnapot" and chapter 6 "Svpbmt"; entries are figure 4.21's. Newer
than that edition is Svrsw60t59b, which leaves two of the reserved bits to software.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ptlive.paging.format import (
    AnyOf,
    Bits,
    Field,
    Fold,
    Format,
    Level,
    Match,
    Right,
    Wrong,
    halves,
)

if TYPE_CHECKING:
    from ptlive.arrays import U64, Bool

PAGE_SHIFT = 12
INDEX_BITS = 9
PHYSICAL_BITS = 56
NAPOT_SHIFT = 16  # the one size that Svnapot has
V, R, W, X, U, G, A, D = (1 << bit for bit in range(8))
PPN = (1 << 54) - (1 << 10)
PPN_TO_ADDRESS = 2  # a frame's number stands at bit 10, the address that it means begins at 12
RESERVED = (1 << 61) - (1 << 54)
RSW_HIGH = 3 << 59
PBMT = 3 << 61
N = 1 << 63
NAPOT_PPN = 0xF << 10  # of an entry with N; must be 0b1000

LEVELS = {"sv39": 3, "sv48": 4, "sv57": 5}
LINUX = ("pte", "pmd", "pud", "p4d", "pgd")

# Table entries grant nothing and deny nothing: the leaf alone decides (4.3.2, steps 3 to 5).
RIGHTS = tuple(
    Right(name, mask, fold=Fold.LEAF)
    for name, mask in (("read", R), ("write", W), ("execute", X), ("user", U))
)


def make(
    name: str, *, svnapot: bool = True, svpbmt: bool = True, svrsw60t59b: bool = False
) -> Format:
    """Return the format of that name; the others: whether the hart has these extensions."""
    top = LEVELS[name]
    software = RSW_HIGH if svrsw60t59b else 0
    levels = tuple(_level(lvl, lvl == top, svnapot, svpbmt, software) for lvl in range(1, top + 1))
    return Format(
        name=name,
        levels=levels,
        # "Addresses must have bits 63-39 all equal to bit 38, or else a page fault will occur."
        windows=halves(levels[-1].span_bits),
        root_mask=(1 << PHYSICAL_BITS) - (1 << PAGE_SHIFT),
        present=Match(V, V),
        rights=RIGHTS,
        outside=f"has bits above {levels[-1].span_bits - 1} that are not as that one is",
        manual="RISC-V",
    )


def _level(lvl: int, is_root: bool, svnapot: bool, svpbmt: bool, software: int) -> Level:
    shift = PAGE_SHIFT + INDEX_BITS * (lvl - 1)
    napot = svnapot and lvl == 1
    attributes = 0 if svpbmt else PBMT
    # "For non-leaf PTEs, the D, A, and U bits are reserved", as are N and PBMT.
    reserved = RESERVED & ~software
    table = reserved | PBMT | N | D | A | U
    # A superpage's low bits must be zero: "misaligned superpage" (4.3.2, step 6).
    low = ((1 << shift) - (1 << PAGE_SHIFT)) >> PPN_TO_ADDRESS
    wrong = [Wrong(Match(R | W, W), "allows writing, but not reading")]
    if svpbmt:
        wrong.append(Wrong(Match(PBMT, PBMT), "has the memory type 3, which is reserved"))
    if napot:
        wrong.append(Wrong(_other_napot, "has N=1 and is of no size that Svnapot has"))
    return Level(
        spec=f"PTE[{lvl - 1}]",
        linux="pgd" if is_root else LINUX[lvl - 1],
        shift=shift,
        index_bits=INDEX_BITS,
        leaf=AnyOf(R | W | X),
        table_address=_address,
        leaf_address=_napot_address if napot else _address,
        reserved_table=table,
        reserved_leaf=reserved | attributes | low | (0 if napot else N),
        fields=_fields(napot, svpbmt) + ((Field("RSW[60:59]", software),) if software else ()),
        leaf_bits=_leaf_bits if napot else None,
        wrong=tuple(wrong),
    )


def _fields(napot: bool, svpbmt: bool) -> tuple[Field, ...]:
    return (
        Field("V", V),
        Field("R", R, tables=False),
        Field("W", W, tables=False),
        Field("X", X, tables=False),
        Field("U", U, tables=False),
        Field("G", G, attribute=True),
        Field("A", A, tables=False),
        Field("D", D, tables=False),
        Field("RSW", 3 << 8),
        *((Field("PBMT", PBMT, tables=False, attribute=True),) if svpbmt else ()),
        *((Field("N", N, tables=False),) if napot else ()),
    )


_frame = Bits(PPN)


def _address(entries: U64) -> U64:
    return _frame(entries) << np.uint64(PPN_TO_ADDRESS)


def _napot_address(entries: U64) -> U64:
    """Return where a page begins; of an entry with N, PPN[3:0] tell its size instead."""
    size = np.where((entries & np.uint64(N)) != 0, np.uint64(NAPOT_PPN), np.uint64(0))
    return _address(entries & ~size)


def _leaf_bits(entries: U64) -> U64:
    return np.where((entries & np.uint64(N)) != 0, np.uint64(NAPOT_SHIFT), np.uint64(0))


def _other_napot(entries: U64) -> Bool:
    """Tell which entries have N and not 0b1000 in PPN[3:0] (table 5.1)."""
    size = entries & np.uint64(N | NAPOT_PPN)
    other: Bool = ((size & np.uint64(N)) != 0) & (size != np.uint64(N | 8 << 10))
    return other
