"""Memory that is simply at hand: arrays, or files mapped as arrays."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ptlive.arrays import portions, u64

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ptlive.arrays import U8, U64, Bool


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
        # Blocks of one file, whose RAM is split around the PCI hole, are read in one go.
        groups: dict[int, list[tuple[int, U8]]] = {}
        for base, block in self._blocks:
            owner = block
            while isinstance(owner.base, np.ndarray):
                owner = owner.base
            groups.setdefault(id(owner), []).append((base, block))
        self._groups = [_Group.of(group) for group in groups.values()]

    @classmethod
    def zeros(cls, size: int, base: int = 0) -> PlainRam:
        """Make `size` bytes of zeros at one base address."""
        return cls({base: np.zeros(size, np.uint8)})

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
        valid = np.zeros(len(addresses), np.bool_)
        if not length or not len(addresses):
            return valid
        for group in self._groups:
            block = np.searchsorted(group.first, addresses, side="right") - 1
            room = group.last[block] - addresses  # of an address below all, far too much
            inside = (block >= 0) & (addresses <= group.last[block])
            inside &= room >= np.uint64(length - 1)
            offsets = addresses - group.first[block] + group.offset[block]
            if inside.all():
                _take(group.bytes, offsets, data)
                return inside
            rows = np.empty((np.count_nonzero(inside), length), np.uint8)
            _take(group.bytes, offsets[inside], rows)
            data[inside] = rows
            valid |= inside
        data[~valid] = 0
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


class _Group(NamedTuple):
    """Blocks that are parts of one array.

    first, last: physical addresses of each, uint64[n]; offset: where it is in `bytes`
    """

    bytes: U8
    first: U64
    last: U64
    offset: U64

    @classmethod
    def of(cls, blocks: list[tuple[int, U8]]) -> _Group:
        places = [block.__array_interface__["data"][0] for _, block in blocks]
        end = max(place + len(block) for place, (_, block) in zip(places, blocks, strict=True))
        # From where the earliest begins to where the last one ends.
        earliest = blocks[places.index(min(places))][1]
        whole = np.lib.stride_tricks.as_strided(earliest, (end - min(places),), writeable=False)
        return cls(
            whole,
            u64(*(base for base, _ in blocks)),
            u64(*(base + len(block) - 1 for base, block in blocks)),
            u64(*(place - min(places) for place in places)),
        )


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
