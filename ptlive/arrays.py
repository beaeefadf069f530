"""What both pillars of the house share: array types and the memory protocol.

Addresses, entries and masks are numpy uint64 throughout: mixed with a signed
64-bit integer they would silently become float64 and lose their low bits.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeAlias

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    U64: TypeAlias = npt.NDArray[np.uint64]
    U32: TypeAlias = npt.NDArray[np.uint32]
    U8: TypeAlias = npt.NDArray[np.uint8]
    Bool: TypeAlias = npt.NDArray[np.bool_]
    Index: TypeAlias = npt.NDArray[np.intp]


class Memory(Protocol):
    """Physical memory, read many pieces at a time."""

    def read(self, addresses: U64, length: int) -> tuple[U8, Bool]:
        """Read `length` bytes at each physical address.

        Returns `(data, valid)`: uint8[n, length] and bool[n]. A row is valid
        when all of its bytes lie in RAM or ROM; invalid rows hold zeros.
        Device memory is never read.
        """
        ...


def u64(*values: int) -> U64:
    """Return the integers (each 0 <= value < 2**64) as a uint64 array."""
    return np.array(values, dtype=np.uint64)
