"""An address space as it was: its tables copied, so that the guest may go on."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from ptlive.memory.ram import PlainRam

if TYPE_CHECKING:
    from ptlive.arrays import U64
    from ptlive.space import AddressSpace

_FRAME = 1 << 12


def frozen(space: AddressSpace, ranges: tuple[U64, U64] | None = None) -> AddressSpace:
    """Return the same address space over a copy of its tables, of those in ranges by default all.

    Whatever else is read is in no memory. Raises PtliveError for a bad root.
    """
    graph = space.walk(ranges)
    tables = [floor.nodes.table & ~np.uint64(_FRAME - 1) for floor in graph.floors]
    frames = np.unique(np.concatenate([space.root & ~np.uint64(_FRAME - 1), *tables]))
    data, valid = space.memory.read(frames, _FRAME)
    kept = np.ascontiguousarray(data[valid])
    blocks = dict(zip(frames[valid].tolist(), kept, strict=True))
    return dataclasses.replace(space, memory=PlainRam(blocks))
