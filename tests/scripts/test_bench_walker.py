"""The plain walker in C, on tables whose leaves are written down by hand from the SDM."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import numpy as np
import pytest

from ptlive.arrays import u64
from ptlive.errors import PtliveError
from scripts.benchmark.plain_c import Leaves, PlainC

if TYPE_CHECKING:
    from pathlib import Path

    from ptlive.arrays import U8

pytestmark = pytest.mark.skipif(not shutil.which("gcc"), reason="there is no gcc")

# SDM vol. 3A tables 4-14 to 4-20.
P, RW, US, PS, XD = 1, 2, 4, 1 << 7, 1 << 63
OPEN = P | RW | US
HIGH = 0x1_0000_0000  # where the second piece of RAM begins


class Ram:
    """Two pieces of 64K, so that an address in the second is not an offset in a file."""

    def __init__(self) -> None:
        self.low, self.high = np.zeros(1 << 13, np.uint64), np.zeros(1 << 13, np.uint64)

    def set(self, table: int, index: int, entry: int) -> None:
        piece, base = (self.high, HIGH) if table >= HIGH else (self.low, 0)
        piece[(table - base) // 8 + index] = entry

    @property
    def pieces(self) -> list[tuple[int, U8]]:
        return [(0, self.low.view(np.uint8)), (HIGH, self.high.view(np.uint8))]


def rows(leaves: Leaves) -> list[tuple[int, int, int, int]]:
    """Return (va, pa, level, rights) of each."""
    columns = (leaves.va, leaves.pa, leaves.level, leaves.rights)
    return list(zip(*(column.tolist() for column in columns), strict=True))


def test_five_levels_both_halves_and_all_sizes(tmp_path: Path) -> None:
    ram = Ram()
    ram.set(0x1000, 0, 0x2000 | OPEN)  # the root: PML5E 0, and 256, the first of the upper half
    ram.set(0x1000, 256, HIGH | 0x1000 | P | RW)
    ram.set(0x2000, 1, 0x3000 | OPEN)  # PML4E 1
    ram.set(0x3000, 2, 0x4000_0000 | PS | OPEN)  # PDPTE 2: 1G
    ram.set(0x3000, 3, 0x4000 | P | US)  # PDPTE 3, read-only
    ram.set(0x4000, 0, 0x60_0000 | 1 << 12 | PS | OPEN | XD)  # PDE 0: 2M, with PAT
    ram.set(0x4000, 511, 0x5000 | OPEN | XD)
    ram.set(0x5000, 5, 0x7000 | OPEN | PS)  # PTE 5: bit 7 is PAT there
    ram.set(0x5000, 6, 0x7000 | RW | US)  # not present
    # The same table of PTEs, by a path of the kernel's.
    ram.set(HIGH | 0x1000, 511, HIGH | 0x2000 | P | RW)
    ram.set(HIGH | 0x2000, 511, HIGH | 0x3000 | P | RW)
    ram.set(HIGH | 0x3000, 511, 0x5000 | P | RW)
    walker = PlainC(tmp_path, ram.pieces, 0x1000, 5)
    va3 = (1 << 39) + 3 * (1 << 30)
    assert rows(walker.walk()) == [
        ((1 << 39) + 2 * (1 << 30), 0x4000_0000, 3, RW | US | XD),
        (va3, 0x60_0000, 2, US),
        (va3 + 511 * (1 << 21) + 5 * 4096, 0x7000, 1, US),
        # Bits 63:57 are bit 56 (SDM vol. 3A 4.5.2): indices 256, 511, 511, 511, 5.
        (0xFF00_FFFF_FFE0_5000, 0x7000, 1, RW | XD),
    ]
    assert (walker.leaves, walker.tables, walker.outside) == (4, 9, 0)
    tables = [0x1000, 0x2000, 0x3000, 0x4000, 0x5000, *(HIGH | n << 12 for n in (1, 2, 3))]
    assert walker.distinct_tables().tolist() == tables


def test_four_levels_and_a_table_outside_of_ram(tmp_path: Path) -> None:
    ram = Ram()
    ram.set(0x1000, 511, 0x2000 | OPEN)
    ram.set(0x1000, 256, 0x8000_0000 | OPEN)  # there is nothing
    ram.set(0x2000, 511, 0xC000_0000 | PS | OPEN)
    walker = PlainC(tmp_path, ram.pieces, 0x1000 | 0x18, 4)  # CR3 has PWT and PCD
    assert rows(walker.walk()) == [(0xFFFF_FFFF_C000_0000, 0xC000_0000, 3, RW | US | XD)]
    assert walker.outside == 1


def test_a_ps_bit_where_no_page_may_be_is_walked_as_a_table(tmp_path: Path) -> None:
    # It is reserved in a PML4E; the plain walker knows no reserved bits, and no page there.
    ram = Ram()
    ram.set(0x1000, 0, 0x2000 | OPEN | PS)
    ram.set(0x2000, 0, 0x4000_0000 | OPEN | PS)
    assert [row[2] for row in rows(PlainC(tmp_path, ram.pieces, 0x1000, 4).walk())] == [3]


def leaves(va: int, rights: int) -> Leaves:
    level = np.array([1], np.uint8)
    return Leaves(u64(va), u64(0x5000), u64(rights), u64(0x5000 | OPEN), level)


def test_any_difference_is_told() -> None:
    assert leaves(0x1000, RW).difference(leaves(0x1000, RW)) is None
    assert leaves(0x1000, RW).difference(leaves(0x2000, RW)) == (
        "va of 1 leaves, the first at 0x1000: 0x1000 and 0x2000"
    )
    assert "rights of 1 leaves" in str(leaves(0x1000, RW).difference(leaves(0x1000, US)))
    assert leaves(0x1000, RW).difference(Leaves.empty(0)) == "1 leaves and 0"


def test_without_gcc_there_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(PtliveError, match="gcc is missing: install the package gcc"):
        PlainC(tmp_path, Ram().pieces, 0x1000, 4)
