"""A small Linux made of tables alone: as mm.rst says it is laid out, with bases to order."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ptlive.arrays import u64
from ptlive.paging.walk import walk
from tests.paging.builder import Builder
from tests.paging.tables import PS, RW, US, XD, P

if TYPE_CHECKING:
    from ptlive.arrays import U64
    from ptlive.paging.graph import Graph

M, G, T = 1 << 20, 1 << 30, 1 << 40
DATA, CODE, CONST = P | RW | XD, P, P | XD

# Documentation/arch/x86/x86_64/mm.rst, as numbers.
DEFAULTS = {
    4: (0xFFFF_8880_0000_0000, 0xFFFF_C900_0000_0000, 0xFFFF_EA00_0000_0000),
    5: (0xFF11_0000_0000_0000, 0xFFA0_0000_0000_0000, 0xFFD4_0000_0000_0000),
}
VMALLOC_SIZE = {4: 32 * T, 5: 12800 * T}
ENTRY_AREA = 0xFFFF_FE00_0000_0000
IMAGE = 0xFFFF_FFFF_8100_0000
MODULES = 0xFFFF_FFFF_C000_0000
IMAGE_PA = 16 * M


@dataclass
class MadeLinux:
    """RAM of `ram` bytes from physical 0, the direct map, vmalloc and vmemmap at their bases."""

    levels: int = 5
    ram: int = 256 * M
    direct: int = 0
    vmalloc: int = 0
    vmemmap: int = 0
    slide: int = 0
    frames: int = 400
    has: frozenset[str] = frozenset({"direct", "vmalloc", "vmemmap", "entry", "image", "modules"})
    build: Builder = field(init=False)

    def __post_init__(self) -> None:
        defaults = DEFAULTS[self.levels]
        self.direct = self.direct or defaults[0]
        self.vmalloc = self.vmalloc or defaults[1]
        self.vmemmap = self.vmemmap or defaults[2]
        # The tables lie above the RAM that is told about: they are nobody's business.
        self.build = Builder(self.levels, self.frames, base=1 << 40)
        for part in sorted(self.has):
            getattr(self, f"make_{part}")()

    def map(self, va: int, entry: int, level: int = 1) -> None:
        self.build.map(va % (1 << 64), entry, level=level, upper=P | RW | US)

    def make_direct(self) -> None:
        for pa in range(0, self.ram, 2 * M):
            self.map(self.direct + pa, pa | DATA | PS, 2)

    def make_vmalloc(self) -> None:
        for at in (0, 1, 2, 4, 5, 9):  # with guard pages between, as every area has one
            self.map(self.vmalloc + at * 4096, (5 + at) << 12 | DATA)
        top = 12 + 9 * (self.levels - 1)
        first, last = self.vmalloc >> top, (self.vmalloc + VMALLOC_SIZE[self.levels] - 1) >> top
        for index in range(first, last + 1):  # preallocate_vmalloc_pages
            place = self.build.root + 8 * (index & 511)
            if not self.build.ram.value(place):
                self.build.ram.write(place, self.build.table() | P | RW)

    def make_vmemmap(self) -> None:
        for section in range(-(-self.ram // (128 * M))):
            self.map(self.vmemmap + section * 2 * M, (section * 2 * M + 8 * M) | DATA | PS, 2)

    def make_entry(self) -> None:
        self.map(ENTRY_AREA, 0x7000 | CONST)
        self.map(ENTRY_AREA + 0x1000, 0x8000 | CONST)
        self.map(ENTRY_AREA + 0x2000, 0x9000 | DATA)

    def make_image(self) -> None:
        """4M of text, 2M of padding, 4M of rodata, 6M of data."""
        for at in range(0, 16 * M, 2 * M):
            rights = CODE if at < 4 * M else CONST if 6 * M <= at < 10 * M else DATA
            self.map(IMAGE + self.slide + at, (IMAGE_PA + at) | rights | PS, 2)

    def make_modules(self) -> None:
        self.map(MODULES + 0x5000, 0xA000 | CODE)

    @property
    def ends(self) -> tuple[U64, U64]:
        return u64(0), u64(self.ram - 1)

    def walk(self) -> Graph:
        return walk(self.build.fmt, self.build.ram, self.build.roots)
