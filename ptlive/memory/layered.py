"""A fast memory, and a slower one that has the rest."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ptlive.arrays import pieces

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ptlive.arrays import U8, U64, Bool, Memory


class Layered:
    """Reads `first`, and from `rest` the rows that `first` does not have.

    Of a guest whose RAM is a file, the firmware's ROM and a video card's memory are in none.
    """

    def __init__(self, first: Memory, rest: Memory) -> None:
        self._first, self._rest = first, rest

    def read(self, addresses: U64, length: int) -> tuple[U8, Bool]:
        """See `ptlive.arrays.Memory.read`."""
        return self._completed(addresses, length, *self._first.read(addresses, length))

    def stream(self, addresses: U64, length: int) -> Iterator[tuple[U8, Bool]]:
        """See `ptlive.arrays.Streaming.stream`."""
        at = 0
        for data, valid in pieces(self._first, addresses, length):
            yield self._completed(addresses[at : at + len(valid)], length, data, valid)
            at += len(valid)

    def _completed(self, addresses: U64, length: int, data: U8, valid: Bool) -> tuple[U8, Bool]:
        if valid.all():
            return data, valid
        # A streamed piece may be the first memory itself.
        data, valid = data.copy(), valid.copy()
        missing = ~valid
        data[missing], valid[missing] = self._rest.read(addresses[missing], length)
        return data, valid
