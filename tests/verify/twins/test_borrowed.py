"""The two root entries that are the prober's in a twin: which, and which addresses show them."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np
import pytest

from ptlive.verify.twins.borrowed import entries_of, shows, slots_of
from tests.verify.made import FRAME, FULL, MB, A, Made
from tests.verify.twins.test_everything import ask, fault

if TYPE_CHECKING:
    from pathlib import Path

SELF = 300
SHOWN = "a self-map shows a root entry that the prober borrows"


def through(*indices: int) -> int:
    """Return the linear address that picks these entries from the root downwards."""
    va = 0
    for index in (*indices, *[0] * (4 - len(indices))):
        va = va << 9 | index
    va <<= 12
    return va | (0xFFFF << 48 if va >> 47 & 1 else 0)


def made_with(folder: Path, present: range) -> Made:
    """Let these root entries refer to one table, and one to the root itself."""
    made = Made(folder / "ram", 8 * MB)
    for index in present:
        made.put(1, index, 2 * FRAME | FULL)
    made.put(2, 3, 3 * FRAME | FULL)
    made.put(3, 4, 4 * FRAME | FULL)
    made.put(4, 5, 1000 * FRAME | FULL)
    made.put(1, SELF, FRAME | FULL)
    return made


def test_those_are_chosen_that_are_absent_and_least_in_the_way(tmp_path: Path) -> None:
    space = made_with(tmp_path, range(500)).space()
    free = sorted(set(range(512)) - set(range(500)) - {SELF})
    # Asked of below one, and through the self-map about most others.
    va = [through(free[0], 1), *(through(SELF, slot, 1) for slot in free[1:-2])]
    found = space.translate(np.array(va, dtype=np.uint64))
    assert sorted(slots_of(space, [found])) == free[-2:]


def test_an_address_shows_an_entry_that_a_level_below_the_root_uses(tmp_path: Path) -> None:
    space = made_with(tmp_path, range(8)).space()
    expected = {
        through(20, 1): False,  # below it, but as the root's
        through(SELF, 20, 7): True,
        through(SELF, SELF, 20): True,
        through(SELF, SELF, SELF, 20): True,
        through(SELF, 22, 7): False,
        through(SELF, SELF, 22): False,
        through(0, 3, 4, 5): False,
        1 << 47: False,
    }
    found = space.translate(np.array(list(expected), dtype=np.uint64))
    assert shows(space, (20, 21), found).tolist() == list(expected.values())
    assert entries_of(space, (20, 21)).tolist() == [FRAME + 160, FRAME + 168]


def test_paths_that_lead_on_through_a_borrowed_entry_show_it_as_well(tmp_path: Path) -> None:
    space = made_with(tmp_path, range(512)).space()
    va = [through(SELF, 20, 3, 4), through(SELF, SELF, 20, 3), through(SELF, 22, 3, 4)]
    found = space.translate(np.array(va, dtype=np.uint64))
    assert shows(space, (20, 21), found).tolist() == [True, True, False]


@pytest.mark.qemu
def test_through_a_self_map_all_other_absent_entries_are_asked_about(tmp_path: Path) -> None:
    report = ask(made_with(tmp_path, range(8)), strays=np.zeros(0, np.uint64))
    assert report.disagreements == []
    # Two entries; each is shown on three levels, once at each, and asked about in both words and
    # inside: 8 kinds for the words, and for the two that are larger than a page one inside.
    assert Counter(fault(report).unchecked)[SHOWN] == 2 * (3 * 8 + 2)


@pytest.mark.qemu
@pytest.mark.parametrize("flags", [0, A])
def test_a_root_without_absent_entries_agrees_too(tmp_path: Path, flags: int) -> None:
    made = made_with(tmp_path, range(512))
    for index in range(512):
        if index != SELF:
            made.put(1, index, 2 * FRAME | FULL | flags)
    report = ask(made)
    assert report.disagreements == []
    assert report.check("twin", "TCG", "accessed").agreed > 500
    assert fault(report).unchecked[SHOWN] > 1000
