"""Entries in words: levels, kinds, named bits, attributes."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ptlive.arrays import u64
from ptlive.errors import PtliveError
from ptlive.paging import fields
from ptlive.paging.format import Kind
from ptlive.paging.formats import x86_64
from ptlive.paging.walk import walk
from tests.paging.builder import Builder
from tests.paging.mock_format import EXECUTE, MOCK, RSVD_LEAF, RSVD_TABLE, TRACE, leaf, table
from tests.paging.tables import PS, PWU, XD, P

FIVE = x86_64.make_levels(5)
TOP = 0xFFFF_FFFF_8000_0000


@pytest.mark.parametrize("lvl", [0, -1, 6, 100])
def test_a_level_that_a_format_lacks_is_refused(lvl: int) -> None:
    with pytest.raises(PtliveError, match=f"levels 1 to 5, not {lvl}"):
        fields.check_level(FIVE, lvl)
    assert fields.check_level(FIVE, 5) == 5


@given(st.integers(0, (1 << 64) - 1), st.integers(1, 5))
def test_one_entry_is_classified_as_the_walk_does(entry: int, level: int) -> None:
    fmt = x86_64.make_levels(5, maxphyaddr=46)
    built = Builder(5)
    place = built.map(TOP, entry, level=level)
    floor = walk(fmt, built.ram, built.roots).floors[5 - level]
    at = (place - int(floor.nodes.table[-1])) // 8 if level < 5 else 511
    found = Kind(int(floor.kinds()[-512:][at] if level < 5 else floor.kinds()[at]))
    # Alone it is not known whether the table that it refers to can be read.
    alone = fields.classify(fmt, level, entry)
    assert found == alone or (found, alone) == (Kind.UNREADABLE, Kind.TABLE)


def test_bits_are_named_by_what_the_entry_is() -> None:
    entry = 0x5000_0000 | PWU | 0b1_1001_1000 | 9 << 59 | XD
    assert fields.bits(FIVE, 1, entry) == {
        "P": 1, "R/W": 1, "U/S": 1, "PWT": 1, "PCD": 1, "A": 0, "D": 0,
        "PAT": 1, "G": 1, "PK": 9, "XD": 1,
    }  # fmt: skip
    table = fields.bits(FIVE, 4, 0x5000_0000 | PWU)
    assert set(table) == {"P", "R/W", "U/S", "PWT", "PCD", "A", "PS", "XD"}
    assert fields.bits(FIVE, 4, PS) == {}  # not present: the bits mean nothing
    assert fields.reserved_bits(FIVE, 4, P | PS) == [7]


def test_what_is_wrong_with_an_entry_is_said() -> None:
    assert fields.why_malformed(FIVE, 4, P | PS) == "has reserved bit 7 set"
    assert fields.why_malformed(FIVE, 2, P | PS | 3 << 13) == "has reserved bits 13, 14 set"
    blind = leaf(1, EXECUTE | TRACE)
    assert fields.classify(MOCK, 2, blind) is Kind.MALFORMED
    assert fields.why_malformed(MOCK, 2, blind) == "traces and executes what nobody uses"
    both = fields.why_malformed(MOCK, 2, blind | RSVD_LEAF)
    assert both == "has reserved bit 7 set and traces and executes what nobody uses"
    assert fields.classify(MOCK, 1, table(1 << 63)) is Kind.MALFORMED
    assert fields.why_malformed(MOCK, 1, table(1 << 63)) == "is no entry of its level"
    assert fields.classify(MOCK, 2, table(1 << 63, RSVD_TABLE)) is Kind.MALFORMED


def test_an_attribute_is_the_same_wherever_its_bit_stands() -> None:
    small = fields.pack_attributes(FIVE, 1, u64(PWU | 1 << 7))
    large = fields.pack_attributes(FIVE, 2, u64(PWU | PS | 1 << 12))
    assert small.tolist() == large.tolist()
    assert small.dtype == np.uint64
    assert fields.unpack_attributes(FIVE, int(small[0]))["PAT"] == 1
    # What the MMU writes, and what is a right, is no attribute.
    other = fields.pack_attributes(FIVE, 1, u64(PWU | 1 << 5 | 1 << 6 | XD, P))
    assert other.tolist() == [0, 0]


@given(st.integers(0, (1 << 64) - 1))
def test_attributes_unpack_to_their_fields(entry: int) -> None:
    packed = int(fields.pack_attributes(FIVE, 1, u64(entry))[0])
    named = {f.name: f.of(entry) for f in FIVE.level(1).fields if f.attribute}
    assert fields.unpack_attributes(FIVE, packed) == named


def test_a_field_is_found_at_each_level_where_that_has_it() -> None:
    lvl = np.array([2, 1, 3, 1], dtype=np.uint8)
    entry = u64(1 << 12, 1 << 7, 1 << 7, 1 << 12)
    # PAT is bit 7 of a PTE and bit 12 of a larger page's entry (SDM vol. 3A 4.5).
    found = fields.by_level(lvl, entry, partial(fields.leaf_field, FIVE, "PAT"))
    assert found.tolist() == [1, 1, 0, 0]
    missing = fields.by_level(lvl, entry, partial(fields.leaf_field, FIVE, "no such field"))
    assert missing.tolist() == [0, 0, 0, 0]
    assert fields.by_level(lvl[:0], entry[:0], partial(fields.leaf_field, FIVE, "PAT")).size == 0


def test_a_format_without_fields_has_no_bits() -> None:
    assert fields.bits(MOCK, 1, leaf(1)) == {}
    assert fields.classify(MOCK, 1, leaf(1)) is Kind.LEAF
    assert fields.classify(MOCK, 1, 1) is Kind.MALFORMED  # no table below the last level


@pytest.mark.parametrize(
    ("bits", "name"),
    [(0, "1B"), (9, "512B"), (12, "4K"), (21, "2M"), (30, "1G"), (39, "512G"), (48, "256T"),
     (57, "128P"), (63, "8E")],
)  # fmt: skip
def test_sizes_as_people_write_them(bits: int, name: str) -> None:
    assert fields.size_name(bits) == name
