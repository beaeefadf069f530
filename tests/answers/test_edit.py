"""What an edit is asked for, as people say it."""

from __future__ import annotations

import pytest

from ptlive.answers.edit import edit_of, fields_of, rights_of
from ptlive.errors import PtliveError
from ptlive.paging.formats import x86_64
from tests.paging.plain_ram import FRAME
from tests.paging.tables import machine
from tests.simulated_guest import DATA, DEVICE_AT, ROM_AT, Guest

FIVE = x86_64.make_levels(5)
VA = 0x7000_0000


@pytest.mark.parametrize(
    ("typed", "granted", "denied"),
    [
        ("rwxu", {"write", "execute", "user"}, set()),
        ("r---", set(), {"write", "execute", "user"}),
        ("r-x-", {"execute"}, {"write", "user"}),
        ("+w", {"write"}, set()),
        ("-w", set(), {"write"}),
        ("u-x", {"user"}, {"execute"}),
        ("wx", {"write", "execute"}, set()),
    ],
)
def test_rights_are_all_as_a_map_shows_them_or_those_that_change(
    typed: str, granted: set[str], denied: set[str]
) -> None:
    grant, deny = rights_of(FIVE, typed)
    assert (set(grant), set(deny)) == (granted, denied)


@pytest.mark.parametrize("typed", ["-wxu", "----"])
def test_what_is_mapped_can_be_read(typed: str) -> None:
    with pytest.raises(PtliveError, match="what is mapped can be read"):
        rights_of(FIVE, typed)


def test_no_rights_at_all_are_no_answer() -> None:
    with pytest.raises(PtliveError, match=r"say which, as \+w or rwxu"):
        rights_of(FIVE, "---")


def test_fields_have_names_and_values() -> None:
    assert fields_of([]) == {}
    assert fields_of(["G,-PCD", "PAT=1", "PK=0x5"]) == {"G": 1, "PCD": 0, "PAT": 1, "PK": 5}


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("PK=x", "'x' is no number"),
        ("-PK=3", "either NAME"),
        ("=3", "either NAME"),
        ("PK=-3", "either NAME"),
        ("-", "either NAME"),
        ("", "either NAME"),
        ("G,-G", "G is there twice"),
    ],
)
def test_fields_that_make_no_sense_are_refused(typed: str, said: str) -> None:
    with pytest.raises(PtliveError, match=said):
        fields_of([typed])


def test_new_tables_are_where_they_may_be() -> None:
    guest = Guest(machine())
    guest.map(VA, DATA * FRAME, 3)
    named = ((DATA + 1) * FRAME, (DATA + 2) * FRAME - 1)
    edit = edit_of(guest.target(), guest.space(), VA, VA + FRAME - 1, [named])
    assert edit.frames.take(FRAME) == (DATA + 1) * FRAME
    one = edit_of(guest.target(), guest.space(), VA, VA + FRAME - 1, [((DATA + 1) * FRAME,) * 2])
    assert one.frames.named == [named]  # an address names its frame


@pytest.mark.parametrize(
    ("first", "said"),
    [
        (ROM_AT, "is not RAM"),
        (DEVICE_AT, "is not RAM"),
        (1 << 40, "is not RAM"),
        (0, "0x0 is a page table of"),
        (FRAME, "0x1000 is a page table of"),
    ],
)
def test_new_tables_are_not_where_they_must_not_be(first: int, said: str) -> None:
    guest = Guest(machine())
    with pytest.raises(PtliveError, match=said):
        edit_of(guest.target(), guest.space(), VA, VA + FRAME - 1, [(first, first + FRAME - 1)])


def test_a_vcpus_tables_are_not_free_for_another_address_space() -> None:
    guest = Guest(machine())
    guest.map(VA, DATA * FRAME, 3)
    other = guest.space(root=(DATA + 3) * FRAME)
    with pytest.raises(PtliveError, match="0x0 is a page table of"):
        edit_of(guest.target(), other, VA, VA + FRAME - 1, [(0, FRAME - 1)])


def test_one_address_is_no_range() -> None:
    guest = Guest(machine())
    with pytest.raises(PtliveError, match="a range of whole pages"):
        edit_of(guest.target(), guest.space(), VA, VA, [])
