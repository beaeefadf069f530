"""The x86-64 formats: names, geometry, reserved bits, held against the SDM's tables."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ptlive.arrays import u64
from ptlive.paging import fields
from ptlive.paging.format import Format, Kind
from ptlive.paging.formats import x86_64
from ptlive.paging.formats.x86_64 import ROWS, Row
from tests.paging.tables import format_of, machine, machines
from tests.reference import sdm

# A level that no CPU has: one more row, and seven bits left for its index.
SIX = x86_64.make((*ROWS[:4], ROWS[4]._replace(linux="p5d"), Row("PML6E", "pgd")))
FOUR, FIVE = x86_64.make_levels(4), x86_64.make_levels(5)

RESERVED = {
    1: sdm.reserved_in_pte,
    2: sdm.reserved_in_pde,
    3: sdm.reserved_in_pdpte,
    4: sdm.reserved_in_pml4e,
    5: sdm.reserved_in_pml5e,
}


def test_names_are_those_of_the_manual_and_of_linux() -> None:
    # Linux folds what a machine lacks from the top: with four levels the p4d is the pgd
    # (Documentation/mm/page_tables.rst), and the root's entries are pgd however many there are.
    four = [("PTE", "pte"), ("PDE", "pmd"), ("PDPTE", "pud"), ("PML4E", "pgd")]
    five = [*four[:3], ("PML4E", "p4d"), ("PML5E", "pgd")]
    six = [*five[:4], ("PML5E", "p5d"), ("PML6E", "pgd")]
    for fmt, names in ((FOUR, four), (FIVE, five), (SIX, six)):
        assert [(level.spec, level.linux) for level in fmt.levels] == names
        assert fmt.top == len(names)
        assert fmt.level(fmt.top) is fmt.levels[-1]


@pytest.mark.parametrize(
    ("lvl", "low", "high"), [(1, 12, 20), (2, 21, 29), (3, 30, 38), (4, 39, 47), (5, 48, 56)]
)
def test_each_index_is_taken_from_the_bits_that_the_manual_names(
    lvl: int, low: int, high: int
) -> None:
    for fmt in (FOUR, FIVE, SIX):
        if lvl <= fmt.top:
            level = fmt.level(lvl)
            assert (level.shift, level.span_bits - 1) == (low, high)


@pytest.mark.parametrize("fmt", [FOUR, FIVE, SIX], ids=lambda fmt: fmt.name)
def test_every_address_bit_is_decoded_by_exactly_one_level(fmt: Format) -> None:
    width = {4: 48, 5: 57, 6: 64}[fmt.top]
    decoded = sum(((1 << level.index_bits) - 1) << level.shift for level in fmt.levels)
    # A sum: a bit that two levels decode would carry. What remains is the page's offset.
    assert decoded == (1 << width) - (1 << 12)
    assert all(below.span_bits == above.shift for below, above in pairwise(fmt.levels))


@pytest.mark.parametrize("fmt", [FOUR, FIVE, SIX], ids=lambda fmt: fmt.name)
def test_the_windows_are_the_two_canonical_halves(fmt: Format) -> None:
    low, high = fmt.windows
    ends = {
        4: (0x0000_7FFF_FFFF_FFFF, 0xFFFF_8000_0000_0000),
        5: (0x00FF_FFFF_FFFF_FFFF, 0xFF00_0000_0000_0000),
        6: (0x7FFF_FFFF_FFFF_FFFF, 0x8000_0000_0000_0000),
    }[fmt.top]
    assert (low.va, low.last_va, high.va, high.last_va) == (0, *ends, (1 << 64) - 1)
    assert low.root == high.root == 0
    assert fmt.roots == 1


@given(machines(), st.integers(0, (1 << 64) - 1), st.sampled_from([0, 1, 1 | 1 << 7]))
def test_entries_are_classified_as_the_manual_says(
    cpu: sdm.Machine, entry: int, flags: int
) -> None:
    fmt = format_of(cpu)
    entry |= flags
    for lvl in range(1, fmt.top + 1):
        kind = fields.classify(fmt, lvl, entry)
        if not entry & 1:
            assert kind is Kind.ABSENT
        elif RESERVED[lvl](cpu, entry):
            assert kind is Kind.MALFORMED
        elif lvl == 1 or (lvl in (2, 3) and entry & 1 << 7):
            assert kind is Kind.LEAF
        else:
            assert kind is Kind.TABLE


@given(machines(), st.integers(0, 63))
def test_each_bit_alone_is_reserved_where_the_manual_says(cpu: sdm.Machine, bit: int) -> None:
    fmt = format_of(cpu)
    for lvl in range(1, fmt.top + 1):
        for page in (0, 1 << 7):
            entry = 1 | page | 1 << bit
            reserved = RESERVED[lvl](cpu, entry)
            found = sum(1 << n for n in fields.reserved_bits(fmt, lvl, entry))
            if found & 1 << 7:  # with PS reserved there is no page whose low bits might be
                reserved &= ~((1 << 30) - (1 << 13))
            assert found == reserved, (lvl, hex(entry))


@pytest.mark.parametrize(
    ("lvl", "entry", "address"),
    [
        (1, 0x800F_FFFF_FFFF_F0E7, 0x000F_FFFF_FFFF_F000),
        (2, 0x800F_FFFF_FFE0_10E7, 0x000F_FFFF_FFE0_0000),  # bit 12 is PAT
        (3, 0x800F_FFFF_C000_10E7, 0x000F_FFFF_C000_0000),
        (2, 0x800F_FFFF_FFFF_F067, 0x000F_FFFF_FFFF_F000),
        (4, 0xFFFF_FFFF_FFFF_F067, 0x000F_FFFF_FFFF_F000),
        (5, 0xFFFF_FFFF_FFFF_F067, 0x000F_FFFF_FFFF_F000),
    ],
)
def test_addresses_are_the_bits_that_the_manual_names(lvl: int, entry: int, address: int) -> None:
    assert fields.refers_to(FIVE, lvl, entry) == address


def test_a_root_register_holds_more_than_an_address() -> None:
    for width in (36, 46, 52):
        cpu = machine(maxphyaddr=width)
        cr3 = 0xFFFF_FFFF_FFFF_FFFF
        assert cr3 & format_of(cpu).root_mask == sdm.root_table(cpu, cr3)


def test_no_table_entry_depends_on_bits_that_only_pages_have() -> None:
    # PAT is bit 7 of a PTE and bit 12 of a large page; bit 7 elsewhere is PS.
    where = {
        lvl: {field.name: field.mask for field in FIVE.level(lvl).fields} for lvl in range(1, 6)
    }
    assert where[1]["PAT"] == 1 << 7
    assert "PS" not in where[1]
    assert all(where[lvl]["PAT"] == 1 << 12 and where[lvl]["PS"] == 1 << 7 for lvl in (2, 3))


def test_other_numbers_of_levels_are_refused() -> None:
    for levels in (0, 3, 6):
        with pytest.raises(ValueError, match=f"not {levels}"):
            x86_64.make_levels(levels)


def test_ops_keep_uint64() -> None:
    entries = u64(0xFFFF_FFFF_FFFF_FFFF, 0x8000_0000_0000_0001, 0)
    for level in FIVE.levels:
        assert level.table_address(entries).dtype == np.uint64
        assert level.leaf_address(entries).dtype == np.uint64
        assert level.leaf(entries).dtype == np.bool_
        assert level.malformed(entries, level.leaf(entries)).dtype == np.bool_
