"""Physical memory read through a gdb stub."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ptlive.arrays import portions
from ptlive.wire.stub import StreamingStub

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ptlive.arrays import U8, U64, Bool
    from ptlive.wire.stub import Stub


class StubMemory:
    """Reads each distinct address of one call once, all in one batch.

    It knows no bounds: wrap it in `BoundedMemory`. Raises PtliveError when the
    connection is lost.
    """

    def __init__(self, stub: Stub) -> None:
        self._stub = stub
        self._streaming = stub if isinstance(stub, StreamingStub) else None

    def generation(self) -> int:
        """Return a number that grows whenever the memory may have changed through us."""
        return self._stub.generation

    def read(self, addresses: U64, length: int) -> tuple[U8, Bool]:
        """See `ptlive.arrays.Memory.read`."""
        return self._stub.read_physical(addresses, length)

    def stream(self, addresses: U64, length: int) -> Iterator[tuple[U8, Bool]]:
        """See `ptlive.arrays.Streaming.stream`."""
        if self._streaming is not None:
            yield from self._streaming.stream_physical(addresses, length)
            return
        for some in portions(addresses, length):
            yield self._stub.read_physical(some, length)
