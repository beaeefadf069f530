"""Page tables in a file, for assertions that need no guest."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.paging.builder import Builder
from tests.paging.tables import PS, PWU, RW, US, XD, A, D, G, P

if TYPE_CHECKING:
    from pathlib import Path

CODE, DATA, LARGE, USER, WX = 0x40_0000, 0x40_3000, 0x8000_0000, 0x7000_0000_0000, 0x50_0000
# CR0.PG and WP, CR4.PAE, EFER.LME, LMA and NXE.
REGISTERS = ("cr0=0x80010001", "cr4=0x20", "efer=0xd00", "maxphyaddr=40")


def write(path: Path, *, wx: bool = False) -> list[str]:
    """Write tables of 4 levels to a file of bare memory; return what is to be assumed of it.

    Two pages r-x- at CODE, one rw-- at DATA, a 2M page r--- at LARGE, two pages rw-u at USER.
    The frames of all others follow each other, those of the last do not.
    """
    build = Builder(4, frames=32, base=0)
    build.map(CODE, 0x20_0000 | P | A)
    build.map(CODE + 0x1000, 0x20_1000 | P | A | G)
    build.map(DATA, 0x30_0000 | P | RW | A | D | XD)
    build.map(LARGE, 0x40_0000 | P | PS | XD, level=2)
    build.map(USER, 0x60_0000 | P | RW | US | XD)
    build.map(USER + 0x1000, 0x70_0000 | P | RW | US | XD)
    if wx:
        build.map(WX, 0x50_0000 | PWU)
    path.write_bytes(build.ram.data.tobytes().ljust(8 << 20, b"\0"))
    return [*REGISTERS, f"cr3={build.root:#x}"]
