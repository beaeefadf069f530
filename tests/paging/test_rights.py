"""Rights folded along a path, and the level that decides."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ptlive.arrays import u64
from ptlive.paging import rights
from ptlive.paging.formats import x86_64
from tests.paging.mock_format import EXECUTE, LOCKED, MOCK, TRACE, USER
from tests.paging.tables import RW, US, XD, P

FIVE = x86_64.make_levels(5)
entries = st.lists(st.integers(0, (1 << 64) - 1), min_size=1, max_size=5)


def fold_path(path: list[int]) -> int:
    """Fold a path as a walk does, a level at a time."""
    above = u64(rights.unrestricted(FIVE))
    for entry in path[:-1]:
        above = rights.inherited(FIVE, rights.fold(FIVE, above, u64(entry)))
    folded = rights.fold(FIVE, above, u64(path[-1]))
    assert folded.dtype == np.uint64
    return int(folded[0])


@given(entries)
def test_x86_rights_are_granted_by_every_entry(path: list[int]) -> None:
    assert rights.names(FIVE, fold_path(path)) == {
        "write": all(entry & RW for entry in path),
        "user": all(entry & US for entry in path),
        "execute": not any(entry & XD for entry in path),
    }


@given(entries)
def test_the_level_that_decides_is_the_first_from_the_root(path: list[int]) -> None:
    numbered = [(len(path) - n, entry) for n, entry in enumerate(path)]
    decided = rights.denied_by(FIVE, numbered)
    granted = rights.names(FIVE, fold_path(path))
    for name, mask, denies in (("write", RW, False), ("user", US, False), ("execute", XD, True)):
        level = decided[name]
        assert (level is None) == granted[name]
        if level is not None:
            assert all(bool(e & mask) != denies for lvl, e in numbered if lvl > level)
            assert all(bool(e & mask) == denies for lvl, e in numbered if lvl == level)


@pytest.mark.parametrize(
    ("path", "granted", "denied_by"),
    [
        # An OR right needs one grant; if there is none, the leaf could have granted it.
        ([0, TRACE, 0], {"trace": True}, {"trace": None}),
        ([0, 0, 0], {"trace": False, "user": False}, {"trace": 1, "user": 3}),
        # What the leaf alone decides is not inherited in either direction.
        ([EXECUTE, EXECUTE, 0], {"execute": False}, {"execute": 1}),
        ([0, 0, EXECUTE], {"execute": True}, {"execute": None}),
        # A bit that denies.
        ([USER, USER | LOCKED, USER], {"write": False, "user": True}, {"write": 2, "user": None}),
        # The same at level 4, where it means nothing.
        ([USER | LOCKED, USER, USER, USER], {"write": True}, {"write": None}),
        ([USER | LOCKED, USER, USER | LOCKED, USER], {"write": False}, {"write": 2}),
    ],
)
def test_the_mock_formats_rights(
    path: list[int], granted: dict[str, bool], denied_by: dict[str, int | None]
) -> None:
    numbered = [(len(path) - n, entry) for n, entry in enumerate(path)]
    above = u64(rights.unrestricted(MOCK))
    for lvl, entry in numbered:
        folded = rights.fold(MOCK, above, MOCK.level(lvl).rights(u64(entry)))
        above = rights.inherited(MOCK, folded)
    names = rights.names(MOCK, int(folded[0]))
    assert granted.items() <= names.items()
    for name, yes in names.items():
        assert rights.granted(MOCK, folded, name).tolist() == [yes]
    assert denied_by.items() <= rights.denied_by(MOCK, numbered).items()


def test_an_empty_path_denies_nothing_that_every_entry_must_grant() -> None:
    assert all(rights.names(FIVE, rights.unrestricted(FIVE)).values())
    assert rights.names(MOCK, rights.unrestricted(MOCK)) == {
        "write": True,
        "user": True,
        "execute": False,
        "trace": False,
    }


def test_a_right_that_a_format_lacks_is_an_error() -> None:
    with pytest.raises(KeyError):
        rights.granted(FIVE, u64(P), "shadow")
