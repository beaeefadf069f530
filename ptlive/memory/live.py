"""Memory of a guest that runs: what was read is read again, and what differs is torn."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from ptlive.arrays import U8, U64, Bool, Memory

_ENTRY = 8


@dataclass(frozen=True)
class Torn:
    """Entries of 8 bytes that changed while tables were read, ascending.

    entry_pa, before, after: uint64[n]
    """

    entry_pa: U64
    before: U64
    after: U64

    @property
    def bits(self) -> U64:
        """The bits that differ, of each entry."""
        return self.before ^ self.after


@dataclass
class Witness:
    """Reads `source` and keeps what it delivered, to be compared with a later reading.

    Under a `FrameCache` each frame is read once, so that a walk sees one state of each;
    of several they may be states at different times, which is what `torn` finds out.
    """

    source: Memory
    _seen: list[tuple[U64, U8]] = field(default_factory=list)

    def read(self, addresses: U64, length: int) -> tuple[U8, Bool]:
        """See `ptlive.arrays.Memory.read`."""
        data, valid = self.source.read(addresses, length)
        if length % _ENTRY == 0 and not (addresses % np.uint64(_ENTRY)).any():
            self._seen.append((addresses[valid], data[valid]))
        return data, valid

    def torn(self) -> Torn:
        """Read all of it again; return the entries that are different now."""
        none = np.zeros(0, np.uint64)
        found: list[tuple[U64, U64, U64]] = [(none, none, none)]
        for addresses, before in self._seen:
            data, valid = self.source.read(addresses, before.shape[1])
            was: U64 = before[valid].view("<u8").astype(np.uint64, copy=False)
            now: U64 = data[valid].view("<u8").astype(np.uint64, copy=False)
            row, column = np.nonzero(was != now)
            at = addresses[valid][row] + (column * _ENTRY).astype(np.uint64)
            found.append((at, was[row, column], now[row, column]))
        entry_pa, first = np.unique(np.concatenate([one[0] for one in found]), return_index=True)
        return Torn(
            entry_pa,
            np.concatenate([one[1] for one in found])[first],
            np.concatenate([one[2] for one in found])[first],
        )
