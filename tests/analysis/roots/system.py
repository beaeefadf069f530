"""The RAM of a made-up system: a kernel, processes, freed tables, and data, frame by frame.

Its tables are written by hand as Linux has them (arch/x86/mm): the upper half of each root
refers to the same tables; the kernel's own root lies in its image, which is mapped twice.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from ptlive.analysis.roots.find import find_roots
from ptlive.arrays import u64
from ptlive.paging.formats.x86_64 import make_levels
from tests.paging.plain_ram import FRAME, PlainRam
from tests.paging.tables import PS, PWU, RW, XD, A, D, P

if TYPE_CHECKING:
    from ptlive.analysis.roots.find import FoundRoot, FoundRoots
    from ptlive.paging.format import Format

TABLE = P | RW | A | D  # of the kernel
USER = PWU | A | D
IMAGE_AT, DIRECT_AT = (1 << 64) - (1 << 31), 0xFF << 56 | 0x11 << 48 | 0x11 << 40
HALF = 256


@dataclass
class System:
    """A system in `frames` frames of RAM from 0 on, of which the kernel takes the first.

    init: the kernel's own root, in its image, which is mapped apart from the map of all RAM
    """

    levels: int = 5
    frames: int = 1024
    ram: PlainRam = field(init=False)
    fmt: Format = field(init=False)
    init: int = field(init=False)
    free: int = 16 * FRAME

    def __post_init__(self) -> None:
        self.ram = PlainRam(self.frames * FRAME)
        self.fmt = make_levels(self.levels, maxphyaddr=40)
        self.init = self.frame(aligned=2)
        self.free += FRAME
        direct = DIRECT_AT if self.levels == 5 else 0xFFFF << 48 | 0x11 << 43 | 0x8 << 40
        for at in range(0, self.frames * FRAME, 1 << 21):
            self.map(self.init, direct + at, at | TABLE | PS | XD, level=2, upper=TABLE)
        for at in range(0, self.free, FRAME):
            self.map(self.init, IMAGE_AT + at, at | TABLE, upper=TABLE)
        # What the kernel has of its own, page by page, and a device's page.
        for n in range(40):
            self.map(self.init, IMAGE_AT + (1 << 30) + n * FRAME, self.noise() | TABLE | XD)
        self.map(self.init, IMAGE_AT + (1 << 30) + 77 * FRAME, 0xFE00_0000 | TABLE | XD)

    def frame(self, aligned: int = 1) -> int:
        """Take a frame of zeros; aligned: to so many frames."""
        size = aligned * FRAME
        address = -(-self.free // size) * size
        self.free = address + FRAME
        assert self.free <= self.frames * FRAME
        return address

    def noise(self, seed: int | None = None) -> int:
        """Take a frame of something that is no table."""
        address = self.frame()
        rng = np.random.default_rng(address if seed is None else seed)
        kind = address // FRAME % 3
        table = self.ram.table(address)
        if kind == 0:
            table[:] = rng.integers(0, 1 << 63, 512, dtype=np.uint64)
        elif kind == 1:
            table[:] = rng.integers(0, 4096, 512, dtype=np.uint64)  # small numbers
        else:
            table[:] = np.uint64(DIRECT_AT) + rng.integers(0, 1 << 20, 512, dtype=np.uint64) * 8
        return address

    def map(self, root: int, va: int, entry: int, *, level: int = 1, upper: int = USER) -> int:
        """Write an entry, with tables above; return where it stands."""
        table = root
        for lvl in range(self.levels, level, -1):
            place = table + 8 * (va >> (12 + 9 * (lvl - 1)) & 511)
            if not self.ram.value(place):
                self.ram.write(place, self.frame() | upper)
            table = self.ram.value(place) & 0x000F_FFFF_FFFF_F000
        place = table + 8 * (va >> (12 + 9 * (level - 1)) & 511)
        self.ram.write(place, entry)
        return place

    def root(self, pages: int = 3, flags: int = USER) -> int:
        """Make an address space of so many pages, which hold noise."""
        root = self.frame(aligned=2)
        self.free += FRAME  # where the other half of a pair would be
        self.ram.table(root)[HALF:] = self.ram.table(self.init)[HALF:]
        for n in range(pages):
            self.map(root, 0x40_0000 + (n * 7 << 20), self.noise() | flags)
        return root

    def entrance(self, kernel: int) -> int:
        """Make the other half of a pair: Linux, arch/x86/mm/pti.c."""
        user = kernel | FRAME
        table, whole = self.ram.table(user), self.ram.table(kernel)
        table[:HALF] = whole[:HALF]
        whole[:HALF][whole[:HALF] != 0] |= np.uint64(XD)
        if not hasattr(self, "_entry"):
            self._entry = self.frame()
            image = int(whole[511]) & 0x000F_FFFF_FFFF_F000
            self.ram.table(self._entry)[511] = self.ram.table(image)[511]
        table[511] = self._entry | TABLE
        return user

    def search(self, *known: int) -> FoundRoots:
        """Find the roots, of which these are in use, each by one vCPU."""
        used = {root: (n,) for n, root in enumerate(known, start=1)}
        return find_roots(self.fmt, self.ram, self.stretches(), used)

    def stretches(self) -> tuple[np.ndarray, np.ndarray]:
        """Return where the RAM is."""
        return u64(0), u64(self.frames * FRAME - 1)

    def shown(self, *known: int) -> dict[int, FoundRoot]:
        """Return those that are listed by default, by address."""
        return {one.root: one for one in self.search(*known).roots if one.shown}
