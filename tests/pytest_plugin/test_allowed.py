"""What `assert_allowed` and `assert_faults` accept, and what they say."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ptlive.errors import PtliveError
from ptlive.pytest_plugin import assert_allowed, assert_faults
from tests.pytest_plugin.tables import CODE, USER

if TYPE_CHECKING:
    from ptlive import AddressSpace

# SDM vol. 3A 4.7: P, W/R, U/S, RSVD, I/D.
P, WRITE, USER_MODE, FETCH = 1, 2, 4, 16


def test_what_the_tables_allow_passes(space: AddressSpace) -> None:
    assert_allowed(space, CODE, "supervisor-read", "supervisor-fetch")
    assert_allowed(space, USER, "user-read", "user-write", length=8)
    assert_faults(space, CODE, "user-read", "supervisor-write")
    assert_faults(space, CODE, "supervisor-write", error_code=P | WRITE)
    assert_faults(space, USER, "user-fetch", error_code=P | USER_MODE | FETCH)
    assert_faults(space, 0, "supervisor-read", error_code=0)


def test_a_fault_is_told_with_its_reason(space: AddressSpace) -> None:
    with pytest.raises(AssertionError) as raised:
        assert_allowed(space, CODE, "supervisor-read", "supervisor-write")
    said = str(raised.value).split("\n")
    assert said[0] == "0x0000000000400000 should allow supervisor-read, supervisor-write"
    assert said[1] == (
        "  supervisor-write: #PF(0x3: P W/R) at 0x400000: writing is denied by the PTE (level 1)"
    )
    assert said[2] == "  0x0000000000400000 -> 0x200000 (4K page, RAM), r-x-"


def test_what_is_allowed_and_should_not_be_is_told(space: AddressSpace) -> None:
    with pytest.raises(AssertionError) as raised:
        assert_faults(space, CODE, "supervisor-fetch", "user-read", error_code=P | WRITE)
    assert str(raised.value).split("\n")[:3] == [
        "0x0000000000400000 should fault with error code 0x3 on supervisor-fetch, user-read",
        "  supervisor-fetch: allowed",
        "  user-read: #PF(0x5: P U/S) at 0x400000: user-mode access is denied by the PTE (level 1)",
    ]


def test_an_access_that_there_is_not_is_told(space: AddressSpace) -> None:
    with pytest.raises(PtliveError, match="there is no access 'read'"):
        assert_allowed(space, CODE, "read")
