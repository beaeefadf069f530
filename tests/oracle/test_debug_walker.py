"""QEMU's debug walker on the menu guest: what it translates, and what it does not mind."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ptlive.access_kind import ACCESS_KINDS
from ptlive.guests.said.menu import read_menu
from ptlive.oracle.debug_walker import ask
from ptlive.target.attach import attach

if TYPE_CHECKING:
    from ptlive.target.running import Guest

pytestmark = pytest.mark.qemu
READ = ACCESS_KINDS["supervisor-read-ac"]


@pytest.mark.parametrize("levels", [5, 4])
def test_it_reaches_the_frames_that_the_guests_author_names(
    levels: int, request: pytest.FixtureRequest
) -> None:
    guest: Guest = request.getfixturevalue(f"menu_guest_{levels}")
    assert guest.symbols is not None
    with attach(guest.gdb) as target:
        lines = read_menu(Path(guest.symbols), target.memory).lines
        answers = ask(target.stub, 1, [line.va for line in lines])
    told = dict(zip((line.name for line in lines), answers, strict=True))
    for line in lines:
        expected = line.expected[READ]
        if expected.vector == 0:
            assert told[line.name] == expected.frame, line.name
        elif expected.vector == 14 and not expected.error_code & 1:
            assert told[line.name] is None, line.name
    # It knows no reserved bits: these are the quirk that verify names.
    assert told["PTE bit 51"] is not None


@pytest.mark.parametrize("levels", [5, 4])
def test_it_translates_no_address_that_is_not_canonical(
    levels: int, request: pytest.FixtureRequest
) -> None:
    """Each value of the bits above a mapped address, of which canonical ones repeat its sign."""
    guest: Guest = request.getfixturevalue(f"menu_guest_{levels}")
    assert guest.symbols is not None
    width = 12 + 9 * levels
    with attach(guest.gdb) as target:
        lines = read_menu(Path(guest.symbols), target.memory).lines
        va = next(line.va for line in lines if line.expected[READ].vector == 0)
        assert va < 1 << width - 1
        step = 1 if levels == 5 else 13
        wrong = [va | upper << width for upper in range(1, 1 << 64 - width, step)]
        assert ask(target.stub, 1, [va])[0] is not None
        assert set(ask(target.stub, 1, wrong)) == {None}


def test_nothing_asked_is_nothing_answered(menu_guest_5: Guest) -> None:
    with attach(menu_guest_5.gdb) as target:
        assert ask(target.stub, 1, []) == []
