"""An edit taken back, where its tables are still what they were."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ptlive.answers.edit_file import read_undo
from ptlive.answers.edit_write import apply, flush, read_pieces
from ptlive.answers.spaces import PlainView, space_at
from ptlive.arrays import u64
from ptlive.errors import PtliveError
from ptlive.paging.overlay import Overlay
from ptlive.paging.reach import reached
from ptlive.paging.walk import walk

if TYPE_CHECKING:
    from pathlib import Path

    from ptlive.answers.edit_file import Patch, Undo
    from ptlive.answers.spaces import View
    from ptlive.show.edit import Flushed
    from ptlive.target.attach import Target


def take_back(
    target: Target, view: View, file: Path, *, force: bool = False
) -> tuple[int, Flushed | None]:
    """Undo an edit; return how many pieces of memory were put back: none if all is as it was.

    view: whose registers count; force: also where something else is there than the edit left,
    or where the tables of that address space are not any more. Raises PtliveError for a file
    that is none of ours.
    """
    undo = read_undo(file)
    todo = undo.writes
    now = read_pieces(target, [(one.address, len(one.new)) for one in todo])
    if not any(map(_differs, todo, now)):
        return 0, None
    if not force:
        for one, data in zip(todo, now, strict=True):
            if (_number(data) ^ _number(one.new)) & ~_number(one.mmu):
                raise PtliveError(
                    f"at {one.address:#x} is not what the edit left there: the guest, or somebody, "
                    "has written since (--force puts the old back all the same)"
                )
        _check_place(target, view, undo)
    restored = []
    for one, data in zip(todo, now, strict=True):
        # What the MMU has noted since of a page that is still mapped must not be lost.
        noted = _number(data) & ~_number(one.new) & _number(one.kept)
        old = (_number(one.old) | noted).to_bytes(len(one.old), "little")
        restored.append((one.address, data, old))
    mark = len(target.journal)
    apply(target, list(reversed(restored)))
    flushed = flush(target)
    target.journal.clear(mark)
    return len(restored), flushed


def _differs(one: Patch, now: bytes) -> bool:
    """Tell whether memory is not as it was before the edit, but for what the MMU writes."""
    edited = _number(one.old) ^ _number(one.new)
    return bool((_number(now) ^ _number(one.old)) & (~_number(one.mmu) | edited))


def _check_place(target: Target, view: View, undo: Undo) -> None:
    """Raise PtliveError if the entries, put back, would be no entries of that range any more.

    Then this is another guest, or the address space is gone and its tables are something else:
    what an edit has cleared is zero in most of memory.
    """
    seen = PlainView(view.vcpu, undo.format, view.pkru)
    space = space_at(target, seen, hex(undo.roots[0]))
    entry = space.format.level(1).entry
    entries = [one for one in undo.writes if not one.table]
    size = np.dtype(entry).itemsize
    if len(undo.roots) != space.format.roots or any(len(one.old) != size for one in entries):
        raise PtliveError(f"these are no entries of {space.format.name}")
    address = np.array([one.address for one in entries], dtype=np.uint64)
    old = np.frombuffer(b"".join(one.old for one in entries), dtype=entry).astype(np.uint64)
    memory = Overlay(space.memory)
    memory.write(address, old, entry)
    ends = u64(undo.va), u64(undo.last_va)
    roots = np.array([undo.roots], dtype=np.uint64)
    there = reached(walk(space.format, memory, roots, ends), address)
    if not there.all():
        raise PtliveError(
            f"the entry at {int(address[~there][0]):#x} is not one of root {undo.roots[0]:#x} any "
            "more: another guest, or an address space that is gone (--force writes all the same)"
        )


def _number(data: bytes) -> int:
    return int.from_bytes(data, "little")
