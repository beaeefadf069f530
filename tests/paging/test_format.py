"""What every format must hold, whoever describes it."""

from __future__ import annotations

import dataclasses
from itertools import pairwise

import numpy as np
import pytest

from ptlive.arrays import u64
from ptlive.paging.format import (
    ALWAYS,
    NEVER,
    AnyOf,
    Bits,
    Field,
    Fold,
    Format,
    Kind,
    Match,
    Window,
)
from ptlive.paging.graph import HOLES
from tests.paging.formats.every import FORMATS
from tests.paging.mock_format import MOCK

HIGH = u64(0x8000_0000_0000_0001, 0xFFFF_FFFF_FFFF_FFFF, 0)

every_format = pytest.mark.parametrize("fmt", FORMATS, ids=lambda fmt: fmt.name)


@every_format
def test_every_address_bit_is_decoded_by_exactly_one_level(fmt: Format) -> None:
    seen = 0
    for level in fmt.levels:
        index = ((1 << level.index_bits) - 1) << level.shift
        assert not seen & index
        seen |= index
    page = (1 << fmt.level(1).shift) - 1
    assert not seen & page
    assert seen | page == (1 << fmt.level(fmt.top).span_bits) - 1


@every_format
def test_windows_are_apart_and_inside_what_a_root_spans(fmt: Format) -> None:
    ordered = sorted(fmt.windows, key=lambda window: window.va)
    for one, other in pairwise(ordered):
        assert one.last_va < other.va
    for window in ordered:
        span = 1 << fmt.level(fmt.top).span_bits
        assert window.va // span == window.last_va // span
        assert 0 <= window.root < fmt.roots


@every_format
def test_names_are_unique(fmt: Format) -> None:
    for names in (
        [level.spec for level in fmt.levels],
        [level.linux for level in fmt.levels],
        [right.name for right in fmt.rights],
    ):
        assert len(set(names)) == len(names)
    for level in fmt.levels:
        # A name may stand for two places, but not in the same kind of entry.
        for kind in ("tables", "leaves"):
            fields = [field.name for field in level.fields if getattr(field, kind)]
            assert len(set(fields)) == len(fields)


@every_format
def test_fields_of_one_kind_of_entry_do_not_overlap(fmt: Format) -> None:
    for level in fmt.levels:
        for kind, reserved in (("tables", level.reserved_table), ("leaves", level.reserved_leaf)):
            masks = [field.mask for field in level.fields if getattr(field, kind)]
            if kind == "tables" and level is fmt.level(1):
                continue  # there are none
            together = 0
            for mask in masks:
                assert not together & mask
                together |= mask
            assert together & reserved & ~sum(right.mask for right in fmt.rights) in (0, 1 << 7)


def test_a_format_is_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        FORMATS[0].name = "other"  # type: ignore[misc]  # the very point


def test_rights_are_found_by_name() -> None:
    assert MOCK.right("trace").fold is Fold.OR
    with pytest.raises(KeyError):
        MOCK.right("trance")


def test_match_and_bits_on_addresses_above_2_to_the_63() -> None:
    assert Match(1 << 63, 1 << 63)(HIGH).tolist() == [True, True, False]
    assert ALWAYS(HIGH).all()
    assert not NEVER(HIGH).any()
    assert Bits(1 << 63 | 1)(HIGH).tolist() == [0x8000_0000_0000_0001] * 2 + [0]
    assert Bits(1 << 63 | 1)(HIGH).dtype == np.uint64
    assert AnyOf(1 << 63 | 2)(HIGH).tolist() == [True, True, False]


def test_addresses_have_as_many_bits_as_the_windows_need() -> None:
    assert (MOCK.address_bits, FORMATS[0].address_bits) == (64, 64)
    small = dataclasses.replace(FORMATS[0], windows=(Window(0, (1 << 32) - 1),))
    assert small.address_bits == 32


def test_a_field_is_shifted_down() -> None:
    assert Field("PK", 0xF << 59).of(0x7800_0000_0000_0001) == 15
    assert Field("XD", 1 << 63).of(0xFFFF_0000_0000_0000) == 1


def test_all_kinds_but_table_and_leaf_are_holes() -> None:
    assert set(Kind) - {Kind.TABLE, Kind.LEAF} == set(HOLES)
