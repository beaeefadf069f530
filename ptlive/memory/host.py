"""What is known of a QEMU whose memory is to be had faster than through its stub."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ptlive.arrays import U8, U64, Memory
    from ptlive.memory.ram_map import RamMap, Region

FRAME = 1 << 12
# monitor/misc.c, hmp_gpa2hva: "Host virtual address for 0x0 (pc.ram) is 0x7f0000000000".
_ADDRESS = re.compile(r"Host virtual address for .* is (0x[0-9a-f]+)\s*$")


@dataclass(frozen=True)
class Host:
    """A QEMU, and a slower way to its guest's memory, with which a faster one is compared.

    monitor_many: runs lines of its human monitor; memory: the slower way, bounded
    pid: its process, if it is one of this machine; known: a file known to be its RAM
    roots: frames that matter most; live: whether the guest runs meanwhile
    """

    monitor_many: Callable[[Sequence[str]], list[str]]
    ram_map: RamMap
    memory: Memory
    pid: int | None = None
    known: str | None = None
    roots: frozenset[int] = frozenset()
    live: bool = False

    def addresses(self, physical: Sequence[int]) -> list[int | None]:
        """Return where these physical addresses lie in QEMU's own memory (`gpa2hva`).

        None for what is no memory, and where the monitor does not tell.
        """
        replies = self.monitor_many([f"gpa2hva {address:#x}" for address in physical])
        found = [_ADDRESS.search(reply.strip()) for reply in replies]
        return [int(match[1], 16) if match else None for match in found]

    def alike(
        self, read: Callable[[U64], U8], regions: Sequence[Region], count: int
    ) -> tuple[bool, bool]:
        """Compare `count` frames and the roots, in regions, with what the slower way reads.

        read: returns uint8[n, 4096] for n addresses. Returns whether they are the same,
        and whether one of them holds anything but zeros. A guest that runs may change
        frames between the two readings: then half of them must be the same.
        """
        size = sum(region.last - region.first + 1 for region in regions)
        wanted: set[int] = set()
        for region in regions:
            wanted |= {root for root in self.roots if region.first <= root <= region.last}
            share = max(count * (region.last - region.first + 1) // size, 1)
            step = max((region.last - region.first + 1) // share // FRAME, 1) * FRAME
            wanted |= set(range(region.first, region.last - FRAME + 2, step))
        frames = np.array(sorted(wanted), dtype=np.uint64)
        data, valid = self.memory.read(frames, FRAME)
        frames, data = frames[valid], data[valid]
        same = (read(frames) == data).all(axis=1)
        enough = 2 * int(same.sum()) >= same.size if self.live else bool(same.all())
        return enough and same.size > 0, bool(data[same].any())
