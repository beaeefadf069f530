"""The requests of a bulk read, made as arrays: a loop over them would cost a tenth of its time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ptlive.arrays import U8, U64

# Requests that are made at once.
_BLOCK = 1 << 10

_DIGITS = np.frombuffer(b"0123456789abcdef", np.uint8)
_HEAD = b"$m"


class Requests:
    """The `m` packets for parts of rows: `part` bytes at each start within each row, in order."""

    def __init__(self, addresses: U64, starts: Sequence[int], part: int) -> None:
        self._addresses = addresses
        self._starts = np.array(starts, np.uint64)
        last = int(addresses.max()) + starts[-1]
        digits = max(-(-last.bit_length() // 4), 1)
        self._shifts = np.arange(4 * (digits - 1), -1, -4).astype(np.uint64)
        self._tail = np.frombuffer(b",%x#" % part, np.uint8)
        self._size = len(_HEAD) + digits + len(self._tail) + 2
        self._block, self._at = b"", 0

    def __len__(self) -> int:
        return len(self._addresses) * len(self._starts)

    def between(self, first: int, last: int) -> bytes:
        """Return the requests from `first` up to, not including, `last`.

        Fast where each call begins at the end of the one before.
        """
        pieces = []
        while first < last:
            if not self._at <= first < self._at + len(self._block) // self._size:
                self._make(first)
            end = min(last, self._at + len(self._block) // self._size)
            pieces.append(
                self._block[(first - self._at) * self._size : (end - self._at) * self._size]
            )
            first = end
        return b"".join(pieces)

    def _make(self, first: int) -> None:
        ordinals = np.arange(first, min(first + _BLOCK, len(self)))
        rows, parts = np.divmod(ordinals, len(self._starts))
        self._block = self._packets(self._addresses[rows] + self._starts[parts])
        self._at = first

    def _packets(self, addresses: U64) -> bytes:
        packets: U8 = np.empty((len(addresses), self._size), np.uint8)
        packets[:, : len(_HEAD)] = np.frombuffer(_HEAD, np.uint8)
        nibbles = (addresses[:, None] >> self._shifts) & np.uint64(15)
        end = len(_HEAD) + len(self._shifts)
        packets[:, len(_HEAD) : end] = _DIGITS[nibbles.astype(np.intp)]
        packets[:, end:-2] = self._tail
        # Between `$` and `#`; uint8 sums wrap as the checksum does.
        sums = np.add.reduce(packets[:, 1:-3], axis=1, dtype=np.uint8)
        packets[:, -2], packets[:, -1] = _DIGITS[sums >> 4], _DIGITS[sums & 15]
        return packets.tobytes()
