"""Each distinct frame read once, until the guest may have changed it."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import numpy as np

from ptlive.arrays import pieces, portions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ptlive.arrays import U8, U64, Bool, Index, Memory

_SHIFT = np.uint64(12)
_FRAME = 1 << 12
_OFFSET = np.uint64(_FRAME - 1)
# Frames that are kept at most, 256 MB; what is walked beyond that is not read again.
_MOST = 1 << 16


class FrameCache:
    """A memory that fetches whole 4 KiB frames from `source` and keeps them.

    `generation` returns a number that grows when what was read is stale; then, and at
    `drop`, everything is forgotten. A frame that cannot be read whole (RAM may end
    inside it) is remembered as such, and asked for piece by piece.
    """

    def __init__(self, source: Memory, generation: Callable[[], int] = lambda: 0) -> None:
        self._source = source
        self._generation = generation
        self.drop()

    def drop(self) -> None:
        """Forget every frame."""
        self._current = self._generation()
        # The numbers of all held frames, ascending, and the slot of the store where each
        # is. They change in one assignment: Ctrl-C finds them either old or new.
        self._index: tuple[U64, Index] = (np.empty(0, np.uint64), np.empty(0, np.intp))
        self._store: U8 = np.empty((0, _FRAME), np.uint8)
        self._whole: Bool = np.empty(0, np.bool_)

    def __len__(self) -> int:
        return len(self._index[0])

    def read(self, addresses: U64, length: int) -> tuple[U8, Bool]:
        """See `ptlive.arrays.Memory.read`."""
        if self._generation() != self._current:
            self.drop()
        if len(addresses) == 0 or length == 0:
            return self._source.read(addresses, length)
        offsets = (addresses & _OFFSET).astype(np.intp)
        frames = addresses >> _SHIFT
        in_one_frame = bool((offsets + length <= _FRAME).all())
        if not in_one_frame:
            return self._read_across(addresses, length)
        slots = self._fetch(frames)
        if _FRAME % length == 0 and not bool((offsets % length).any()):
            pieces = self._store.reshape(-1, length)
            data = pieces[slots * (_FRAME // length) + offsets // length]
        else:
            data = self._store[slots[:, None], offsets[:, None] + np.arange(length)]
        return self._finish(addresses, length, data, self._whole[slots])

    def stream(self, addresses: U64, length: int) -> Iterator[tuple[U8, Bool]]:
        """See `ptlive.arrays.Streaming.stream`; what is not held is fetched on the way."""
        if self._generation() != self._current:
            self.drop()
        if length != _FRAME or (addresses & _OFFSET).any():
            for some in portions(addresses, length):
                yield self.read(some, length)
            return
        slots, missing = self._slots(addresses >> _SHIFT)
        if len(self) + len(missing) > _MOST:
            yield from pieces(self._source, addresses, length)
            return
        used = self._reserve(len(missing))
        arrived = used
        try:
            with closing(pieces(self._source, missing << _SHIFT, _FRAME)) as source:
                for wanted in portions(slots, length):
                    while arrived <= wanted.max():
                        data, whole = next(source)
                        self._store[arrived : arrived + len(data)] = data
                        self._whole[arrived : arrived + len(data)] = whole
                        arrived += len(data)
                    at: Index | slice = wanted
                    if (np.diff(wanted) == 1).all():
                        at = slice(wanted[0], wanted[-1] + 1)
                    yield self._store[at], self._whole[at]
        finally:
            self._hold(missing[: arrived - used], used)

    def _read_across(self, addresses: U64, length: int) -> tuple[U8, Bool]:
        """Read rows that may lie in several frames each."""
        beyond = addresses > np.uint64(2**64 - length)
        places = np.where(beyond, np.uint64(0), addresses)[:, None] + np.arange(
            length, dtype=np.uint64
        )
        touched = places[:, _columns(length)] >> _SHIFT
        slots = self._fetch(touched.reshape(-1))
        valid = self._whole[slots].reshape(touched.shape).all(axis=1) & ~beyond
        held, held_slots = self._index
        at = held_slots[np.searchsorted(held, places >> _SHIFT)]
        data = self._store[at, (places & _OFFSET).astype(np.intp)]
        return self._finish(addresses, length, data, valid)

    def _finish(self, addresses: U64, length: int, data: U8, valid: Bool) -> tuple[U8, Bool]:
        """Ask the source itself about rows whose frames it could not deliver whole."""
        if not valid.all():
            valid = valid.copy()
            missing = ~valid
            data[missing], valid[missing] = self._source.read(addresses[missing], length)
        return data, valid

    def _fetch(self, frames: U64) -> Index:
        """Hold all these frames; return the slot of each."""
        slots, missing = self._slots(frames)
        if len(missing):
            used = self._reserve(len(missing))
            data, whole = self._source.read(missing << _SHIFT, _FRAME)
            self._store[used : used + len(missing)] = data
            self._whole[used : used + len(missing)] = whole
            self._hold(missing, used)
        return slots

    def _slots(self, frames: U64) -> tuple[Index, U64]:
        """Return the slot of each frame, and those that are not held, who get the next slots."""
        held, slots = self._index
        at = np.searchsorted(held, frames)
        new = at == len(held)
        new[~new] = held[at[~new]] != frames[~new]
        where = np.empty(len(frames), np.intp)
        where[~new] = slots[at[~new]]
        missing, first, which = np.unique(frames[new], return_index=True, return_inverse=True)
        # In the order in which they are wanted.
        order = np.argsort(first)
        rank = np.empty(len(order), np.intp)
        rank[order] = np.arange(len(order))
        where[new] = len(held) + rank[which]
        return where, missing[order]

    def _reserve(self, more: int) -> int:
        """Make room for more frames; return the first free slot."""
        used = len(self)
        if used + more > len(self._store):
            size = max(used + more, 2 * len(self._store))
            for name in ("_store", "_whole"):
                array = getattr(self, name)
                grown = np.empty((size, *array.shape[1:]), array.dtype)
                grown[:used] = array[:used]
                setattr(self, name, grown)
        return used

    def _hold(self, frames: U64, used: int) -> None:
        """Take frames into the index that stand in the slots from `used` on."""
        held, slots = self._index
        order = np.argsort(frames)
        where = np.searchsorted(held, frames[order])
        self._index = (
            np.insert(held, where, frames[order]),
            np.insert(slots, where, order + used),
        )


def _columns(length: int) -> list[int]:
    """Return byte positions of a row that together touch every frame it lies in."""
    return [*range(0, length - 1, _FRAME), length - 1]
