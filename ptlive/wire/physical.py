"""Physical reads through gdb: frames in bulk, and a few entries at a time.

Bulk goes by gdb's `append binary memory` into a file that exists only in memory: of gdb's
ways it is the fastest, since what comes back as text has to be parsed. For a few bytes here
and there, packets in one command are faster.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Protocol

import numpy as np

from ptlive.errors import PtliveError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ptlive.arrays import U8, U64, Bool, Index
    from ptlive.wire.gdb import Reply

#: SDM vol. 3A 4.1.4: a physical address has 52 bits at most.
_PHYSICAL_END = 1 << 52

# What one gdb command fetches: enough to hide its cost, little enough that Ctrl-C is
# felt at once. What one batch fetches: the size of the file in memory.
_COMMAND_BYTES = 1 << 18
_BATCH_BYTES = 1 << 24
# Less than this, and than one packet may carry, is read by packets.
_FEW_BYTES = 1 << 10


class Physical(Protocol):
    """What gdb is asked while memory packets are physical; see `GdbPackets`."""

    def run_physical(self, commands: Sequence[str]) -> list[Reply]:
        """Run commands of gdb's command line."""
        ...

    def ask_physical(self, packets: Sequence[str]) -> list[str]:
        """Return the stub's replies to packets."""
        ...


class PhysicalReader:
    """Reads rows of physical memory through an attached gdb."""

    def __init__(self, packets: Physical, file: int) -> None:
        self._packets = packets
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
            few = distinct[batch].size * length <= _FEW_BYTES
            read = self._read_few if few else self._read_batch
            read(distinct[batch], length, rows[batch], good[batch])
        if not in_order:
            data[wanted] = rows[where]
        valid[wanted] = good[where]
        return data, valid

    def _read_few(self, addresses: U64, length: int, rows: U8, good: Bool) -> None:
        """Fill `rows` and `good`, by packets."""
        packets = [f"m{address:x},{length:x}" for address in addresses.tolist()]
        for at, reply in enumerate(self._packets.ask_physical(packets)):
            good[at] = len(reply) == 2 * length
            if good[at]:
                rows[at] = np.frombuffer(bytes.fromhex(reply), np.uint8)

    def _read_batch(self, addresses: U64, length: int, rows: U8, good: Bool) -> None:
        """Fill `rows` and `good` for ascending, distinct addresses."""
        starts, counts = _runs(addresses, length)
        os.ftruncate(self._file, 0)
        replies = self._packets.run_physical(
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
