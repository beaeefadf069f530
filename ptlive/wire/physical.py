"""Bulk reads through gdb's `append binary memory`, into a file that exists only in memory.

Of gdb's ways to fetch memory this is the fastest that needs no Python inside gdb, for
whole frames as for single entries: MI's own reads come back as text that has to be parsed.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import numpy as np

from ptlive.errors import PtliveError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ptlive.arrays import U8, U64, Bool, Index
    from ptlive.wire.gdb import Reply

#: SDM vol. 3A 4.1.4: a physical address has 52 bits at most.
_PHYSICAL_END = 1 << 52

# What one gdb command fetches: enough to hide its cost, little enough that Ctrl-C is
# felt at once. What one batch fetches: the size of the file in memory.
_COMMAND_BYTES = 1 << 18
_BATCH_BYTES = 1 << 24


class PhysicalReader:
    """Reads rows of physical memory; `run` executes console commands under PhyMemMode."""

    def __init__(self, run: Callable[[Sequence[str]], Sequence[Reply]], file: int) -> None:
        self._run = run
        self._file = file

    def read(self, addresses: U64, length: int) -> tuple[U8, Bool]:
        """Read `length` bytes at each address; see `Stub.read_physical`."""
        data = np.zeros((len(addresses), length), np.uint8)
        valid = np.zeros(len(addresses), np.bool_)
        wanted = np.flatnonzero(addresses <= np.uint64(_PHYSICAL_END - length))
        if length == 0 or len(wanted) == 0:
            return data, valid
        distinct, where = np.unique(addresses[wanted], return_inverse=True)
        in_order = len(distinct) == len(addresses) and bool((where == np.arange(len(where))).all())
        rows = data if in_order else np.zeros((len(distinct), length), np.uint8)
        good = np.zeros(len(distinct), np.bool_)
        rows_per_batch = max(_BATCH_BYTES // length, 1)
        for start in range(0, len(distinct), rows_per_batch):
            batch = slice(start, start + rows_per_batch)
            self._read_batch(distinct[batch], length, rows[batch], good[batch])
        if not in_order:
            data[wanted] = rows[where]
        valid[wanted] = good[where]
        return data, valid

    def _read_batch(self, addresses: U64, length: int, rows: U8, good: Bool) -> None:
        """Fill `rows` and `good` for ascending, distinct addresses."""
        starts, counts = _runs(addresses, length)
        os.ftruncate(self._file, 0)
        replies = self._run(
            [
                f"append binary memory /proc/self/fd/{self._file} {first:#x} {end:#x}"
                for first, end in zip(
                    addresses[starts].tolist(),
                    (addresses[starts] + (counts * length).astype(np.uint64)).tolist(),
                    strict=True,
                )
            ]
        )
        arrived = np.array([reply.message == "done" for reply in replies], np.bool_)
        good[:] = np.repeat(arrived, counts)
        expected = int(counts[arrived].sum()) * length
        size = os.fstat(self._file).st_size
        if size != expected:
            raise PtliveError(f"gdb delivered {size} bytes of {expected}")
        # The common case reads straight into its place.
        target = rows if good.all() else np.empty((int(good.sum()), length), np.uint8)
        if os.preadv(self._file, [target.reshape(-1).data], 0) != expected:
            raise PtliveError("the bytes that gdb delivered cannot be read back")
        if target is not rows:
            rows[good] = target


def _runs(addresses: U64, length: int) -> tuple[Index, Index]:
    """Return where each run of adjacent rows starts, and of how many rows it is."""
    breaks = np.diff(addresses) != np.uint64(length)
    limit = max(_COMMAND_BYTES // length, 1)
    ordinal = np.arange(len(addresses))
    starts = np.concatenate(([True], breaks))
    since = ordinal - np.maximum.accumulate(np.where(starts, ordinal, 0))
    first = np.flatnonzero(starts | (since % limit == 0))
    return first, np.diff(np.append(first, len(addresses)))
