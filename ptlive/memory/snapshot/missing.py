"""What was asked of a file that does not hold it, though the guest has memory there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ptlive.arrays import pieces

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ptlive.arrays import U8, U64, Bool, Memory

_SHIFT = np.uint64(12)


class Missing:
    """Reads `source`, the memory of a file, and keeps which frames it did not have.

    It goes under a `BoundedMemory`, which asks only for what is RAM or ROM: so a frame that
    is missing here is not one that the guest does not have.
    """

    def __init__(self, source: Memory) -> None:
        self._source = source
        self._missing = np.empty(0, np.uint64)

    @property
    def frames(self) -> U64:
        """The numbers of frames that were asked for and are not in the file, ascending."""
        return self._missing

    def read(self, addresses: U64, length: int) -> tuple[U8, Bool]:
        """See `ptlive.arrays.Memory.read`."""
        data, valid = self._source.read(addresses, length)
        self._note(addresses, valid)
        return data, valid

    def stream(self, addresses: U64, length: int) -> Iterator[tuple[U8, Bool]]:
        """See `ptlive.arrays.Streaming.stream`."""
        done = 0
        for data, valid in pieces(self._source, addresses, length):
            self._note(addresses[done : done + len(valid)], valid)
            done += len(valid)
            yield data, valid

    def _note(self, addresses: U64, valid: Bool) -> None:
        if not valid.all():
            self._missing = np.union1d(self._missing, addresses[~valid] >> _SHIFT)
