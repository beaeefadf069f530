"""Entries made of others: with another address, of another size, or that refer to a table.

A format tells what an entry says, not how to write one. So bits are looked for that make it
say what is wanted, and what was made is read again by the format: where it says anything
else, that is refused. No format needs a line for this.
"""

from __future__ import annotations

from functools import cache
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from ptlive.errors import PtliveError

if TYPE_CHECKING:
    from ptlive.arrays import U64, Bool
    from ptlive.paging.format import EntryOp, Format, Level

# So many bits at most tell what kind an entry is, and how large its table (POWER: a valid
# bit, and a size of 9 as two bits).
_KIND_BITS = 3


def with_page(fmt: Format, lvl: int, entries: U64, pa: U64) -> U64:
    """Return leaf entries, uint64[n], that map the pages at `pa` in place of theirs.

    Raises PtliveError where an address cannot stand in such an entry.
    """
    level = fmt.level(lvl)
    return _with_address(level, level.leaf_address, entries, pa)


def with_table(fmt: Format, lvl: int, entries: U64, pa: U64) -> U64:
    """Return entries, uint64[n], that refer to the tables at `pa` in place of theirs."""
    level = fmt.level(lvl)
    return _with_address(level, level.table_address, entries, pa)


def table_entry(fmt: Format, lvl: int) -> int:
    """Return an entry that refers to a table at the lowest address, and denies nothing.

    The table has as many entries as its level says. Raises PtliveError if there is none.
    """
    level, rights = fmt.level(lvl), fmt.right_masks
    # A right that one entry is enough for is not to come from here.
    start = rights.every & ~rights.invert if level.granting is None else np.uint64(0)
    tried = start ^ _flips(level.entry_size)
    granted = level.rights(tried) ^ rights.invert
    fits = _is(fmt, lvl, tried, leaf=False)
    fits &= granted & (rights.every | rights.any) == rights.every
    if level.table_bits and lvl > 1:
        fits &= level.table_bits(tried) == np.uint64(fmt.level(lvl - 1).index_bits)
    return int(_first(fmt, lvl, tried, fits, "refers to a table"))


def with_rights(fmt: Format, lvl: int, entries: U64, grant: int, deny: int) -> U64:
    """Return leaf entries, uint64[n], that grant and deny these rights; the others stay.

    grant, deny: masks, as the format's rights have their bits. Raises PtliveError where no
    entry says that.
    """
    level, invert = fmt.level(lvl), int(fmt.right_masks.invert)
    ones = np.uint64((grant & ~invert) | (deny & invert))
    zeros = np.uint64((deny & ~invert) | (grant & invert))
    if level.granting is None:
        changed: U64 = (entries | ones) & ~zeros
        if not _is(fmt, lvl, changed, leaf=True).all():
            raise PtliveError(f"a {level.spec} with these rights would map no page")
        return changed
    address = _mask(level, level.leaf_address)
    different, which = np.unique(entries & ~address, return_inverse=True)
    made = np.zeros_like(different)
    for at, entry in enumerate(different):
        tried = entry ^ _flips(level.entry_size)
        wanted = (level.rights(different[at : at + 1]) | ones) & ~zeros
        fits = _is(fmt, lvl, tried, leaf=True) & (level.rights(tried) == wanted)
        fits &= level.leaf_address(tried) == level.leaf_address(different[at : at + 1])
        made[at] = _first(fmt, lvl, tried, fits, "has these rights")
    same: U64 = made[which.reshape(-1)] | (entries & address)
    return same


def resized(fmt: Format, lvl: int, to: int, entries: U64) -> U64:
    """Return leaf entries of one level as another's, with the same rights, fields and key.

    Of the address nothing is left. Raises PtliveError if the other level has no such leaf.
    """
    old, new = fmt.level(lvl), fmt.level(to)
    taken = _mask(old, old.leaf_address) | _mask(new, new.leaf_address)
    moved = np.zeros_like(entries)
    kept = {field.name: field for field in old.fields if field.leaves}
    for field in new.fields:
        taken |= np.uint64(field.mask)
        if field.leaves and field.name in kept:
            moved |= kept[field.name].of_each(entries) << np.uint64(field.shift)
    for field in old.fields:
        taken |= np.uint64(field.mask)
    # What neither level has a name for is software's.
    made = moved | (entries & ~taken)
    different, which = np.unique(made, return_inverse=True)
    whole = np.array([_as_leaf(fmt, to, int(one)) for one in different], dtype=np.uint64)
    result: U64 = whole[which.reshape(-1)]
    rights = fmt.right_masks
    every = rights.every | rights.any | rights.leaf
    if ((old.rights(entries) ^ new.rights(result)) & every).any():
        raise PtliveError(f"a {new.spec} cannot have the rights that a {old.spec} has")
    return result


def _as_leaf(fmt: Format, lvl: int, entry: int) -> int:
    """Return the entry as a leaf: as it is, or with the fewest bits changed that tell a leaf."""
    level = fmt.level(lvl)
    tried = np.uint64(entry) ^ _flips(level.entry_size)
    address = level.leaf_address
    same = address(tried) == address(np.zeros(1, dtype=np.uint64))
    if level.leaf_bits:
        same &= level.leaf_bits(tried) <= np.uint64(level.shift)
    return int(_first(fmt, lvl, tried, same & _is(fmt, lvl, tried, leaf=True), "maps a page"))


def _first(fmt: Format, lvl: int, tried: U64, fits: Bool, what: str) -> np.uint64:
    if not fits.any():
        raise PtliveError(f"no {fmt.level(lvl).spec} of {fmt.name} is known that {what}")
    found: np.uint64 = tried[np.flatnonzero(fits)[0]]
    return found


def _is(fmt: Format, lvl: int, entries: U64, *, leaf: bool) -> Bool:
    """Tell which entries are well-formed leaves, or tables."""
    level = fmt.level(lvl)
    leaves = level.leaf(entries)
    good: Bool = fmt.present(entries) & (leaves == leaf) & ~level.malformed(entries, leaves)
    return good


def _with_address(level: Level, address: EntryOp, entries: U64, pa: U64) -> U64:
    ones, weight = _weights(level, address)
    rest = pa - address(np.zeros(1, dtype=np.uint64))
    result = entries & ~_mask(level, address)
    for one, bit in zip(ones, weight, strict=True):
        result = result | np.where(rest & bit, one, np.uint64(0))
    wrong = address(result) != pa
    if wrong.any():
        raise PtliveError(f"the address {int(pa[wrong][0]):#x} cannot stand in a {level.spec}")
    return result


def _weights(level: Level, address: EntryOp) -> tuple[U64, U64]:
    """Return the bits of an entry that are its address, and what each adds to that."""
    ones = _bits(level.entry_size)
    weight = address(ones) - address(np.zeros(1, dtype=np.uint64))
    return ones[weight != 0], weight[weight != 0]


def _mask(level: Level, address: EntryOp) -> np.uint64:
    mask: np.uint64 = np.bitwise_or.reduce(_weights(level, address)[0], initial=np.uint64(0))
    return mask


def _bits(entry_size: int) -> U64:
    return np.uint64(1) << np.arange(8 * entry_size, dtype=np.uint64)


@cache
def _flips(entry_size: int) -> U64:
    """Return all combinations of few bits, those of fewest and lowest bits first."""
    bits = range(8 * entry_size)
    chosen = (some for count in range(_KIND_BITS + 1) for some in combinations(bits, count))
    return np.array([sum(1 << bit for bit in some) for some in chosen], dtype=np.uint64)
