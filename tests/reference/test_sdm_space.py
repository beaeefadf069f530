"""Leaves and holes of whole address spaces, on small tables counted by hand."""

from dataclasses import replace
from itertools import pairwise

import pytest

from .machines import FIVE, FOUR
from .ram import ram
from .sdm import Hole, Leaf, Machine, ReadQword, enumerate_holes, enumerate_leaves, translate

CHAIN = {0x1008: 0x2007, 0x2010: 0x3007, 0x3018: 0x4007, 0x4020: 0x5007, 0x5028: 0xABC007}
# One of each: both halves, all sizes, all kinds of holes, rights, a table reached twice.
MIXED = {
    0x1000: 0x2007,
    0x10F8: 0x2087,  # PML5E 31: PS
    0x1FF8: 0x2003,  # PML5E 511: the same PML4 table, supervisor
    0x2000: 0x3007,
    0x2FF8: 0xFF00_0007,  # PML4E 511: a table outside memory
    0x3000: 0x4007,
    0x3008: 0x4000_0087,  # PDPTE 1: a 1-GByte page
    0x3010: 0x4000_2087,  # PDPTE 2: with bit 13
    0x4000: 0x8000_0000_0000_5007,  # PDE 0: XD
    0x4008: 0x0060_0085,  # PDE 1: a 2-MByte page, read-only
    0x5000: 0xABC007,
    0x5008: 0xABC006,
}
# Malformed and unreadable at every level.
BROKEN = {
    0x1000: 0x2007,
    0x1008: 0x2087,
    0x1010: 0xFF00_0007,
    0x2000: 0x3007,
    0x2008: 0x3087,
    0x2010: 0xFF00_0007,
    0x3000: 0x4007,
    0x3008: 0x4000_2087,
    0x3010: 0xFF00_0007,
    0x4000: 0x5007,
    0x4008: 0x0060_2087,
    0x4010: 0xFF00_0007,
    0x5000: 0xABC007,
    0x5008: 0x0008_0000_00AB_C007,
}
# All tables and pages above 2^51, all ignored bits set.
HIGH = {
    0x0008_0000_0000_1000: 0x7FF8_0000_0000_3F7F,
    0x0008_0000_0000_3000: 0x7FF8_0000_0000_5F7F,
    0x0008_0000_0000_5000: 0x7FF8_0000_0000_7F7F,
    0x0008_0000_0000_5008: 0x7FF8_0000_4000_1FFF,
    0x0008_0000_0000_7000: 0x7FF8_0000_0000_9F7F,
    0x0008_0000_0000_7008: 0x7FF8_0000_0020_1FFF,
    0x0008_0000_0000_9000: 0x7FF8_0000_00AB_DFFF,
}
WIDE = replace(FIVE, maxphyaddr=52)


def test_one_page_with_five_levels() -> None:
    assert enumerate_leaves(FIVE, ram(CHAIN), 0x1000) == [
        Leaf(
            va=0x0001_0100_C080_5000,
            last_va=0x0001_0100_C080_5FFF,
            level=1,
            pa=0xABC000,
            entry_pa=0x5028,
            entry=0xABC007,
            write=True,
            user=True,
            execute=True,
        )
    ]
    holes = enumerate_holes(FIVE, ram(CHAIN), 0x1000)
    assert len(holes) == 5 * 511
    assert holes[0] == Hole(0, 0x0000_FFFF_FFFF_FFFF, 5, 0x1000, 0, "absent")
    assert holes[-1] == Hole(0xFFFF_0000_0000_0000, 0xFFFF_FFFF_FFFF_FFFF, 5, 0x1FF8, 0, "absent")


def test_one_page_with_four_levels() -> None:
    leaves = enumerate_leaves(FOUR, ram(CHAIN), 0x2000)
    assert [(leaf.va, leaf.pa) for leaf in leaves] == [(0x0000_0100_C080_5000, 0xABC000)]
    assert len(enumerate_holes(FOUR, ram(CHAIN), 0x2000)) == 4 * 511


def test_the_halves_meet_the_gap_where_the_manual_says() -> None:
    four = enumerate_holes(FOUR, ram({}), 0x2000)
    assert len(four) == 512
    assert four[255] == Hole(0x0000_7F80_0000_0000, 0x0000_7FFF_FFFF_FFFF, 4, 0x27F8, 0, "absent")
    assert four[256] == Hole(0xFFFF_8000_0000_0000, 0xFFFF_807F_FFFF_FFFF, 4, 0x2800, 0, "absent")
    five = enumerate_holes(FIVE, ram({}), 0x1000)
    assert len(five) == 512
    assert five[255] == Hole(0x00FF_0000_0000_0000, 0x00FF_FFFF_FFFF_FFFF, 5, 0x17F8, 0, "absent")
    assert five[256] == Hole(0xFF00_0000_0000_0000, 0xFF00_FFFF_FFFF_FFFF, 5, 0x1800, 0, "absent")


def test_with_five_levels_bit_47_is_no_sign() -> None:
    tables = {0x1000: 0x2007, 0x2800: 0x3007, 0x3000: 0x4000_0087}
    assert [leaf.va for leaf in enumerate_leaves(FIVE, ram(tables), 0x1000)] == [
        0x0000_8000_0000_0000
    ]
    high = {0x1FF8: 0x2007, 0x2000: 0x3007, 0x3000: 0x4000_0087}
    assert [leaf.va for leaf in enumerate_leaves(FIVE, ram(high), 0x1000)] == [
        0xFFFF_0000_0000_0000
    ]


def test_pages_of_all_sizes_with_folded_rights() -> None:
    assert enumerate_leaves(FIVE, ram(MIXED), 0x1000) == [
        Leaf(0, 0xFFF, 1, 0xABC000, 0x5000, 0xABC007, True, True, False),
        Leaf(0x20_0000, 0x3F_FFFF, 2, 0x60_0000, 0x4008, 0x0060_0085, False, True, True),
        Leaf(0x4000_0000, 0x7FFF_FFFF, 3, 0x4000_0000, 0x3008, 0x4000_0087, True, True, True),
        Leaf(
            0xFFFF_0000_0000_0000,
            0xFFFF_0000_0000_0FFF,
            1,
            0xABC000,
            0x5000,
            0xABC007,
            True,
            False,
            False,
        ),
        Leaf(
            0xFFFF_0000_0020_0000,
            0xFFFF_0000_003F_FFFF,
            2,
            0x60_0000,
            0x4008,
            0x0060_0085,
            False,
            False,
            True,
        ),
        Leaf(
            0xFFFF_0000_4000_0000,
            0xFFFF_0000_7FFF_FFFF,
            3,
            0x4000_0000,
            0x3008,
            0x4000_0087,
            True,
            False,
            True,
        ),
    ]


def test_holes_of_all_kinds() -> None:
    holes = enumerate_holes(FIVE, ram(MIXED), 0x1000)
    named = [hole for hole in holes if hole.entry != 0]
    assert named == [
        Hole(0x1000, 0x1FFF, 1, 0x5008, 0xABC006, "absent"),
        Hole(0x8000_0000, 0xBFFF_FFFF, 3, 0x3010, 0x4000_2087, "malformed"),
        Hole(0x0000_FF80_0000_0000, 0x0000_FFFF_FFFF_FFFF, 4, 0x2FF8, 0xFF00_0007, "unreadable"),
        Hole(0x001F_0000_0000_0000, 0x001F_FFFF_FFFF_FFFF, 5, 0x10F8, 0x2087, "malformed"),
        Hole(0xFFFF_0000_0000_1000, 0xFFFF_0000_0000_1FFF, 1, 0x5008, 0xABC006, "absent"),
        Hole(0xFFFF_0000_8000_0000, 0xFFFF_0000_BFFF_FFFF, 3, 0x3010, 0x4000_2087, "malformed"),
        Hole(0xFFFF_FF80_0000_0000, 0xFFFF_FFFF_FFFF_FFFF, 4, 0x2FF8, 0xFF00_0007, "unreadable"),
    ]
    # PML5: 509 absent and 1 malformed; twice PML4 511, PDPT 510, PD 510, PT 511.
    assert len(holes) == 510 + 2 * (511 + 510 + 510 + 511)


def test_malformed_and_unreadable_at_every_level() -> None:
    holes = enumerate_holes(FIVE, ram(BROKEN), 0x1000)
    assert [
        (hole.va, hole.last_va, hole.level, hole.entry_pa, hole.kind)
        for hole in holes
        if hole.entry != 0
    ] == [
        (0x1000, 0x1FFF, 1, 0x5008, "malformed"),
        (0x20_0000, 0x3F_FFFF, 2, 0x4008, "malformed"),
        (0x40_0000, 0x5F_FFFF, 2, 0x4010, "unreadable"),
        (0x4000_0000, 0x7FFF_FFFF, 3, 0x3008, "malformed"),
        (0x8000_0000, 0xBFFF_FFFF, 3, 0x3010, "unreadable"),
        (0x80_0000_0000, 0xFF_FFFF_FFFF, 4, 0x2008, "malformed"),
        (0x100_0000_0000, 0x17F_FFFF_FFFF, 4, 0x2010, "unreadable"),
        (0x0001_0000_0000_0000, 0x0001_FFFF_FFFF_FFFF, 5, 0x1008, "malformed"),
        (0x0002_0000_0000_0000, 0x0002_FFFF_FFFF_FFFF, 5, 0x1010, "unreadable"),
    ]


def test_tables_and_pages_above_2_51() -> None:
    leaves = enumerate_leaves(WIDE, ram(HIGH, size=0), 0x0008_0000_0000_1000)
    assert [(leaf.va, leaf.level, leaf.pa) for leaf in leaves] == [
        (0, 1, 0x0008_0000_00AB_D000),
        (0x20_0000, 2, 0x0008_0000_0020_0000),
        (0x4000_0000, 3, 0x0008_0000_4000_0000),
    ]


def test_a_root_that_references_itself_is_its_own_page() -> None:
    leaves = enumerate_leaves(FOUR, ram({0x2FF8: 0x2007}), 0x2000)
    assert [(leaf.va, leaf.pa, leaf.entry_pa) for leaf in leaves] == [
        (0xFFFF_FFFF_FFFF_F000, 0x2000, 0x2FF8)
    ]
    assert len(enumerate_holes(FOUR, ram({0x2FF8: 0x2007}), 0x2000)) == 4 * 511


@pytest.mark.parametrize(
    ("machine", "read_qword", "cr3"),
    [
        (FIVE, ram(CHAIN), 0x1000),
        (FIVE, ram(MIXED), 0x1000),
        (replace(FIVE, nxe=False, gbpages=False), ram(MIXED), 0x1000),
        (FIVE, ram(BROKEN), 0x1000),
        (WIDE, ram(HIGH, size=0), 0x0008_0000_0000_1000),
        (FOUR, ram(MIXED), 0x2000),
        (FOUR, ram({0x2FF8: 0x2007}), 0x2000),
    ],
)
def test_leaves_and_holes_tile_both_halves_and_agree_with_translate(
    machine: Machine, read_qword: ReadQword, cr3: int
) -> None:
    leaves = enumerate_leaves(machine, read_qword, cr3)
    holes = enumerate_holes(machine, read_qword, cr3)
    ranges = [(leaf.va, leaf.last_va) for leaf in leaves]
    ranges += [(hole.va, hole.last_va) for hole in holes]
    ranges.sort()
    lower_end, upper_start = (
        (0x00FF_FFFF_FFFF_FFFF, 0xFF00_0000_0000_0000)
        if machine.levels == 5
        else (0x0000_7FFF_FFFF_FFFF, 0xFFFF_8000_0000_0000)
    )
    assert (ranges[0][0], ranges[-1][1]) == (0, 0xFFFF_FFFF_FFFF_FFFF)
    for (_, last), (va, _) in pairwise(ranges):
        assert va == (upper_start if last == lower_end else last + 1)

    for leaf in leaves:
        walk = translate(machine, read_qword, cr3, leaf.va)
        assert (walk.pa, walk.path[-1]) == (leaf.pa, (leaf.level, leaf.entry_pa, leaf.entry))
        assert (walk.write, walk.user, walk.execute) == (leaf.write, leaf.user, leaf.execute)
        end = translate(machine, read_qword, cr3, leaf.last_va)
        assert end.pa == leaf.pa + leaf.last_va - leaf.va
    for hole in holes:
        for va in (hole.va, hole.last_va):
            walk = translate(machine, read_qword, cr3, va)
            assert (walk.kind, walk.path[-1]) == (
                hole.kind,
                (hole.level, hole.entry_pa, hole.entry),
            )


def test_a_root_outside_memory_is_refused() -> None:
    with pytest.raises(ValueError, match="root table at 0xff000000"):
        enumerate_leaves(FIVE, ram({}), 0xFF00_0000)


def test_half_a_table_is_refused() -> None:
    with pytest.raises(ValueError, match="half a table: the entry at 0x1800"):
        enumerate_holes(FIVE, ram({}, size=0x1800), 0x1000)
