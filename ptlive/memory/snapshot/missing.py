"""What was asked of a file that does not hold it, though the guest has memory there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ptlive.arrays import pieces

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ptlive.arrays import U8, U64, Bool, Memory

_SHIFT = np.uint64(12)
# So many are kept as they came: to unite them costs as much as there are.
_SOME = 1 << 16


class Missing:
    """Reads `source`, the memory of a file, and keeps which frames it did not have.

    It goes under a `BoundedMemory`, which asks only for what is RAM or ROM: so a frame that
    is missing here is not one that the guest does not have.
    """

    def __init__(self, source: Memory) -> None:
        self._source = source
        self._missing = np.empty(0, np.uint64)
        self._more: list[U64] = []
        self._waiting = 0

    @property
    def frames(self) -> U64:
        """The numbers of frames that were asked for and are not in the file, ascending."""
        self._missing = np.unique(np.concatenate([self._missing, *self._more]))
        self._more, self._waiting = [], 0
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
        if valid.all():
            return
        self._more.append(np.unique(addresses[~valid] >> _SHIFT))
        self._waiting += len(self._more[-1])
        if self._waiting > len(self._missing) + _SOME:  # seldom, the longer it gets
            _ = self.frames
