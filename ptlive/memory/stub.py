"""Physical memory read through a gdb stub."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ptlive.arrays import U8, U64, Bool
    from ptlive.wire.stub import Stub


class StubMemory:
    """Reads each distinct address of one call once, all in one batch.

    It knows no bounds: wrap it in `BoundedMemory`. Raises PtliveError when the
    connection is lost.
    """

    def __init__(self, stub: Stub) -> None:
        self._stub = stub

    def generation(self) -> int:
        """Return a number that grows whenever the memory may have changed through us."""
        return self._stub.generation

    def read(self, addresses: U64, length: int) -> tuple[U8, Bool]:
        """See `ptlive.arrays.Memory.read`."""
        return self._stub.read_physical(addresses, length)
