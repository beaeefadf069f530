"""Entries in words: their named bits, their attributes, what is wrong with them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ptlive.errors import PtliveError
from ptlive.paging.format import Kind

if TYPE_CHECKING:
    from collections.abc import Callable

    from ptlive.arrays import U8, U64
    from ptlive.paging.format import Field, Format


def check_level(fmt: Format, lvl: int) -> int:
    """Return the level. Raises PtliveError if the format has none of that number."""
    if not 1 <= lvl <= fmt.top:
        raise PtliveError(f"{fmt.name} has the levels 1 to {fmt.top}, not {lvl}")
    return lvl


def classify(fmt: Format, lvl: int, entry: int) -> Kind:
    """Return what one entry is, without looking at what it refers to."""
    one = np.array([entry], dtype=np.uint64)
    level = fmt.level(lvl)
    leaf = level.leaf(one)
    if not fmt.present(one)[0]:
        return Kind.ABSENT
    if level.malformed(one, leaf)[0] or (lvl == 1 and not leaf[0]):
        return Kind.MALFORMED
    return Kind.LEAF if leaf[0] else Kind.TABLE


def refers_to(fmt: Format, lvl: int, entry: int) -> int:
    """Return the physical address in an entry: of its page if it is a leaf, else of its table."""
    one = np.array([entry], dtype=np.uint64)
    level = fmt.level(lvl)
    address = level.leaf_address if level.leaf(one)[0] else level.table_address
    return int(address(one)[0])


def page_bits(fmt: Format, lvl: int, entry: int) -> int:
    """Return log2 of the bytes that a leaf of this level maps."""
    level = fmt.level(lvl)
    grouped = level.leaf_bits(np.array([entry], dtype=np.uint64))[0] if level.leaf_bits else 0
    return max(level.shift, int(grouped))


def fields(fmt: Format, lvl: int, entry: int) -> list[tuple[Field, int]]:
    """Return the fields that an entry of this level has, with their values."""
    level = fmt.level(lvl)
    leaf = bool(level.leaf(np.array([entry], dtype=np.uint64))[0])
    return [(f, f.of(entry)) for f in level.fields if (f.leaves if leaf else f.tables)]


def bits(fmt: Format, lvl: int, entry: int) -> dict[str, int]:
    """Return the values of an entry's fields by name; empty for one that is not present."""
    if classify(fmt, lvl, entry) is Kind.ABSENT:
        return {}
    return {field.name: value for field, value in fields(fmt, lvl, entry)}


def reserved_bits(fmt: Format, lvl: int, entry: int) -> list[int]:
    """Return the numbers of the reserved bits that are set in a present entry."""
    level = fmt.level(lvl)
    leaf = bool(level.leaf(np.array([entry], dtype=np.uint64))[0])
    wrong = entry & (level.reserved_leaf if leaf else level.reserved_table)
    return [bit for bit in range(wrong.bit_length()) if wrong >> bit & 1]


def why_malformed(fmt: Format, lvl: int, entry: int) -> str:
    """Return what is wrong with a present entry, to be read behind its name."""
    reserved = [str(bit) for bit in reserved_bits(fmt, lvl, entry)]
    one = np.array([entry], dtype=np.uint64)
    why = [wrong.why for wrong in fmt.level(lvl).wrong if wrong.test(one)[0]]
    if reserved:
        why.insert(0, f"has reserved bit{'s'[: len(reserved) > 1]} {', '.join(reserved)} set")
    return " and ".join(why) or "is no entry of its level"


def pack_attributes(fmt: Format, lvl: int, entries: U64) -> U64:
    """Pack the attributes of leaf entries of one level, so that equal means equal.

    A field may stand at another bit in each level (PAT does); packed, it does not.
    """
    packed = np.zeros_like(entries)
    for name, low, _ in _packing(fmt):
        for field in fmt.level(lvl).fields:
            if field.name == name and field.attribute:
                packed |= field.of_each(entries) << np.uint64(low)
    return packed


def by_level(lvl: U8, entries: U64, of: Callable[[int, U64], U64]) -> U64:
    """Return what a function makes of entries, uint64[n], asked for each level's by itself."""
    made = np.zeros_like(entries)
    for one in np.unique(lvl).tolist():
        here = lvl == one
        made[here] = of(one, entries[here])
    return made


def leaf_field(fmt: Format, name: str, lvl: int, entries: U64) -> U64:
    """Return the value of a field of leaf entries of one level; 0 if these have no such field."""
    for field in fmt.level(lvl).fields:
        if field.name == name and field.leaves:
            return field.of_each(entries)
    return np.zeros_like(entries)


def unpack_attributes(fmt: Format, packed: int) -> dict[str, int]:
    """Return packed attributes by name."""
    return {name: packed >> low & ((1 << width) - 1) for name, low, width in _packing(fmt)}


def _packing(fmt: Format) -> list[tuple[str, int, int]]:
    """Return for each attribute its name, its lowest bit when packed, and its width."""
    result, low = [], 0
    for name in fmt.attributes:
        width = max(f.mask.bit_count() for lv in fmt.levels for f in lv.fields if f.name == name)
        result.append((name, low, width))
        low += width
    return result


def size_name(size_bits: int) -> str:
    """Return a size of 2**size_bits bytes as people write it: 4K, 2M, 1G."""
    unit = min(size_bits // 10, 6)
    return f"{1 << (size_bits - 10 * unit)}{'BKMGTPE'[unit]}"
