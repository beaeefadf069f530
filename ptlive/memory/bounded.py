"""A memory that is asked only for what the guest's memory map holds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ptlive.arrays import pieces

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ptlive.arrays import U8, U64, Bool, Memory
    from ptlive.memory.ram_map import RamMap


class BoundedMemory:
    """Reads `source` where `ram_map` has RAM or ROM; every other row is invalid.

    So a pointer into a device, however it came into a table, never reaches the device.
    """

    def __init__(self, source: Memory, ram_map: RamMap) -> None:
        self._source = source
        self._ram_map = ram_map

    def read(self, addresses: U64, length: int) -> tuple[U8, Bool]:
        """See `ptlive.arrays.Memory.read`."""
        inside = self._ram_map.covers(addresses, length)
        if inside.all():
            return self._source.read(addresses, length)
        data = np.zeros((len(addresses), length), np.uint8)
        valid = np.zeros(len(addresses), np.bool_)
        if inside.any():
            data[inside], valid[inside] = self._source.read(addresses[inside], length)
        return data, valid

    def stream(self, addresses: U64, length: int) -> Iterator[tuple[U8, Bool]]:
        """See `ptlive.arrays.Streaming.stream`."""
        inside = self._ram_map.covers(addresses, length)
        if inside.all():
            yield from pieces(self._source, addresses, length)
            return
        # Rows outside go with the next that comes from the source.
        rows = np.flatnonzero(inside)
        done = taken = 0
        for data, valid in pieces(self._source, addresses[inside], length):
            some = rows[taken : taken + len(data)]
            taken += len(data)
            end = int(some[-1]) + 1 if taken < len(rows) else len(addresses)
            whole = np.zeros((end - done, length), np.uint8)
            whole_valid = np.zeros(end - done, np.bool_)
            whole[some - done], whole_valid[some - done] = data, valid
            done = end
            yield whole, whole_valid
        if not len(rows):
            yield np.zeros((len(addresses), length), np.uint8), inside
