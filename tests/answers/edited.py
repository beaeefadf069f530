"""A simulated guest that is edited: every byte of its RAM is held."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ptlive.analysis.edit import Edit
from ptlive.analysis.edit_frames import Frames
from ptlive.answers.edit_undo import take_back
from ptlive.answers.edit_write import write
from ptlive.answers.spaces import PlainView
from tests.paging.plain_ram import FRAME
from tests.paging.tables import PS, RW, A, P, machine
from tests.simulated_guest import DATA, Guest

if TYPE_CHECKING:
    from pathlib import Path

VA = 0x7000_0000
LAST_VA = VA + 2 * FRAME - 1
HUGE = VA + (4 << 20)
FREE = (DATA + 8) * FRAME
VIEW = PlainView()


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
