"""The defects seen in other page-table tools, each as a test that ours would fail with it.

Facts about other tools are those of their sources in 2025 and 2026. The tenth, register names
that move between versions of QEMU, concerns the stub and is tested with it.
"""

from __future__ import annotations

import pytest

from ptlive.arrays import u64
from ptlive.paging import fields, rights
from ptlive.paging.format import Kind
from ptlive.paging.formats import x86_64
from ptlive.paging.graph import HOLES
from ptlive.paging.translate import translate
from ptlive.paging.walk import walk
from tests.paging import listing
from tests.paging.builder import Builder
from tests.paging.mock_format import BASE, ENTRY, MOCK, leaf, table
from tests.paging.plain_ram import PlainRam
from tests.paging.tables import PS, PWU, RW, US, XD, A, D, P

TOP = 0xFFFF_FFFF_8000_0000


def test_1_user_addresses_from_2_to_the_47_are_not_sign_extended_as_if_of_48_bits() -> None:
    # gdb-pt-dump and pwndbg print 0xffff800000000000 for 0x800000000000 under LA57.
    built = Builder(5)
    wanted = [0x0000_8000_0000_0000, 0x0001_0000_0000_0000, 0x00FF_FFFF_FFFF_F000]
    wanted += [0xFF00_0000_0000_0000, 0xFFFF_7FFF_FFFF_F000, 0xFFFF_8000_0000_0000]
    for n, va in enumerate(wanted):
        built.map(va, 0x5000_0000 | n << 12 | PWU)
    rows = listing.leaves(built.fmt, walk(built.fmt, built.ram, built.roots))
    assert [row[:2] for row in rows] == [(va, va + 4095) for va in wanted]
    result = translate(built.fmt, built.ram, built.roots, u64(*wanted))
    assert result.pa.tolist() == [0x5000_0000 | n << 12 for n in range(len(wanted))]


def test_1_with_four_levels_the_same_addresses_are_not_canonical() -> None:
    built = Builder(4)
    built.map(0xFFFF_8000_0000_0000, 0x5000_0000 | PWU)
    va = u64(0x0000_8000_0000_0000, 0xFFFF_8000_0000_0000)
    assert translate(built.fmt, built.ram, built.roots, va).mapped.tolist() == [False, True]


@pytest.mark.parametrize("level", [2, 3, 4, 5])
def test_2_an_entry_above_the_leaf_denies_what_the_leaf_grants(level: int) -> None:
    # gdb-pt-dump, pwndbg and QEMU's "info tlb" show the leaf's bits as the page's rights.
    built = Builder(5)
    leaf_at = built.map(TOP, 0x5000_0000 | PWU)
    graph = walk(built.fmt, built.ram, built.roots)
    assert listing.leaves(built.fmt, graph)[0][6:] == (True, True, True)
    floor = graph.floors[5 - level]
    place = int(floor.entry_address(floor.position, floor.node)[0])
    built.ram.write(place, int(floor.entry[0]) & ~(RW | US) | XD)
    (row,) = listing.leaves(built.fmt, walk(built.fmt, built.ram, built.roots))
    assert row[4:] == (leaf_at, 0x5000_0000 | PWU, False, False, False)
    result = translate(built.fmt, built.ram, built.roots, u64(TOP))
    path = [(step.lvl, int(step.entry[at])) for step, at in result.path(0)]
    assert rights.denied_by(built.fmt, path) == {"write": level, "execute": level, "user": level}


def test_3_equal_neighbours_equal_tables_and_tables_seen_before_are_not_dropped() -> None:
    # A tool that skips an entry equal to the one before, a table of equal entries, or a table
    # that it has seen, loses mappings: the zero page at many addresses, or an alias.
    built = Builder(5)
    zero = 0x5000_0000 | P
    for n in range(512):
        built.map(TOP + (n << 12), zero)
    page_table = built.free - 4096
    built.map(TOP + (1 << 21), page_table | PWU, level=2)  # the very same table, next door
    built.map(0x1000_0000, page_table | PWU, level=2)  # and far away
    graph = walk(built.fmt, built.ram, built.roots)
    rows = listing.leaves(built.fmt, graph)
    expected = [
        base + (n << 12) for base in (0x1000_0000, TOP, TOP + (1 << 21)) for n in range(512)
    ]
    assert [row[0] for row in rows] == expected
    assert {row[3] for row in rows} == {0x5000_0000}
    assert (graph.leaves, graph.reached(Kind.LEAF)) == (512, 3 * 512)


def test_4_accessed_and_dirty_are_the_leafs_own() -> None:
    # Seen elsewhere: never true, inverted, or inherited from the entries above.
    fmt = x86_64.make_levels(5)
    for entry, accessed, dirty in (
        (PWU, 0, 0),
        (PWU | A, 1, 0),
        (PWU | D, 0, 1),
        (PWU | A | D, 1, 1),
    ):
        named = fields.bits(fmt, 1, entry)
        assert (named["A"], named["D"]) == (accessed, dirty)
    # Bit 6 of an entry that refers to a table is ignored: it says nothing of dirty pages.
    assert "D" not in fields.bits(fmt, 4, PWU | A | D)
    built = Builder(5)
    built.map(TOP, 0x5000_0000 | PWU, upper=PWU | A)
    shown = listing.leaves(built.fmt, walk(built.fmt, built.ram, built.roots))[0][5]
    assert fields.bits(fmt, 1, shown)["A"] == 0


@pytest.mark.parametrize("level", [1, 2, 3, 4, 5])
@pytest.mark.parametrize(
    "entry", [0x5000_0000 | RW | US, 1 << 8, XD, (1 << 64) - 2, 0xFFFF_FFFF_FFFF_F17E, PS]
)
def test_5_an_entry_that_is_not_present_is_absent_whatever_else_it_holds(
    level: int, entry: int
) -> None:
    # Swap entries, PROT_NONE (bit 8 with P clear) and poison: pwndbg walks any non-zero entry.
    built = Builder(5)
    place = built.map(TOP, entry, level=level)
    graph = walk(built.fmt, built.ram, built.roots)
    assert graph.reached(Kind.LEAF, Kind.MALFORMED, Kind.UNREADABLE) == 0
    shown = [row[3:] for row in listing.holes(graph) if row[3] == place]
    assert shown == [(place, entry, "absent")]


def test_6_level_names_are_not_swapped() -> None:
    # pwndbg swaps PUD and P4D in five-level mode.
    five = {level.shift: (level.spec, level.linux) for level in x86_64.make_levels(5).levels}
    assert five == {
        12: ("PTE", "pte"),
        21: ("PDE", "pmd"),
        30: ("PDPTE", "pud"),
        39: ("PML4E", "p4d"),
        48: ("PML5E", "pgd"),
    }
    four = {level.shift: (level.spec, level.linux) for level in x86_64.make_levels(4).levels}
    assert four == {shift: five[shift] for shift in (12, 21, 30)} | {39: ("PML4E", "pgd")}


@pytest.mark.parametrize("width", [36, 40, 46, 47, 49, 50, 51, 52])
def test_7_the_physical_width_is_the_cpus(width: int) -> None:
    # Masks of 47, 49 or 50 bits are built into several tools; only MAXPHYADDR..51 is reserved.
    fmt = x86_64.make_levels(5, maxphyaddr=width)
    highest = 1 << (width - 1) | 0x5000_0000
    built = Builder(5)
    built.map(TOP, highest | PWU)
    assert translate(fmt, built.ram, built.roots, u64(TOP + 5)).pa.tolist() == [highest + 5]
    for bit in range(width, 52):
        built.map(TOP, 1 << bit | PWU)
        assert translate(fmt, built.ram, built.roots, u64(TOP)).kind.tolist() == [Kind.MALFORMED]
    for bit in range(52, 63):  # ignored, or the protection key
        built.map(TOP, highest | 1 << bit | PWU)
        assert translate(fmt, built.ram, built.roots, u64(TOP)).pa.tolist() == [highest]


@pytest.mark.parametrize("level", [4, 5])
def test_8_bit_7_of_a_pml5e_or_pml4e_is_no_large_page(level: int) -> None:
    # Other tools print a page of 512G or 256T; the CPU raises a fault with RSVD.
    built = Builder(5)
    built.map(TOP, 0x4000_0000_0000 | PWU | PS, level=level)
    graph = walk(built.fmt, built.ram, built.roots)
    assert (graph.reached(Kind.LEAF), graph.reached(Kind.MALFORMED)) == (0, 1)


def test_8_bit_7_of_a_pte_is_pat() -> None:
    built = Builder(5)
    built.map(TOP, 0x5000_0000 | PWU | PS)
    result = translate(built.fmt, built.ram, built.roots, u64(TOP + 0x123))
    assert (result.pa.tolist(), result.page_bits.tolist()) == ([0x5000_0123], [12])
    named = fields.bits(built.fmt, 1, 0x5000_0000 | PWU | PS)
    assert named["PAT"] == 1
    assert "PS" not in named


def test_9_a_table_is_stepped_through_by_the_size_of_its_entries() -> None:
    # PAE code that never ran steps 1 byte instead of 8, or throws. PAE is no format of ours
    # yet: the mock's entries of 4 bytes stand for it, x86-64's of 8 are beside them.
    ram = PlainRam(256 << 10, BASE)
    for index in (0, 1, 2, 8191):
        ram.write(BASE + 4 * index, leaf(index + 1), ENTRY)
    ram.write(BASE + 4 * 3, table(BASE + 0x10000), ENTRY)
    graph = walk(MOCK, ram, u64(BASE, BASE + 0x8000).reshape(1, 2))
    rows = listing.leaves(MOCK, graph, ())
    assert [(row[0], row[4]) for row in rows] == [(n << 35, BASE + 4 * n) for n in (0, 1, 2, 8191)]
    built = Builder(5)
    places = [built.map(TOP + (n << 12), 0x5000_0000 | PWU) for n in (0, 1, 2, 511)]
    shown = [row[4] for row in listing.leaves(built.fmt, walk(built.fmt, built.ram, built.roots))]
    assert shown == places == [places[0] + 8 * n for n in (0, 1, 2, 511)]


def test_nothing_is_silent_an_empty_root_is_all_holes() -> None:
    built = Builder(5)
    graph = walk(built.fmt, built.ram, built.roots)
    assert graph.reached(*HOLES) == 512
