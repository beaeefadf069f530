"""Where the RAM given by -m lies, on any PC-like machine: below 4 GB, and from 4 GB on."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ptlive.errors import PtliveError
from ptlive.memory.ram_map import Kind

if TYPE_CHECKING:
    from collections.abc import Callable

    from ptlive.memory.ram_map import RamMap

FOUR_GB = 1 << 32
# Below 1 MB the PC has its video memory and ROMs between pieces of RAM.
_LEGACY = (0xA0000, 0x100000)


@dataclass(frozen=True)
class Piece:
    """A stretch of RAM, `first`..`last` inclusive, and where it lies in a file of all RAM."""

    first: int
    last: int
    offset: int

    @property
    def size(self) -> int:
        """How many bytes it has."""
        return self.last - self.first + 1


@dataclass(frozen=True)
class Layout:
    """The RAM of a machine: `size` bytes, of which `low` lie below 4 GB, the rest from 4 GB on.

    pieces: those that are memory just now; video memory, SMRAM and ROMs may hide others
    whole: whether all of it is one memory region of QEMU, in this order
    """

    size: int
    low: int
    pieces: tuple[Piece, ...]
    whole: bool


def read_layout(monitor: Callable[[str], str], ram_map: RamMap) -> Layout:
    """Return how the guest's RAM lies (hw/i386/pc.c, pc_memory_init).

    monitor: runs a line of QEMU's human monitor. Raises PtliveError for RAM that lies
    elsewhere, such as DIMMs.
    """
    if monitor("info memory-devices").strip():
        raise PtliveError("the guest has memory devices (DIMMs): only RAM given by -m is forked")
    memory = [r for r in ram_map.regions if r.kind in (Kind.RAM, Kind.ROM)]
    low_seen = high_end = 0
    for region in memory:
        if region.first == low_seen or _LEGACY[0] <= low_seen <= region.first <= _LEGACY[1]:
            low_seen = region.last + 1
        elif region.first == (high_end or FOUR_GB):
            high_end = region.last + 1
    high = max(high_end - FOUR_GB, 0)
    # The map shows no RAM where SMRAM hides it, at the top of what lies below 4 GB.
    told = re.search(r"base memory: (\d+)", monitor("info memory_size_summary"))
    low = int(told[1]) - high if told else low_seen
    if not low_seen <= low <= FOUR_GB or not low:
        raise PtliveError("the guest's RAM does not lie as on the machines pc and q35")
    pieces, whole = [], True
    for region in memory:
        # Below 1 MB OVMF leaves its ROM, and VGA its memory, where SeaBIOS has RAM: neither
        # is in the file of the RAM, nor in a twin.
        legacy = _LEGACY[0] <= region.first and region.last < _LEGACY[1]
        if legacy and region.name != memory[0].name:
            continue
        if region.last < low or FOUR_GB <= region.first < FOUR_GB + high:
            offset = region.first if region.last < low else region.first - FOUR_GB + low
            pieces.append(Piece(region.first, region.last, offset))
            whole &= (region.name, region.offset) == (memory[0].name, offset)
    return Layout(low + high, low, tuple(pieces), whole)
