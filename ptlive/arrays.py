"""What both pillars of the house share: array types and the memory protocol.

Addresses, entries and masks are numpy uint64 throughout: mixed with a signed
64-bit integer they would silently become float64 and lose their low bits.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, TypeVar

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    import numpy.typing as npt

    U64: TypeAlias = npt.NDArray[np.uint64]
    U32: TypeAlias = npt.NDArray[np.uint32]
    U8: TypeAlias = npt.NDArray[np.uint8]
    Bool: TypeAlias = npt.NDArray[np.bool_]
    Index: TypeAlias = npt.NDArray[np.intp]


_T = TypeVar("_T", bound=np.generic)

# What is decoded at once: it stays in the CPU's second-level cache.
_PIECE = 1 << 20


class Memory(Protocol):
    """Physical memory, read many pieces at a time."""

    def read(self, addresses: U64, length: int) -> tuple[U8, Bool]:
        """Read `length` bytes at each physical address.

        Returns `(data, valid)`: uint8[n, length] and bool[n]. A row is valid
        when all of its bytes lie in RAM or ROM; invalid rows hold zeros.
        Device memory is never read.
        """
        ...


class Streaming(Memory, Protocol):
    """A memory that yields rows as they arrive, or without copying them all."""

    def stream(self, addresses: U64, length: int) -> Iterator[tuple[U8, Bool]]:
        """Yield what `read` would return, some rows at a time, in order.

        Each piece is only good until the next one is asked for. Nothing else may be
        asked of the memory before the last one has come or the iterator was closed.
        """
        ...


def pieces(
    memory: Memory | Streaming, addresses: U64, length: int
) -> Generator[tuple[U8, Bool], None, None]:
    """Read physical memory some rows at a time, as `Streaming.stream`, whatever it offers."""
    stream = getattr(memory, "stream", None)
    if stream is not None:
        yield from stream(addresses, length)
        return
    for some in portions(addresses, length):
        yield memory.read(some, length)


def portions(rows: npt.NDArray[_T], length: int) -> Iterator[npt.NDArray[_T]]:
    """Cut what stands for rows of so many bytes into portions that are read at once."""
    count = max(_PIECE // max(length, 1), 1)
    for at in range(0, rows.size, count):
        yield rows[at : at + count]


def changes(*columns: npt.NDArray[Any]) -> Bool:
    """Tell which rows differ from the one before in some column, bool[n]; the first one does.

    columns: at least one, all of n values
    """
    new = np.zeros(columns[0].size, dtype=np.bool_)
    new[:1] = True
    for column in columns:
        new[1:] |= column[1:] != column[:-1]
    return new


def u64(*values: int) -> U64:
    """Return the integers (each 0 <= value < 2**64) as a uint64 array."""
    return np.array(values, dtype=np.uint64)
