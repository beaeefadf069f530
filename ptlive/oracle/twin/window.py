"""The prober's own page tables.

Below one borrowed entry of the root lie all RAM and the ROM at their physical
addresses, in supervisor-mode 2M pages, and one page of user-mode code. CR3 keeps
the guest's value; the borrowed entry is put back whenever it could be seen.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ptlive.errors import PtliveError
from ptlive.oracle.twin.fork import ENTRIES, FOUR_GB, FRAME

if TYPE_CHECKING:
    from ptlive.arrays import U64
    from ptlive.oracle.twin.fork import Fork
    from ptlive.oracle.twin.prober import Prober

PRESENT, WRITABLE, USER, ACCESSED, DIRTY, LARGE = 1, 2, 4, 1 << 5, 1 << 6, 1 << 7
TABLE = PRESENT | WRITABLE | USER | ACCESSED
LEAF_2M = PRESENT | WRITABLE | ACCESSED | DIRTY | LARGE
USER_CODE = PRESENT | USER | ACCESSED
GB_SHIFT, MB2_SHIFT = 30, 21
# What a script and its results may take.
EXTRA_LIMIT = 4 << GB_SHIFT


def extra_base(fork: Fork) -> int:
    """Return where the extra RAM is: QEMU puts DIMMs at the next GB after RAM."""
    return -(-fork.end >> GB_SHIFT) << GB_SHIFT


def page_tables(prober: Prober, fork: Fork, at: int) -> U64:
    """Return the prober's tables, to lie at physical address `at`; the first is the top one.

    uint64[n, 512]. With five levels the top is a PML4, else a page-directory-
    pointer table. Raises PtliveError if the window over all RAM is too large.
    """
    extra = extra_base(fork)
    gigabytes = (extra + EXTRA_LIMIT) >> GB_SHIFT
    alias = prober["USER_ALIAS"]
    if gigabytes << GB_SHIFT > alias:
        raise PtliveError("the guest has more RAM than the twin can map: 500 GB")
    first = 1 if fork.control.levels == 5 else 0
    tables = np.zeros((first + 1 + gigabytes + 2, ENTRIES), dtype=np.uint64)
    address = [at + FRAME * number | TABLE for number in range(len(tables))]
    if first:
        tables[0, 0] = address[1]
    window = np.arange(gigabytes * ENTRIES, dtype=np.uint64) << np.uint64(MB2_SHIFT)
    rows = slice(first + 1, first + 1 + gigabytes)
    tables[first, :gigabytes] = address[rows]
    # The last 2M below 4 GB hold the ROM, and no RAM.
    there = fork.in_ram(window) | (window == FOUR_GB - (1 << MB2_SHIFT))
    there |= window >= np.uint64(extra)
    tables[rows] = np.where(there, window | np.uint64(LEAF_2M), np.uint64(0)).reshape(-1, ENTRIES)
    tables[first, alias >> GB_SHIFT] = address[-2]
    tables[-2, 0] = address[-1]
    tables[-1, 0] = prober["user_code"] | USER_CODE
    return tables
