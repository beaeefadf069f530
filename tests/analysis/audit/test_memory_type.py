"""Memory types by IA32_PAT and MTRRs, as the SDM's tables have them."""

from __future__ import annotations

import numpy as np

from ptlive.analysis.audit.memory_type import UC, WB, WC, WP, MemoryTypes, pat_index
from ptlive.arrays import u64
from ptlive.paging.formats.x86_64 import make_levels

# SDM vol. 3A 11.12.4, the value at power-up.
POWER_UP = 0x0007_0406_0007_0406
# What SeaBIOS of a 512 MB machine leaves: 2 GB on UC, video memory UC, the BIOS WP.
SEABIOS = MemoryTypes(
    POWER_UP,
    default=0xC06,
    fixed=(0x0606_0606_0606_0606, 0x0606_0606_0606_0606, 0, *(0x0505_0505_0505_0505,) * 8),
    variable=((0x8000_0000, 0xFF_8000_0800), (0, 0)),
)


def test_the_index_is_pat_pcd_pwt_wherever_pat_stands() -> None:
    fmt = make_levels(4)
    for lvl, pat in ((1, 1 << 7), (2, 1 << 12), (3, 1 << 12)):
        entries = [
            1 | (1 << 3) * (n & 1) | (1 << 4) * (n >> 1 & 1) | pat * (n >> 2) for n in range(8)
        ]
        assert pat_index(fmt, lvl, u64(*entries)).tolist() == list(range(8))


def test_the_value_at_power_up() -> None:
    # Table 11-12: WB WT UC- UC, twice.
    assert [SEABIOS.of_index(n) for n in range(8)] == [6, 4, 7, 0, 6, 4, 7, 0]


def test_mtrrs_of_a_seabios() -> None:
    addresses = u64(0, 0x9_FFFF, 0xA_0000, 0xC_0000, 0xF_FFFF, 0x10_0000, 0x8000_0000, 1 << 32)
    types = SEABIOS.by_mtrr(addresses)
    assert types is not None
    assert types.tolist() == [WB, WB, UC, WP, WP, WB, UC, WB]


def test_disabled_mtrrs_make_all_uncached_and_unknown_ones_nothing() -> None:
    off = MemoryTypes(POWER_UP, default=6).by_mtrr(u64(0))
    assert off is not None
    assert off.tolist() == [UC]
    assert MemoryTypes(POWER_UP).by_mtrr(u64(0)) is None


def test_where_variable_ranges_overlap_uncached_wins() -> None:
    both = ((WC, 0x800), (0x1000 | UC, (1 << 46) - 0x1000 | 0x800))
    for variable in (both, both[::-1]):
        types = MemoryTypes(POWER_UP, default=0x806, variable=variable).by_mtrr(u64(0, 0x1000))
        assert types is not None
        np.testing.assert_array_equal(types, [WC, UC])
