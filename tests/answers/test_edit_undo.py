"""Edits are taken back to the last bit, and only where they were made."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from ptlive.answers.edit_undo import take_back
from ptlive.answers.edit_write import write
from ptlive.errors import PtliveError
from tests.answers.edited import VA, VIEW, Held
from tests.paging.tables import A, D, machine
from tests.simulated_guest import Guest

if TYPE_CHECKING:
    from pathlib import Path


def test_undone_twice_is_undone_once(tmp_path: Path) -> None:
    held = Held(tmp_path).unmapped()
    assert held.undo() == 2
    assert held.as_it_was()
    assert take_back(held.target, VIEW, held.file) == (0, None)
    assert held.as_it_was()


def test_what_the_mmu_notes_is_no_change_and_is_kept_where_the_page_stays(tmp_path: Path) -> None:
    held = Held(tmp_path)
    edit = held.edit()
    edit.protect((), ("execute",), {})
    write(held.target, edit, held.file, {})
    place = held.entries[1]
    held.guest.ram.write(place, held.guest.ram.value(place) | A | D)
    assert held.undo() == 2
    held.image[place] |= A | D
    assert held.as_it_was()


def test_an_edit_of_accessed_and_dirty_alone_is_undone_too(tmp_path: Path) -> None:
    held = Held(tmp_path)
    edit = held.edit()
    edit.protect((), (), {"A": 0})
    write(held.target, edit, held.file, {})
    assert held.guest.ram.value(held.entries[0]) & A == 0
    assert held.undo() == 1
    assert held.as_it_was()


def test_where_somebody_has_written_since_nothing_is_put_back_unasked(tmp_path: Path) -> None:
    held = Held(tmp_path).unmapped()
    held.guest.ram.write(held.entries[1], 0x1234_5003)
    with pytest.raises(PtliveError, match=f"at {held.entries[1]:#x} is not what the edit left"):
        held.undo()
    assert held.guest.ram.value(held.entries[0]) == 0
    assert held.undo(force=True) == 2
    assert held.as_it_was()


def test_another_guest_is_not_written_though_its_memory_is_as_empty(tmp_path: Path) -> None:
    held = Held(tmp_path).unmapped()
    other = Guest(machine())
    image = other.ram.data.copy()
    assert not other.ram.data[held.entries[0] : held.entries[1] + 8].any()
    with pytest.raises(PtliveError, match="another guest, or an address space that is gone"):
        take_back(other.target(), VIEW, held.file)
    assert (other.ram.data == image).all()


def test_tables_that_hang_elsewhere_by_now_are_not_written(tmp_path: Path) -> None:
    held = Held(tmp_path).unmapped()
    held.guest.ram.write(8 * (VA >> 48), 0)  # the root's entry: the process has ended
    with pytest.raises(PtliveError, match="is not one of root 0x0 any more"):
        held.undo()
    assert held.undo(force=True) == 2


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({"format": "x86-64-4level"}, "any more"),
        ({"format": "no such"}, "there is no format"),
        ({"roots": ["0x0", "0x0"]}, "no entries of"),
        ({"roots": [hex(1 << 40)]}, "lies in no RAM"),
        ({"va": "0x5000", "last_va": "0x1000"}, "any more"),
    ],
)
def test_a_file_that_tells_of_something_else_writes_nothing(
    tmp_path: Path, how: dict[str, Any], said: str
) -> None:
    held = Held(tmp_path).unmapped()
    found = json.loads(held.file.read_text())
    held.file.write_text(json.dumps(found | how))
    after = held.guest.ram.data.copy()
    with pytest.raises(PtliveError, match=said):
        held.undo()
    assert (held.guest.ram.data == after).all()
