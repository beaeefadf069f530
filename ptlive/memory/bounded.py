"""A memory that is asked only for what the guest's memory map holds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
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
