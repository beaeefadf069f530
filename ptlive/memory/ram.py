"""Memory that is simply at hand: arrays, or files mapped as arrays."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ptlive.arrays import portions

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from ptlive.arrays import U8, U64, Bool
    from ptlive.memory.ram_map import RamMap


class PlainRam:
    """Byte arrays at physical base addresses, for tests, and for RAM kept in a file.

    `blocks` maps each base to its uint8 array, which is used in place. Raises
    ValueError when two overlap.
    """

    def __init__(self, blocks: Mapping[int, U8]) -> None:
        # Plain arrays: a subclass such as memmap costs at every slice.
        plain = ((base, np.asarray(block)) for base, block in blocks.items() if len(block))
        self._blocks = sorted(plain, key=lambda one: one[0])
        for (base, block), (above, _) in zip(self._blocks, self._blocks[1:], strict=False):
            if base + len(block) > above:
                raise ValueError(f"the blocks at {base:#x} and {above:#x} overlap")

    @classmethod
    def zeros(cls, size: int, base: int = 0) -> PlainRam:
        """Make `size` bytes of zeros at one base address."""
        return cls({base: np.zeros(size, np.uint8)})

    @classmethod
    def from_file(cls, path: Path, ram_map: RamMap, name: str) -> PlainRam:
        """Map the file behind QEMU's memory region `name`, read only, without copying.

        A region that is split around the PCI hole is in the file in one piece, so the
        map's offsets count, not the guest's addresses.
        """
        file = np.memmap(path, np.uint8, mode="r")
        return cls(
            {
                region.first: file[region.offset :][: region.last - region.first + 1]
                for region in ram_map.regions
                if region.name == name
            }
        )

    def read(self, addresses: U64, length: int) -> tuple[U8, Bool]:
        """See `ptlive.arrays.Memory.read`; a row must lie in one block."""
        data = np.empty((len(addresses), length), np.uint8)
        return data, self._fill(data, addresses)

    def stream(self, addresses: U64, length: int) -> Iterator[tuple[U8, Bool]]:
        """See `ptlive.arrays.Streaming.stream`."""
        # Always the same bytes are written, which stay in the CPU's cache.
        buffer: U8 | None = None
        for some in portions(addresses, length):
            if buffer is None:
                buffer = np.empty((len(some), length), np.uint8)
            data = buffer[: len(some)]
            yield data, self._fill(data, some)

    def _fill(self, data: U8, addresses: U64) -> Bool:
        """Fill rows with what stands at addresses; return which are valid."""
        length = data.shape[1]
        if length == 0 or not len(addresses):
            return np.zeros(len(addresses), np.bool_)
        lowest, highest = int(addresses.min()), int(addresses.max())
        for base, block in self._blocks:
            if base <= lowest and highest + length <= base + len(block):
                _take(block, addresses - np.uint64(base), data)
                return np.ones(len(addresses), np.bool_)
        valid = np.zeros(len(addresses), np.bool_)
        data[:] = 0
        for base, block in self._blocks:
            if len(block) < length:
                continue
            inside = (addresses >= np.uint64(base)) & (
                addresses <= np.uint64(base + len(block) - length)
            )
            rows = np.empty((int(inside.sum()), length), np.uint8)
            _take(block, addresses[inside] - np.uint64(base), rows)
            data[inside] = rows
            valid |= inside
        return valid

    def write(self, address: int, data: bytes) -> None:
        """Write `data` at a physical address.

        Raises ValueError when it does not lie in one block.
        """
        for base, block in self._blocks:
            if base <= address and address + len(data) <= base + len(block):
                block[address - base :][: len(data)] = np.frombuffer(data, np.uint8)
                return
        raise ValueError(f"{len(data)} bytes at {address:#x} lie outside the RAM")


def _take(block: U8, offsets: U64, rows: U8) -> None:
    """Copy the bytes at some offsets of a block, each of a row's length, into rows."""
    length = rows.shape[1]
    at = offsets.astype(np.intp)
    if (offsets % np.uint64(length)).any():
        rows[:] = np.lib.stride_tricks.sliding_window_view(block, length)[at]
        return
    pieces = block[: len(block) // length * length].reshape(-1, length)
    # All are inside; any other mode would copy once more, to leave `rows` alone on an error.
    np.take(pieces, at // length, axis=0, out=rows, mode="clip")
