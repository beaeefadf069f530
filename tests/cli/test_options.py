"""Numbers, ranges and roots, as users write them and as they must not."""

from __future__ import annotations

from typing import Any

import click
import pytest

from ptlive.cli.options import NUMBER, RANGE, ROOT

LAST = (1 << 64) - 1


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0", 0),
        ("4660", 0x1234),
        ("0x1234", 0x1234),
        ("0XABCDef", 0xABCDEF),
        ("0xffffffffffffffff", LAST),
        ("18446744073709551615", LAST),
        ("0xffff_8000_0000_0000", 0xFFFF_8000_0000_0000),
        ("0xffff8000`00000000", 0xFFFF_8000_0000_0000),
    ],
)
def test_numbers(text: str, value: int) -> None:
    assert NUMBER.convert(text, None, None) == value


@pytest.mark.parametrize(
    "text",
    [
        *("", "0x", "x", "12x", "ffff", "-1", "-0x1", "1.0", "1e3", "010", "--5", "0x1 0x2", "nan"),
        *("0x10000000000000000", "18446744073709551616"),
    ],
)
def test_no_numbers(text: str) -> None:
    with pytest.raises(click.BadParameter, match=r"is no number|does not fit into 64 bits"):
        NUMBER.convert(text, None, None)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("5", (5, 5)),
        ("0x1000..0x1fff", (0x1000, 0x1FFF)),
        ("7..7", (7, 7)),
        ("0..0xffffffffffffffff", (0, LAST)),
    ],
)
def test_ranges(text: str, value: tuple[int, int]) -> None:
    assert RANGE.convert(text, None, None) == value


@pytest.mark.parametrize("text", ["5..2", "..", "5..", "..5", "1..2..3", "0..0x10000000000000000"])
def test_no_ranges(text: str) -> None:
    with pytest.raises(click.BadParameter):
        RANGE.convert(text, None, None)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("cr3", "cr3"),
        ("vcpu:12", "vcpu:12"),
        ("0x1000", "0x1000"),
        ("4096", "0x1000"),
        ("0x1_0000`0000", "0x100000000"),
    ],
)
def test_roots(text: str, value: str) -> None:
    assert ROOT.convert(text, None, None) == value


@pytest.mark.parametrize(
    "text", ["", "cr4", "vcpu:", "vcpu:x", "vcpu:-1", "vcpu:²", "-1", "#", "#x"]
)
def test_no_roots(text: str) -> None:
    with pytest.raises(click.BadParameter, match="is no root: give an address, cr3, vcpu:N or #N"):
        ROOT.convert(text, None, None)


@pytest.mark.parametrize("kind", [NUMBER, RANGE])
def test_defaults_that_are_values_already_stay(kind: Any) -> None:
    value = 5 if kind is NUMBER else (5, 6)
    assert kind.convert(value, None, None) == value
