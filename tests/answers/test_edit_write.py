"""Edits of a simulated guest, written and taken back: every byte of RAM is held."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from ptlive.analysis.edit import Edit
from ptlive.analysis.edit_frames import Frames
from ptlive.answers.edit_write import check_writable, read_undo, take_back, write
from ptlive.answers.spaces import PlainView
from ptlive.errors import PtliveError
from tests.paging.plain_ram import FRAME
from tests.paging.tables import PS, RW, A, D, P, machine
from tests.simulated_guest import DATA, Guest

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

VA = 0x7000_0000
LAST_VA = VA + 2 * FRAME - 1
HUGE = VA + (4 << 20)
FREE = (DATA + 8) * FRAME
VIEW = PlainView()


class Watched(Guest):
    """A guest of which it is known what was written, in order."""

    written: ClassVar[list[int]] = []

    def write_physical(self, writes: Sequence[tuple[int, bytes]]) -> None:
        self.written[:] = [pa for pa, _ in writes]
        super().write_physical(writes)


class Deaf(Guest):
    """A guest to which nothing can be written."""

    def write_physical(self, writes: Sequence[tuple[int, bytes]]) -> None:
        pass


class Held:
    """A guest of three pages, one of them of 2M, and what an edit does to it."""

    def __init__(self, tmp_path: Path, kind: type[Guest] = Guest, **how: Any) -> None:
        self.guest = kind(machine(), **how)
        first = self.guest.map(VA, DATA * FRAME, P | RW)
        self.entries = (first, self.guest.map(VA + FRAME, (DATA + 1) * FRAME, P | RW))
        self.huge = self.guest.map(HUGE, 0, P | RW | PS, level=2)
        for place, entry in (
            (first, DATA * FRAME | P | RW | A),
            (self.entries[1], (DATA + 1) * FRAME | P | RW),
            (self.huge, P | RW | PS),
        ):
            self.guest.ram.write(place, entry)
        self.target = self.guest.target()
        self.image = self.guest.ram.data.copy()
        self.file = tmp_path / "undo.json"

    def edit(self, va: int = VA, last_va: int = LAST_VA) -> Edit:
        space = self.guest.space()
        frames = Frames([(FREE, FREE + 4 * FRAME - 1)])
        return Edit(space.format, space.memory, space.root, va, last_va, frames)

    def unmapped(self) -> Held:
        edit = self.edit()
        edit.unmap()
        write(self.target, edit, self.file, {"operation": "unmap"})
        return self

    def as_it_was(self) -> bool:
        return bool((self.guest.ram.data == self.image).all())

    def undo(self, *, force: bool = False) -> int:
        return take_back(self.target, VIEW, self.file, force=force)[0]


def test_what_is_written_is_what_was_shown_and_nothing_else(tmp_path: Path) -> None:
    held = Held(tmp_path).unmapped()
    for place in held.entries:
        held.image[place : place + 8] = 0
    assert held.as_it_was()
    assert len(held.target.journal) == 0


def test_a_page_that_is_cut_has_its_table_first(tmp_path: Path) -> None:
    held = Held(tmp_path, Watched)
    edit = held.edit(HUGE + FRAME, HUGE + 2 * FRAME - 1)
    edit.unmap()
    write(held.target, edit, held.file, {})
    assert Watched.written == [FREE, held.huge]
    table = [0 if n == 1 else n << 12 | P | RW for n in range(512)]
    assert [held.guest.ram.value(FREE + 8 * n) for n in range(512)] == table
    assert held.guest.ram.value(held.huge) & ~0xFFF == FREE
    assert held.undo() == 2
    assert held.as_it_was()


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


def test_where_no_file_can_be_written_the_journal_knows_how_it_was(tmp_path: Path) -> None:
    held = Held(tmp_path)
    edit = held.edit()
    edit.unmap()
    with pytest.raises(PtliveError, match="cannot write"):
        write(held.target, edit, tmp_path / "no" / "undo.json", {})
    held.target.journal.undo(held.target.stub)
    assert held.as_it_was()


def test_memory_that_does_not_keep_what_is_written_is_told(tmp_path: Path) -> None:
    held = Held(tmp_path, Deaf)
    edit = held.edit()
    edit.unmap()
    with pytest.raises(PtliveError, match="does not read back"):
        write(held.target, edit, held.file, {})
    assert not held.file.exists()


@pytest.mark.parametrize(
    ("accelerator", "done", "said"),
    [("TCG", True, "TLB of vCPU 1 flushed"), ("KVM", False, "TLB not flushed: under KVM")],
)
def test_whether_the_tlb_is_flushed_is_said(
    tmp_path: Path, accelerator: str, done: bool, said: str
) -> None:
    held = Held(tmp_path, accelerator=accelerator)
    edit = held.edit()
    edit.unmap()
    registers = dict(held.guest.registers_now)
    flushed = write(held.target, edit, held.file, {})
    assert (flushed.done, flushed.text[: len(said)]) == (done, said)
    assert held.guest.registers_now == registers


def test_a_guest_that_runs_is_not_written(tmp_path: Path) -> None:
    held = Held(tmp_path)
    with pytest.raises(PtliveError, match="the guest runs"):
        check_writable(held.target)
    held.target.was_running = False
    check_writable(held.target)
    held.target.file = tmp_path
    with pytest.raises(PtliveError, match="a file is not edited"):
        check_writable(held.target)


def damaged(found: dict[str, Any], how: str) -> None:
    """Damage the content of an undo file."""
    row = found["writes"][0]
    if how == "roots":
        found["roots"] = []
    elif how == "format":
        found["format"] = ["x86-64-5level"]
    elif how == "range":
        found["va"] = 5
    elif how == "address":
        row["address"] = "-0x5"
    elif how == "huge":
        row["address"] = hex(1 << 64)
    elif how == "short":
        row["old"] = row["old"][:-2]
    elif how == "missing":
        del row["mmu"]
    else:
        row["new"] = how


@pytest.mark.parametrize(
    "how", ["roots", "format", "range", "address", "huge", "short", "missing", "", "xyz"]
)
def test_a_damaged_file_is_refused(tmp_path: Path, how: str) -> None:
    held = Held(tmp_path).unmapped()
    found = json.loads(held.file.read_text())
    damaged(found, how)
    held.file.write_text(json.dumps(found))
    with pytest.raises(PtliveError, match="no undo file"):
        held.undo()


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


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", '{"schema": "x"}', '{"schema": "ptlive.edit-undo/1", "writes": 5}', "[" * 9999],
)
def test_a_file_that_is_no_undo_file_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "undo.json"
    file.write_text(text)
    with pytest.raises(PtliveError, match="no undo file"):
        read_undo(file)


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(PtliveError, match="No such file"):
        read_undo(tmp_path / "none")
