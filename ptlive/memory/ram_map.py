"""The guest's physical address space: where RAM and ROM are, and where devices answer.

Physical reads of what is no memory return zeros without an error, and reads of a device
really read it. So nothing is read that this map does not call memory.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING

import numpy as np

from ptlive.errors import PtliveError

if TYPE_CHECKING:
    from ptlive.arrays import U8, U64, Bool, Index


class Kind(IntEnum):
    """What answers at a physical address."""

    NOTHING = 0
    RAM = 1
    ROM = 2
    DEVICE = 3


# softmmu/memory.c, memory_region_type: `romd` is a flash chip that reads as memory just
# now; `ramd` is memory of a passed-through device, which a read may well disturb.
_KINDS = {"ram": Kind.RAM, "rom": Kind.ROM, "romd": Kind.ROM, "ramd": Kind.DEVICE}

_VIEW = re.compile(r"^FlatView #\d+\s*$", re.MULTILINE)
_SYSTEM = re.compile(r'^ AS "memory", root: ', re.MULTILINE)
_REGION = re.compile(
    r"^ +(?P<first>[0-9a-f]{16})-(?P<last>[0-9a-f]{16}) "
    r"\(prio -?\d+, (?:nv-)?(?P<type>[^)]+)\): (?P<name>.*?)(?: @(?P<offset>[0-9a-f]{16}))?"
    r"(?: KVM)?\s*$",
    re.MULTILINE,
)


@dataclass(frozen=True)
class Region:
    """One stretch of the physical address space, `first`..`last` inclusive.

    `offset` is where it begins in QEMU's memory region `name`: a file that backs the
    guest's RAM has this byte at that offset.
    """

    first: int
    last: int
    kind: Kind
    name: str
    offset: int


class RamMap:
    """Regions sorted by address, none overlapping, asked for many addresses at once."""

    def __init__(self, regions: list[Region]) -> None:
        self.regions = tuple(sorted(regions, key=lambda region: region.first))
        self._firsts = np.array([region.first for region in self.regions], np.uint64)
        self._lasts = np.array([region.last for region in self.regions], np.uint64)
        self._kinds = np.array([region.kind for region in self.regions], np.uint8)
        if bool((self._firsts[1:] <= self._lasts[:-1]).any()):
            raise ValueError("regions overlap")
        # What can be read: neighbouring pieces of RAM and ROM as one.
        merged: list[list[int]] = []
        for region in self.regions:
            if region.kind not in (Kind.RAM, Kind.ROM):
                continue
            if merged and merged[-1][1] + 1 == region.first:
                merged[-1][1] = region.last
            else:
                merged.append([region.first, region.last])
        self._memory = np.array(merged, np.uint64).reshape(-1, 2).T

    @classmethod
    def parse(cls, text: str) -> RamMap:
        """Read what QEMU's monitor prints for `info mtree -f`.

        Of the flat views the one of the address space "memory" counts: aliases are
        resolved there. Raises PtliveError when the text holds none, or one without RAM.
        """
        for view in _VIEW.split(text.replace("\r", "")):
            if _SYSTEM.search(view):
                regions = [
                    Region(
                        int(match["first"], 16),
                        int(match["last"], 16),
                        _KINDS.get(match["type"], Kind.DEVICE),
                        match["name"],
                        int(match["offset"] or "0", 16),
                    )
                    for match in _REGION.finditer(view)
                ]
                if any(region.kind is Kind.RAM for region in regions):
                    return cls(regions)
        raise PtliveError("QEMU does not tell where the guest's RAM is (info mtree -f)")

    @property
    def ram_bytes(self) -> int:
        """Bytes of RAM that have an address."""
        return sum(r.last - r.first + 1 for r in self.regions if r.kind is Kind.RAM)

    @property
    def ram(self) -> tuple[U64, U64]:
        """The first and last address of each region of RAM, uint64[n] each, ascending."""
        is_ram = self._kinds == np.uint8(Kind.RAM)
        return self._firsts[is_ram], self._lasts[is_ram]

    def kind_of(self, addresses: U64) -> U8:
        """Return the `Kind` of each address, as uint8[n]."""
        index, inside = _find(addresses, self._firsts, self._lasts)
        kinds = np.zeros(len(addresses), np.uint8)
        kinds[inside] = self._kinds[index[inside]]
        return kinds

    def uniform(self, addresses: U64, last_addresses: U64) -> Bool:
        """Tell of each range, ends included, whether one kind answers throughout."""
        # Where the kind changes: at each region's beginning and after its end, unless
        # a neighbour of the same kind goes on there.
        edges = {0: Kind.NOTHING}
        for region in self.regions:
            edges[region.first] = region.kind
            edges[region.last + 1] = Kind.NOTHING
        kinds = [edges[at] for at in sorted(edges)]
        starts = [
            at
            for at, kind, before in zip(sorted(edges), kinds, [None, *kinds], strict=False)
            if kind is not before and at < 1 << 64
        ]
        changes = np.array(starts, np.uint64)
        same: Bool = np.searchsorted(changes, addresses, side="right") == np.searchsorted(
            changes, last_addresses, side="right"
        )
        return same

    def names_of(self, addresses: U64) -> list[str]:
        """Return the name of QEMU's region at each address; "" where nothing is."""
        index, inside = _find(addresses, self._firsts, self._lasts)
        return [
            self.regions[at].name if found else ""
            for at, found in zip(index.tolist(), inside.tolist(), strict=True)
        ]

    def covers(self, addresses: U64, length: int) -> Bool:
        """Tell for each address whether `length` bytes from there are all RAM or ROM."""
        firsts, lasts = self._memory
        if len(addresses) and length:
            # Mostly all lie in one piece of memory.
            lowest, highest, rest = addresses.min(), addresses.max(), np.uint64(length - 1)
            if ((firsts <= lowest) & (highest <= lasts) & (lasts - highest >= rest)).any():
                return np.ones(len(addresses), np.bool_)
        index, inside = _find(addresses, firsts, lasts)
        room = np.zeros(len(addresses), np.uint64)
        room[inside] = lasts[index[inside]] - addresses[inside]
        return inside & (room >= np.uint64(max(length - 1, 0)))

    def stretch_of(self, addresses: U64) -> Index:
        """Return which stretch of adjacent RAM and ROM holds each address; -1 for none."""
        index, inside = _find(addresses, *self._memory)
        return np.where(inside, index, -1)


def _find(addresses: U64, firsts: U64, lasts: U64) -> tuple[Index, Bool]:
    """Return the last range that starts at or before each address, and if it holds it."""
    index = np.searchsorted(firsts, addresses, side="right") - 1
    inside = index >= 0
    inside[inside] = addresses[inside] <= lasts[index[inside]]
    return index, inside
