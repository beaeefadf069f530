"""A memory that tells how far a long read has come."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ptlive.arrays import pieces

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ptlive.arrays import U8, U64, Bool, Memory

# Fewer bytes are there at once, whatever the source.
_LONG = 4 << 20


class ToldMemory:
    """Reads `source`, and tells (what, rows done, all rows) while much is streamed."""

    def __init__(self, source: Memory, tell: Callable[[str, int, int], None]) -> None:
        self._source = source
        self._tell = tell

    def read(self, addresses: U64, length: int) -> tuple[U8, Bool]:
        """See `ptlive.arrays.Memory.read`."""
        return self._source.read(addresses, length)

    def stream(self, addresses: U64, length: int) -> Iterator[tuple[U8, Bool]]:
        """See `ptlive.arrays.Streaming.stream`."""
        total = len(addresses)
        told = total * length >= _LONG
        done = 0
        for data, valid in pieces(self._source, addresses, length):
            if told:
                self._tell(f"reading {total:,} tables", done, total)
            yield data, valid
            done += len(data)
        if told:
            self._tell(f"reading {total:,} tables", total, total)
