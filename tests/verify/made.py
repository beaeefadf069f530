"""Guests that never ran: tables in a RAM file, as an address space and as a fork."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ptlive.memory.ram_map import Kind, RamMap, Region
from ptlive.oracle.twin.fork import CR4_PKE, CR4_SMAP, CR4_SMEP, Control, Fork
from ptlive.paging.access import Controls
from ptlive.paging.formats import x86_64
from ptlive.space import AddressSpace

if TYPE_CHECKING:
    from pathlib import Path

    from ptlive.arrays import U8, U64, Bool

MB, FRAME = 1 << 20, 4096
P, RW, US, A, D, PS, XD = 1, 2, 4, 1 << 5, 1 << 6, 1 << 7, 1 << 63
FULL = P | RW | US
# TCG's own MAXPHYADDR.
PHYS_BITS = 40


class Made:
    """A RAM file of a guest with tables as one likes; the root is frame 1."""

    def __init__(self, path: Path, size: int = 64 * MB) -> None:
        self.path, self.size = path, size
        with open(path, "wb") as file:
            file.truncate(size)
        self.words: Any = np.memmap(path, dtype="<u8", mode="r+")

    def put(self, frame: int, index: int, entry: int) -> None:
        self.words[frame * 512 + index] = entry

    def read(self, addresses: U64, length: int) -> tuple[U8, Bool]:
        valid = addresses <= np.uint64(self.size - length)
        data = np.zeros((addresses.size, length), dtype=np.uint8)
        raw = self.words.view(np.uint8)
        for row in np.flatnonzero(valid).tolist():
            at = int(addresses[row])
            data[row] = raw[at : at + length]
        return data, valid

    def space(self, levels: int = 4, pkru: int | None = 0) -> AddressSpace:
        return AddressSpace(
            format=x86_64.make_levels(levels, maxphyaddr=PHYS_BITS),
            memory=self,
            root=np.array([FRAME], dtype=np.uint64),
            origin="cr3",
            controls=Controls(wp=True, smep=True, smap=True, nxe=True, pke=True, pkru=pkru),
            ram_map=RamMap(
                [
                    Region(0, 0x9FFFF, Kind.RAM, "ram", 0),
                    Region(0xA0000, 0xFFFFF, Kind.DEVICE, "low", 0xA0000),
                    Region(0x100000, self.size - 1, Kind.RAM, "ram", 0x100000),
                ]
            ),
            vcpu=1,
            not_modelled={},
        )

    def fork(self, levels: int = 4) -> Fork:
        cr4 = 1 << 5 | CR4_SMEP | CR4_SMAP | CR4_PKE | (1 << 12 if levels == 5 else 0)
        control = Control(cr0=1 << 31 | 1 << 16 | 1, cr4=cr4, efer=1 << 11 | 1 << 10 | 1 << 8)
        return Fork(
            ram=str(self.path), size=self.size, low_ram=self.size, root=FRAME, control=control
        )


def scattered(made: Made, leaves: int) -> None:
    """Map so many 4K pages below one root entry, to frames in the upper half of RAM."""
    tables = leaves // 512
    directories = -(-tables // 512)
    first_table = 3 + directories
    made.put(1, 3, 2 * FRAME | FULL)
    for n in range(directories):
        made.put(2, n, (3 + n) * FRAME | FULL)
    words = made.words
    frames = made.size // FRAME
    low = frames // 2
    for n in range(tables):
        table = first_table + n
        made.put(3 + n // 512, n % 512, table * FRAME | FULL)
        page = low + (np.arange(512, dtype=np.uint64) * 7 + n * 512) % (frames - low)
        flags = np.where(np.arange(512) % 3 == 0, P | RW, FULL).astype(np.uint64)
        words[table * 512 : table * 512 + 512] = page * FRAME | flags
