"""Each distinct frame read once, until the guest may have changed it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from ptlive.arrays import U8, U64, Bool, Index, Memory

_SHIFT = np.uint64(12)
_FRAME = 1 << 12
_OFFSET = np.uint64(_FRAME - 1)


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
        held, _ = self._index
        at = np.searchsorted(held, frames)
        found = at < len(held)
        found[found] = held[at[found]] == frames[found]
        if not found.all():
            self._add(np.unique(frames[~found]))
            at = np.searchsorted(self._index[0], frames)
        slots: Index = self._index[1][at]
        return slots

    def _add(self, new: U64) -> None:
        """Fetch frames that are not held, ascending and distinct, in one call."""
        held, slots = self._index
        used = len(held)
        total = used + len(new)
        data, whole = self._source.read(new << _SHIFT, _FRAME)
        if used == 0:
            self._store = data
        else:
            if total > len(self._store):
                grown = np.empty((max(total, 2 * len(self._store)), _FRAME), np.uint8)
                grown[:used] = self._store[:used]
                self._store = grown
            self._store[used:total] = data
        self._whole = np.concatenate((self._whole[:used], whole))
        where = np.searchsorted(held, new)
        self._index = (
            np.insert(held, where, new),
            np.insert(slots, where, np.arange(used, total)),
        )


def _columns(length: int) -> list[int]:
    """Return byte positions of a row that together touch every frame it lies in."""
    return [*range(0, length - 1, _FRAME), length - 1]
