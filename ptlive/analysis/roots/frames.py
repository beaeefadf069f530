"""The frames of RAM, numbered, so that what is known of each is a plain array."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from ptlive.arrays import U64, Bool, Index


class Frames:
    """All whole frames of `size` bytes in stretches of RAM.

    first, last: physical addresses, uint64[n] each, ends included, none overlapping
    """

    def __init__(self, first: U64, last: U64, size: int) -> None:
        order = np.argsort(first)
        first, last = first[order], last[order]
        # Adjacent stretches are one: a frame may lie on both sides of the seam.
        new = np.ones(first.size, dtype=np.bool_)
        new[1:] = first[1:] != last[:-1] + np.uint64(1)
        heads = np.flatnonzero(new)
        first, last = first[heads], last[np.append(heads[1:], first.size) - 1]
        self._shift = np.uint64(size.bit_length() - 1)
        begin = (first + np.uint64(size - 1)) >> self._shift
        end = (last + np.uint64(1)) >> self._shift
        whole = end > begin
        self._begin, self._end = begin[whole], end[whole]
        self._before = np.cumsum(self._end - self._begin) - (self._end - self._begin)
        self.size = size
        self.count = int((self._end - self._begin).sum())
        #: Above the address of every frame.
        self.end = int(self._end.max()) * size if self.count else 0

    @cached_property
    def addresses(self) -> U64:
        """The address of each frame, uint64[count], ascending."""
        runs = zip(self._begin.tolist(), self._end.tolist(), strict=True)
        parts = [np.arange(begin, end, dtype=np.uint64) for begin, end in runs]
        numbers = np.concatenate([np.zeros(0, dtype=np.uint64), *parts])
        return numbers << self._shift

    def number(self, addresses: U64) -> Index:
        """Return which frame each address lies in, -1 for none."""
        frame = addresses >> self._shift
        if not self.count:
            return np.full(frame.size, -1, dtype=np.intp)
        at = np.searchsorted(self._begin, frame, side="right") - 1
        inside = (at >= 0) & (frame < self._end[at])
        number = (frame - self._begin[at] + self._before[at]).astype(np.intp)
        return np.where(inside, number, -1)

    def hold(self, addresses: U64) -> Bool:
        """Tell which addresses lie in a frame."""
        inside: Bool = self.number(addresses) >= 0
        return inside
