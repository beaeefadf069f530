"""Memory as it would be: another one, with what is to be written there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ptlive.errors import PtliveError

if TYPE_CHECKING:
    from ptlive.arrays import U8, U64, Bool, Memory

_SHIFT = np.uint64(12)
_FRAME = 1 << 12


class Overlay:
    """A memory whose frames are copied from `below` before something is written to them."""

    def __init__(self, below: Memory) -> None:
        self.below = below
        self._frames: dict[int, U8] = {}

    @property
    def frames(self) -> U64:
        """The addresses of the frames that are not what lies below, ascending."""
        return np.array(sorted(self._frames), dtype=np.uint64) << _SHIFT

    def read(self, addresses: U64, length: int) -> tuple[U8, Bool]:
        """See `ptlive.arrays.Memory.read`."""
        data, valid = self.below.read(addresses, length)
        if not self._frames or not length:
            return data, valid
        first = addresses >> _SHIFT
        last = first + np.uint64((length + _FRAME - 2) >> 12)  # at most
        known = np.array(sorted(self._frames), dtype=np.uint64)
        rows = np.searchsorted(known, first) < np.searchsorted(known, last, side="right")
        rows &= valid
        if not rows.any():
            return data, valid
        data = data.copy()
        for row in np.flatnonzero(rows).tolist():
            self._lay_over(data[row], int(addresses[row]))
        return data, valid

    def write(self, addresses: U64, values: U64, entry: str) -> None:
        """Write entries of this numpy dtype, each aligned to its size.

        Raises PtliveError where there is no memory.
        """
        numbers, which = np.unique(addresses >> _SHIFT, return_inverse=True)
        size = np.dtype(entry).itemsize
        new = [number for number in numbers.tolist() if number not in self._frames]
        data, valid = self.below.read(np.array(new, dtype=np.uint64) << _SHIFT, _FRAME)
        if not valid.all():
            number = new[int(np.flatnonzero(~valid)[0])]
            raise PtliveError(f"{number << 12:#x} lies in no RAM and no ROM of the guest")
        self._frames |= {number: row.copy() for number, row in zip(new, data, strict=True)}
        order = np.argsort(which.reshape(-1), kind="stable")
        begins = np.searchsorted(which.reshape(-1)[order], np.arange(numbers.size + 1))
        inside = (addresses & np.uint64(_FRAME - 1)) // np.uint64(size)
        for at, number in enumerate(numbers.tolist()):
            rows = order[begins[at] : begins[at + 1]]
            self._frames[number].view(entry)[inside[rows].astype(np.intp)] = values[rows]

    def _lay_over(self, row: U8, address: int) -> None:
        end = address + row.size
        for number in range(address >> 12, ((end - 1) >> 12) + 1):
            frame = self._frames.get(number)
            if frame is not None:
                begin, stop = max(address, number << 12), min(end, (number + 1) << 12)
                row[begin - address : stop - address] = frame[
                    begin - (number << 12) : stop - (number << 12)
                ]
