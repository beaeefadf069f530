"""Guest memory for tests: one stretch of plain RAM, with what a test writes into it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ptlive.arrays import U8, U64, Bool
    from ptlive.paging.graph import Write

FRAME = 4096


class PlainRam:
    """RAM of `size` bytes from physical address `base` on, all zero at first.

    reads: (addresses, length) of each call of `read`, to count them by.
    """

    def __init__(self, size: int, base: int = 0, entries: Mapping[int, int] | None = None) -> None:
        self.base = base
        self.data = np.zeros(size, dtype=np.uint8)
        self.words = self.data.data.cast("Q")  # the quickest way to single ones
        self.reads: list[tuple[list[int], int]] = []
        for address, value in (entries or {}).items():
            self.write(address, value)

    def __repr__(self) -> str:
        slots = self.data[: self.data.size & ~7].view("<u8").tolist()
        used = [f"{self.base + 8 * n:#x}: {slot:#x}" for n, slot in enumerate(slots) if slot]
        more = f", ... {len(used)} in all" if len(used) > 40 else ""
        return f"PlainRam({self.data.size}, {self.base:#x}, {{{', '.join(used[:40])}{more}}})"

    def read(self, addresses: U64, length: int) -> tuple[U8, Bool]:
        assert addresses.dtype == np.uint64
        assert addresses.ndim == 1
        self.reads.append((addresses.tolist(), length))
        data = np.zeros((addresses.size, length), dtype=np.uint8)
        offset = addresses - np.uint64(self.base)  # what lies below the base wraps around
        valid: Bool = offset <= np.uint64(max(self.data.size - length, 0))
        valid &= length <= self.data.size
        if valid.any():
            data[valid] = sliding_window_view(self.data, length)[offset[valid].astype(np.intp)]
        return data, valid

    def write(self, address: int, value: int, entry: str = "<u8") -> None:
        """Write one entry."""
        self.table(address, 1, entry)[0] = value

    def value(self, address: int, entry: str = "<u8") -> int:
        """Return one entry."""
        return int(self.table(address, 1, entry)[0])

    def table(self, address: int, count: int = 512, entry: str = "<u8") -> Any:
        """Return `count` entries at an address, to read and to write."""
        size = np.dtype(entry).itemsize
        offset = address - self.base
        assert 0 <= offset <= self.data.size - count * size
        return self.data[offset : offset + count * size].view(entry)

    def qword(self, address: int) -> int | None:
        """Return the 8 bytes at an aligned address; None where there is no RAM."""
        offset = address - self.base
        if not 0 <= offset <= self.data.size - 8:
            return None
        return int(self.words[offset >> 3])

    def apply(self, writes: Iterable[Write], entry: str = "<u8") -> None:
        """Write what an operation collected, which must still be as the walk saw it."""
        for write in writes:
            columns = (write.address.tolist(), write.old.tolist(), write.new.tolist())
            for address, old, new in zip(*columns, strict=True):
                assert self.value(address, entry) == old
                self.write(address, new, entry)
