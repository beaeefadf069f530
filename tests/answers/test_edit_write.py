"""Edits of a simulated guest are written whole or not at all."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import pytest

from ptlive.answers.edit_write import check_writable, write
from ptlive.errors import PtliveError
from tests.answers.edited import FREE, HUGE, Held
from tests.paging.plain_ram import FRAME
from tests.paging.tables import RW, P
from tests.simulated_guest import Guest

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


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
