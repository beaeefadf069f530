"""Small things in words."""

from __future__ import annotations

import pytest

from ptlive.paging.formats import ept, pae
from ptlive.paging.formats.x86_64 import make_levels
from ptlive.show import words


def test_an_address_has_all_of_its_digits() -> None:
    assert words.address(0) == "0x0000000000000000"
    assert words.address((1 << 64) - 1) == "0xffffffffffffffff"
    assert words.address(1, make_levels(5)) == "0x0000000000000001"
    assert words.address(0x8000_0000, pae.make()) == "0x80000000"
    assert words.address(1 << 40, ept.make(4)) == "0x010000000000"


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0B"),
        (1, "1B"),
        (4096, "4K"),
        (4097, "4097B"),
        (3 << 20, "3M"),
        ((1 << 30) + 4096, "1048580K"),
        (1 << 47, "128T"),
        (1 << 56, "64P"),
        (1 << 60, "1E"),
        (1 << 70, "1024E"),
    ],
)
def test_a_size_is_exact(count: int, text: str) -> None:
    assert words.size(count) == text


def test_rights_are_letters_with_dashes() -> None:
    fmt = make_levels(4)
    assert words.rights(fmt, {"write": True, "execute": True, "user": True}) == "rwxu"
    assert words.rights(fmt, {"write": False, "execute": True, "user": False}) == "r-x-"
    assert words.rights(ept.make(4), {"read": False, "write": False, "execute": True}) == "--x"


def test_attributes_show_what_is_set_and_values_where_they_are_more_than_a_flag() -> None:
    values = {"PWT": 1, "PCD": 0, "PAT": 1, "G": 0, "PK": 1}
    assert words.attributes(values) == "PWT PAT PK=1"
    assert words.attributes({"PK": 15}) == "PK=15"
    assert words.attributes({}) == ""


def test_pages_by_size() -> None:
    assert words.pages({"4K": 3, "2M": 0, "1G": 2}) == "3 x 4K + 2 x 1G"


def test_numbers_with_their_nouns() -> None:
    assert words.count(1, "table") == "1 table"
    assert words.count(0, "leaf entry") == "0 leaf entries"
    assert words.count(1234567, "region") == "1,234,567 regions"
