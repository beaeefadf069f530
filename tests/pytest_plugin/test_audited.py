"""What `assert_no_wx` and `assert_audit_clean` accept, and what they say."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ptlive.errors import PtliveError
from ptlive.pytest_plugin import assert_audit_clean, assert_no_wx
from tests.pytest_plugin.tables import CODE, DATA, USER, WX

if TYPE_CHECKING:
    from ptlive import AddressSpace


def test_without_such_pages_it_passes(space: AddressSpace, weak: AddressSpace) -> None:
    assert_no_wx(space)
    assert_no_wx(weak, [(0, WX - 1), (WX + 0x1000, (1 << 47) - 1)])


def test_a_page_that_is_writable_and_executable_is_shown(weak: AddressSpace) -> None:
    with pytest.raises(AssertionError) as raised:
        assert_no_wx(weak)
    assert str(raised.value).split("\n") == [
        "1 region is writable and executable",
        "  start               last                size  pages   rights  in   physical",
        "  0x0000000000500000  0x0000000000500fff    4K  1 x 4K  rwxu    RAM  0x500000",
    ]


def test_findings_count_from_a_level_on(weak: AddressSpace) -> None:
    assert_audit_clean(weak, "critical")
    with pytest.raises(AssertionError) as raised:
        assert_audit_clean(weak, "low", only=["wx-user"])
    said = str(raised.value).split("\n")
    assert said[0] == "the audit has 1 finding at or above low"
    assert said[1].startswith("  low: wx-user: ")
    assert any(line.split()[:1] == [f"{WX:#018x}"] for line in said)


def test_rules_can_be_left_out(weak: AddressSpace) -> None:
    assert_audit_clean(weak, "low", only=["wx-user"], ignore=["wx-user"])
    with pytest.raises(PtliveError, match="there is no rule 'wx'"):
        assert_audit_clean(weak, ignore=["wx"])
    with pytest.raises(PtliveError, match="'warning' is none of info, low, medium, high, critical"):
        assert_audit_clean(weak, "warning")


def test_the_tables_of_these_tests_are_what_they_say(space: AddressSpace) -> None:
    assert [region.va for region in space.regions(rights="x")] == [CODE, CODE + 0x1000]
    assert [region.va for region in space.regions(rights="w")] == [DATA, USER]
