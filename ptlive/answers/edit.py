"""What an edit is asked for, as people say it: rights in letters, fields by name, free memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ptlive.analysis.edit import Edit
from ptlive.analysis.edit_frames import Frames
from ptlive.answers.filters import filter_of
from ptlive.errors import PtliveError
from ptlive.memory.ram_map import Kind
from ptlive.show import words
from ptlive.verify.edit import own_spaces

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ptlive.paging.format import Format
    from ptlive.space import AddressSpace
    from ptlive.target.attach import Target

_FRAME = 1 << 12


def rights_of(fmt: Format, typed: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the rights to grant and those to deny.

    typed: all of them, as a map shows them (r-x-), or those that are to change (+w, -w, wx)
    """
    shown = words.rights(fmt, {one.name: True for one in fmt.rights})
    if len(typed) == len(shown) and all(a in (b, "-") for a, b in zip(typed, shown, strict=True)):
        if shown[0] == "r" and "read" not in {one.name for one in fmt.rights} and typed[0] == "-":
            raise PtliveError(f"--rights {typed}: in {fmt.name} what is mapped can be read")
        letters = words.letters(fmt)
        return (
            tuple(name for name, letter in letters.items() if letter in typed),
            tuple(name for name, letter in letters.items() if letter not in typed),
        )
    wanted = filter_of(fmt, rights=[typed], prefix="--")
    if not wanted.granted and not wanted.denied:
        raise PtliveError(f"--rights {typed}: say which, as +w or {shown}")
    return wanted.granted, wanted.denied


def fields_of(typed: Iterable[str]) -> dict[str, int]:
    """Return the values of fields to set: G is 1, -G is 0, PK=5 is 5. Raises PtliveError."""
    found: dict[str, int] = {}
    for one in (one for text in typed for one in text.split(",")):
        name, equals, value = one.removeprefix("-").partition("=")
        if name in found:
            raise PtliveError(f"--attr {one}: {name} is there twice")
        try:
            found[name] = int(value, 0) if equals else int(not one.startswith("-"))
        except ValueError:
            raise PtliveError(f"--attr {one}: {value!r} is no number") from None
        if not name or found[name] < 0 or (equals and one.startswith("-")):
            raise PtliveError(f"--attr {one}: either NAME, -NAME or NAME=VALUE")
    return found


def edit_of(
    target: Target, space: AddressSpace, va: int, last_va: int, named: Sequence[tuple[int, int]]
) -> Edit:
    """Return an edit of a range that does nothing yet.

    named: memory for new tables, ranges with both ends. Raises PtliveError for memory that is no
    RAM, or holds tables of this address space or of a vCPU's.
    """
    if last_va == va:
        raise PtliveError("an edit takes a range of whole pages, VA..LAST_VA, not one address")
    ram = [r for r in space.ram_map.regions if r.kind is Kind.RAM]
    whole = [(first, last | (_FRAME - 1 if first == last else 0)) for first, last in named]
    for first, last in whole:
        if not any(r.first <= first and last <= r.last for r in ram):
            raise PtliveError(f"--frame {first:#x}..{last:#x} is not RAM of the guest")
    tables = np.zeros(0, dtype=np.uint64)
    for one in (space, *(own for _, own in own_spaces(target, space))):
        found = np.concatenate([floor.nodes.table for floor in one.walk().floors])
        tables = np.union1d(tables, found & ~np.uint64(_FRAME - 1))
        for first, last in whole:
            used = tables[(tables >= np.uint64(first & -_FRAME)) & (tables <= np.uint64(last))]
            if used.size:
                raise PtliveError(f"--frame: {int(used[0]):#x} is a page table of {one.title}")
    elsewhere = [(r.first, r.last) for r in ram]
    frames = Frames(whole, elsewhere, frozenset(tables.tolist()))
    return Edit(space.format, space.memory, space.root, va, last_va, frames)
