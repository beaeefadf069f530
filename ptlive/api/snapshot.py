"""A guest kept in a file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ptlive.answers.snapshot import keys_of, save_memory, spaces_to_keep
from ptlive.answers.spaces import PlainView
from ptlive.show import words

if TYPE_CHECKING:
    from os import PathLike

    from ptlive.api.held import Held


def save(held: Held, file: str | PathLike[str], *, full: bool, force: bool) -> tuple[str, ...]:
    """Keep a guest in a file; return what is to be known of it. See `Guest.snapshot`."""
    from ptlive.memory.snapshot.write import create
    from ptlive.target.from_file.snapshot import describe
    from ptlive.target.saved_state import memory_types_of

    target, view = held.target, PlainView()
    with create(Path(file), force=force) as writer:
        spaces, notes = spaces_to_keep(target, view)
        saved = save_memory(writer, target, spaces, held.scanned if full else None, _quiet)
        if saved.lost:
            lost = words.count(saved.lost, "frame")
            notes.append(("not-read", f"{lost} of memory could not be read and are not in it"))
        kept = list(notes)
        if target.file is not None:
            kept += [*target.file.first, *target.file.late()]
        about = describe(
            target,
            guest=target.address,
            full=full and not saved.lost,
            live=False,
            pkru=keys_of(target, view, held.running),
            memory_types=memory_types_of(target, held.running),
            roots=[{"root": hex(int(one.root[0])), "origin": one.origin} for one in spaces],
            notes=kept,
        )
        writer.finish(about | {"torn": []})
    return tuple(text for _, text in notes)


def _quiet(_what: str, _done: int, _all: int) -> None:
    pass
