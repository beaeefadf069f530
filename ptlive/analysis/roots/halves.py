"""A root table's two halves, and when two entries are the same.

In each address space of one kernel the half of the kernel has the same entries: they refer
to the same tables with the same rights. What the MMU or the kernel marks in them beside
(accessed, ignored bits) may differ.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from ptlive.arrays import U8, U64, Index
    from ptlive.paging.format import Format


class Share(NamedTuple):
    """How the entries of some tables compare with those of another one, all intp[n].

    same: equal and present; missing: present in the other only; more: in this one only;
    differs: present in both, and they are not the same
    """

    same: Index
    missing: Index
    more: Index
    differs: Index


def root_bytes(fmt: Format) -> int:
    """Return how large a root table is, which is also how it is aligned."""
    level = fmt.level(fmt.top)
    return level.entry_size << level.index_bits


def entries(fmt: Format, data: U8) -> U64:
    """Return the entries of root tables, uint64[n, entries of each], from their bytes."""
    level = fmt.level(fmt.top)
    return data.view(level.entry).astype(np.uint64, copy=False)


def split(fmt: Format) -> int:
    """Return where the upper half begins: the first entry of the format's last window.

    That is the number of all entries where there is one window: nothing is a kernel's.
    """
    level = fmt.level(fmt.top)
    count = 1 << level.index_bits
    windows = sorted(fmt.windows, key=lambda window: window.va)
    if len(windows) < 2:
        return count
    return (windows[-1].va >> level.shift) % count


def identity(fmt: Format, values: U64) -> U64:
    """Return what makes an entry what it is: its table and its rights; 0 if not present.

    Addresses are those of frames: their low bits have room for present.
    """
    level = fmt.level(fmt.top)
    rights = np.uint64(sum(right.mask for right in fmt.rights))
    kept = level.table_address(values) | (values & rights) | np.uint64(1)
    return np.where(fmt.present(values), kept, np.uint64(0))


def tables(fmt: Format, values: U64) -> U64:
    """Return the table that each entry refers to, with bit 0 set; 0 if it is not present."""
    level = fmt.level(fmt.top)
    kept = level.table_address(values) | np.uint64(1)
    return np.where(fmt.present(values), kept, np.uint64(0))


def compare(some: U64, other: U64) -> Share:
    """Compare tables, uint64[n, m], with one, uint64[m], all as `identity` returns them."""
    both = (some != 0) & (other != 0)
    same = both & (some == other)
    counts = (same, (some == 0) & (other != 0), (some != 0) & (other == 0), both & ~same)
    return Share(*(np.count_nonzero(one, axis=1) for one in counts))
