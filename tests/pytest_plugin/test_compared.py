"""What `assert_unchanged` and `assert_verified` accept, and what they say."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import ptlive
from ptlive.pytest_plugin import assert_unchanged, assert_verified
from tests.pytest_plugin import tables

if TYPE_CHECKING:
    from pathlib import Path

    from ptlive import AddressSpace


def test_what_did_not_change_passes(space: AddressSpace) -> None:
    assert_unchanged(space.freeze(), space)


def test_what_changed_is_shown(space: AddressSpace, tmp_path: Path) -> None:
    other = tmp_path / "other"
    with ptlive.open(other, assume=tables.write(other, wx=True)) as guest:
        assert_unchanged(space, guest.space(), [(0, tables.WX - 1)])
        with pytest.raises(AssertionError) as raised:
            assert_unchanged(space, guest.space())
    said = str(raised.value).split("\n")
    assert said[0].startswith("nothing should have changed: root 0x0 (cr3): ")
    assert any(line.split()[:2] == ["+", f"{tables.WX:#018x}"] for line in said)


class Doubtful:
    """Stands in for an address space: its MMU disagrees."""

    ok = False

    def verify(self, ranges: object, **how: object) -> Doubtful:
        self.asked = ranges, how
        return self

    def __str__(self) -> str:
        return "1 disagreement in 5 checks\n  oracle  answered by"


def test_a_disagreement_is_shown() -> None:
    made = Doubtful()
    with pytest.raises(AssertionError) as raised:
        assert_verified(made, [(1, 2)], random=3)  # type: ignore[arg-type]  # a stand-in
    assert made.asked == ([(1, 2)], {"random": 3})
    assert str(raised.value).split("\n") == [
        "the MMU should agree: 1 disagreement in 5 checks",
        "    oracle  answered by",
    ]
    made.ok = True
    assert_verified(made)  # type: ignore[arg-type]  # a stand-in
