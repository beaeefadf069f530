"""What an edit would take from a vCPU is told, and what is written is held against the MMU."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from ptlive.analysis.edit import Edit
from ptlive.analysis.edit_frames import Frames
from ptlive.answers.edit_write import write
from ptlive.errors import PtliveError
from ptlive.paging.formats import bits32
from ptlive.verify.edit import dangers, execute, own_spaces, words_of
from tests.paging.plain_ram import FRAME
from tests.paging.tables import PS, PWU, RW, P, machine
from tests.simulated_guest import CODE, DATA, ENTRY_STACK, GDT, IDT, STACK, Guest, as_tcg

if TYPE_CHECKING:
    from pathlib import Path

    from tests.reference.sdm import Access, Outcome

VA = 0x7000_0000
FREE = (DATA + 8) * FRAME


def guest_of(**how: Any) -> Guest:
    guest = Guest(machine(), **how)
    for page in range(3):
        guest.map(VA + page * FRAME, (DATA + page) * FRAME, PWU)
    return guest


def edit_of(guest: Guest, va: int, pages: int = 1) -> Edit:
    space = guest.space()
    frames = Frames([(FREE, FREE + 4 * FRAME - 1)])
    return Edit(space.format, space.memory, space.root, va, va + pages * FRAME - 1, frames)


def told(guest: Guest, edit: Edit) -> list[str]:
    return list(dangers(guest.target(), guest.space(), edit))


def test_what_no_vcpu_stands_on_is_no_danger() -> None:
    guest = guest_of()
    edit = edit_of(guest, VA, 3)
    edit.unmap()
    assert told(guest, edit) == []


@pytest.mark.parametrize(
    ("frame", "what"),
    [
        (CODE, "the code at its PC"),
        (STACK, "its stack"),
        (ENTRY_STACK, "a stack of its exceptions"),
        (IDT, "its IDT"),
        (GDT, "its GDT"),
    ],
)
def test_what_a_vcpu_stands_on_is_told_by_name(frame: int, what: str) -> None:
    guest = guest_of()
    edit = edit_of(guest, guest.va(frame))
    edit.unmap()
    found = told(guest, edit)
    assert f"vCPU 1 would lose {what}, " in found[0]
    assert all(text.endswith(": it would not be mapped") for text in found)


def test_a_stack_that_cannot_be_written_is_lost_and_code_that_cannot_is_not() -> None:
    guest = guest_of()
    for frame, said in ((STACK, ["write would be denied"]), (CODE, [])):
        edit = edit_of(guest, guest.va(frame))
        edit.protect((), ("write",), {})
        assert [text.rpartition(": ")[2] for text in told(guest, edit)] == said
    edit = edit_of(guest, guest.va(CODE))
    edit.protect((), ("execute",), {})
    assert told(guest, edit)[0].endswith(": execute would be denied")


def test_code_in_another_frame_is_lost() -> None:
    guest = guest_of()
    edit = edit_of(guest, guest.va(CODE))
    edit.remap(DATA * FRAME)
    moved = DATA * FRAME + 0x100  # as the PC is within its page
    assert told(guest, edit)[0].endswith(f": it would be in another frame, {moved:#x}")


def test_what_another_root_has_is_lost_by_no_vcpu() -> None:
    guest = guest_of()
    guest.write(FREE, guest.ram.data[:FRAME].tobytes())
    other = guest.space(root=FREE)
    edit = edit_of(guest, guest.va(CODE))
    edit.root = other.root
    edit.unmap()  # in the tables that both share
    assert "the code at its PC" in told(guest, edit)[0]
    assert [space.root[0] for _, space in own_spaces(guest.target(), other)] == [0]


@pytest.mark.parametrize("pages", [1, 2])
def test_tables_that_the_guest_maps_are_missed(pages: int) -> None:
    guest = guest_of()
    for page in range(pages):
        guest.map(VA + (page + 8) * FRAME, page * FRAME, P | RW)
    for do in ("unmap", "protect"):
        edit = edit_of(guest, VA + 8 * FRAME, pages)
        edit.unmap() if do == "unmap" else edit.protect((), ("write",), {})
        (said,) = told(guest, edit)
        assert f"would not reach {pages} of its page tables" in said
        assert said.endswith(f"the first at {VA + 8 * FRAME:#x}")
    harmless = edit_of(guest, VA + 8 * FRAME, pages)
    harmless.protect(("user",), (), {})
    assert told(guest, harmless) == []


def test_tables_in_a_large_page_are_missed_only_where_it_is_edited() -> None:
    guest = guest_of()
    large = VA + (4 << 20)
    guest.map(large, 0, P | RW | PS, level=2)
    edit = edit_of(guest, large)  # the root's frame
    edit.unmap()
    (said,) = told(guest, edit)
    assert "would not reach 1 of its page tables" in said
    edit = edit_of(guest, large + DATA * FRAME)
    edit.unmap()
    assert told(guest, edit) == []


def written(guest: Guest, tmp_path: Path) -> None:
    edit = edit_of(guest, VA, 2)
    edit.protect((), ("write",), {})
    write(guest.target(), edit, tmp_path / "undo.json", {})


def test_the_vcpu_confirms_what_is_written(tmp_path: Path) -> None:
    guest = guest_of(lie=as_tcg)
    written(guest, tmp_path)
    image = guest.ram.data.copy()
    report = execute(guest.target(), guest.space(), VA, VA + 2 * FRAME - 1, None)
    fault = next(one for one in report.checks if one.aspect == "fault")
    assert (fault.checked, fault.disagreed) == (16, 0)  # 8 kinds of access, 2 leaves
    assert (guest.ram.data == image).all()


def test_a_vcpu_that_still_writes_there_disagrees(tmp_path: Path) -> None:
    def stale(outcome: Outcome, asked: Access) -> Outcome:
        if asked.kind == "write" and outcome.cr2 is not None:
            pa = DATA * FRAME + outcome.cr2 - VA
            return replace(outcome, vector=None, error_code=None, cr2=None, pa=pa)
        return outcome

    guest = guest_of(lie=stale)
    written(guest, tmp_path)
    report = execute(guest.target(), guest.space(), VA, VA + 2 * FRAME - 1, None)
    assert report.disagreed > 0


def test_a_halted_vcpu_is_asked_nothing() -> None:
    guest = guest_of(halts=True)
    with pytest.raises(PtliveError, match="vCPU 1 is halted and executes nothing"):
        execute(guest.target(), guest.space(), VA, VA + FRAME - 1, None)


def test_a_twin_is_given_each_word_once() -> None:
    guest = guest_of()
    large = VA + (4 << 20)
    at = guest.map(large, 0, P | RW | PS, level=2)
    edit = edit_of(guest, large + FRAME)
    edit.unmap()
    address, value = words_of(edit)
    assert address.dtype == value.dtype == np.uint64
    given = dict(zip(address.tolist(), value.tolist(), strict=True))
    assert len(given) == address.size == 513
    assert given[FREE + 8] == 0
    assert given[at] & ~0xFFF == FREE


def test_a_twin_knows_no_entries_of_four_bytes() -> None:
    guest = guest_of()
    edit = replace(edit_of(guest, VA), fmt=bits32.make())
    with pytest.raises(PtliveError, match="a twin does not know the entries of"):
        words_of(edit)
