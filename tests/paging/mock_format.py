"""A format that no hardware has, and an own scalar walk of it.

All at once, on the same walker: big-endian entries of 4 bytes; indexes of
13, 9, 9 and 5 bits; the next table's size encoded in the entry, so that a
level's shift depends on the path; two roots by address range; leaves told by an
op; rights that a set bit denies, that fold by OR, that the leaf alone decides, and a
level that says nothing of one of them; neighbouring entries that make one leaf; bits
that are wrong only together; physical addresses above 2**63.

    bits 1:0    0 absent, 1 table, 2 leaf, 3 one of a group that makes one leaf
    bit 2       denies write; folds by AND; ignored at level 4
    bit 3       grants user; folds by AND
    bit 4       grants execute; the leaf alone decides
    bit 5       grants trace; folds by OR
    bit 6       reserved in a table; bit 7 reserved in a leaf
    bits 5:3    of a leaf: not both trace and execute without user
    bits 11:8   of a table: log2 of the next table's entries, 0 for the level's own
                of a group: log2 of its bytes, less 9
    bits 31:12  table address bits 24:5, or leaf address bits 59:40; bit 63 is set
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ptlive.paging.format import AnyOf, Fold, Format, Level, Match, Right, Window, Wrong

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ptlive.arrays import U64, Bool
    from tests.paging.plain_ram import PlainRam

ENTRY = ">u4"
BASE = 1 << 63
SHIFTS = (12, 17, 26, 35)  # of levels 1 to 4, where no entry says otherwise
WIDTHS = (5, 9, 9, 13)
LOW = (0, (1 << 48) - 1)
HIGH = ((1 << 64) - 3 * (1 << 46), (1 << 64) - 1)
RIGHTS = ("write", "user", "execute", "trace")

TABLE, LEAF, GROUPED = 1, 2, 3
LOCKED, USER, EXECUTE, TRACE, RSVD_TABLE, RSVD_LEAF = (1 << n for n in range(2, 8))


def table(address: int, flags: int = USER, bits: int = 0) -> int:
    """Return an entry that refers to a table of 2**bits entries."""
    return (address - BASE) >> 5 << 12 | bits << 8 | flags | TABLE


def leaf(field: int, flags: int = USER) -> int:
    """Return an entry that maps the page at BASE + field * 2**40."""
    return field << 12 | flags | LEAF


def grouped(field: int, size_bits: int, flags: int = USER) -> int:
    """Return one of the entries that together map 2**size_bits bytes."""
    return field << 12 | (size_bits - 9) << 8 | flags | GROUPED


def _is_leaf(entries: U64) -> Bool:
    leaves: Bool = (entries & np.uint64(3)) >= np.uint64(LEAF)
    return leaves


def _table_address(entries: U64) -> U64:
    return (entries >> np.uint64(12)) << np.uint64(5) | np.uint64(BASE)


def _leaf_address(entries: U64) -> U64:
    return (entries >> np.uint64(12)) << np.uint64(40) | np.uint64(BASE)


def _leaf_bits(entries: U64) -> U64:
    size = ((entries >> np.uint64(8)) & np.uint64(15)) + np.uint64(9)
    return np.where((entries & np.uint64(3)) == np.uint64(GROUPED), size, np.uint64(0))


def _blind(entries: U64) -> Bool:
    together = Match(USER | EXECUTE | TRACE, EXECUTE | TRACE)
    return _is_leaf(entries) & together(entries)


def _without_lock(entries: U64) -> U64:
    return entries & ~np.uint64(LOCKED)


def _level(lvl: int) -> Level:
    below = np.uint64(WIDTHS[lvl - 2])

    def table_bits(entries: U64) -> U64:
        encoded = (entries >> np.uint64(8)) & np.uint64(15)
        return np.where(encoded == 0, below, encoded)

    return Level(
        spec=f"M{lvl}E",
        linux=f"mock{lvl}",
        shift=SHIFTS[lvl - 1],
        index_bits=WIDTHS[lvl - 1],
        leaf=_is_leaf,
        table_address=_table_address,
        leaf_address=_leaf_address,
        reserved_table=RSVD_TABLE,
        reserved_leaf=RSVD_LEAF,
        entry=ENTRY,
        table_bits=table_bits,
        leaf_bits=_leaf_bits,
        granting=_without_lock if lvl == 4 else None,
        wrong=(Wrong(_blind, "traces and executes what nobody uses"),),
    )


MOCK = Format(
    name="mock",
    levels=tuple(_level(lvl) for lvl in (1, 2, 3, 4)),
    windows=(Window(*LOW, root=0), Window(*HIGH, root=1)),
    root_mask=(1 << 64) - 1,
    present=AnyOf(3),
    rights=(
        Right("write", LOCKED, set_denies=True),
        Right("user", USER),
        Right("execute", EXECUTE, fold=Fold.LEAF),
        Right("trace", TRACE, fold=Fold.OR),
    ),
)


class Slot(NamedTuple):
    """A leaf or a hole of the scalar walk; pa and rights are only a leaf's."""

    kind: str
    va: int
    last_va: int
    level: int
    entry_pa: int
    entry: int
    pa: int = 0
    rights: tuple[bool, ...] = ()


class TooManyError(Exception):
    """The scalar walk would visit more slots than a test has time for."""


def slots(ram: PlainRam, roots: tuple[int, int], limit: int = 1 << 30) -> list[Slot]:
    """Return all leaves and holes in order, one plain integer at a time."""
    found: list[Slot] = []
    for root, base, window in ((roots[0], 0, LOW), (roots[1], (1 << 64) - (1 << 48), HIGH)):
        for slot in _slots(ram, root, 4, 35, 13, base, ()):
            if slot.va >= window[0] and slot.last_va <= window[1]:
                found.append(slot)
                if len(found) > limit:
                    raise TooManyError
    return found


def _slots(
    ram: PlainRam, at: int, lvl: int, shift: int, bits: int, base: int, above: tuple[int, ...]
) -> Iterator[Slot]:
    entries = ram.table(at, 1 << bits, ENTRY).tolist()
    previous: Slot | None = None
    for index, entry in enumerate(entries):
        va = base + (index << shift)
        size = shift
        kind = entry & 3
        field = entry >> 8 & 15
        if kind == GROUPED:
            size = max(shift, field + 9)
        here = (at + 4 * index, entry)
        hole = (va, va + (1 << shift) - 1, lvl, *here)
        if kind == 0:
            yield Slot("absent", *hole)
        elif kind == TABLE:
            width = field or WIDTHS[lvl - 2]
            target = BASE + (entry >> 12 << 5)
            if entry & RSVD_TABLE or lvl == 1 or width > shift:
                yield Slot("malformed", *hole)
            elif not _holds(ram, target, 4 << width):
                yield Slot("unreadable", *hole)
            else:
                path = (*above, entry)
                yield from _slots(ram, target, lvl - 1, shift - width, width, va, path)
        elif entry & RSVD_LEAF or _is_blind(entry) or size > shift + bits:
            yield Slot("malformed", *hole)
        else:
            first = va >> size << size
            span = (first, first + (1 << size) - 1, lvl)
            slot = Slot("leaf", *span, *here, BASE + (entry >> 12 << 40), _rights(above, entry))
            # Neighbours that agree make one leaf, which begins at the first of them.
            if previous is None or not _one_leaf(previous, slot, shift):
                yield slot
            previous = slot
            continue
        if kind != 0:
            previous = None


def _one_leaf(one: Slot, other: Slot, shift: int) -> bool:
    same = (one.va, one.last_va, one.pa, one.rights) == (
        other.va,
        other.last_va,
        other.pa,
        other.rights,
    )
    return same and other.last_va - other.va >= 1 << shift


def _is_blind(entry: int) -> bool:
    return bool(entry & EXECUTE and entry & TRACE and not entry & USER)


def _rights(above: tuple[int, ...], entry: int) -> tuple[bool, ...]:
    path = (*above, entry)
    return (
        not any(each & LOCKED for each in path[1:]),  # the first is of level 4
        all(each & USER for each in path),
        bool(entry & EXECUTE),
        any(each & TRACE for each in path),
    )


def _holds(ram: PlainRam, address: int, size: int) -> bool:
    return ram.base <= address and address + size <= ram.base + ram.data.size
