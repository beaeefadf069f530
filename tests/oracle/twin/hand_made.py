"""A guest that never ran: a RAM file with a few page tables written by hand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ptlive.oracle.twin.fork import Control, Fork

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from ptlive.arrays import U64

MB, GB = 1 << 20, 1 << 30
P, RW, US, A, D, PS, XD = 1, 2, 4, 1 << 5, 1 << 6, 1 << 7, 1 << 63
TABLE = P | RW | US

ROOT, PDPT, PD, PT = 0x1000, 0x2000, 0x3000, 0x4000
# Below entry 1 of the root; each of PT's entries is one page.
VA = 1 << 39

CR0 = 1 << 31 | 1 << 16 | 1  # PG, WP, PE
CR4 = 1 << 5  # PAE
EFER = 1 << 11 | 1 << 10 | 1 << 8  # NXE, LMA, LME
LONG_MODE = Control(cr0=CR0, cr4=CR4, efer=EFER)


@dataclass(frozen=True)
class HandMade:
    """A RAM file, and how it is laid out."""

    path: Path
    size: int
    low_ram: int

    def put(self, words: Mapping[int, int]) -> None:
        """Write 8-byte words at file offsets."""
        with open(self.path, "r+b") as file:
            for at, word in words.items():
                file.seek(at)
                file.write(word.to_bytes(8, "little"))

    def fork(
        self,
        *,
        root: int = ROOT,
        control: Control = LONG_MODE,
        machine: str = "pc",
        cpu: str = "max",
    ) -> Fork:
        return Fork(
            ram=str(self.path),
            size=self.size,
            low_ram=self.low_ram,
            root=root,
            control=control,
            machine=machine,
            cpu=cpu,
        )


def hand_made(
    folder: Path, leaves: Mapping[int, int], size: int = 4 * MB, low_ram: int | None = None
) -> HandMade:
    """Write a RAM file with these entries in its one page table."""
    ram = HandMade(folder / "ram", size, low_ram or size)
    with open(ram.path, "wb") as file:
        file.truncate(size)
    ram.put({ROOT + 8: PDPT | TABLE, PDPT: PD | TABLE, PD: PT | TABLE})
    ram.put({PT + 8 * index: entry for index, entry in leaves.items()})
    return ram


def pages(*indices: int, offset: int = 0) -> U64:
    """Return virtual addresses in the pages of these entries."""
    return np.array([VA + (index << 12) + offset for index in indices], dtype=np.uint64)
