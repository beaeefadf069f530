"""What the menu guest says about itself (guest/menu/menu.h), read from its memory.

Nothing that walks or verifies knows this: only the demonstration and the tests
do, which hold the walker against the guest's own description.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ptlive.access_kind import ACCESS_KINDS
from ptlive.errors import PtliveError
from ptlive.guests.elf import symbol

if TYPE_CHECKING:
    from pathlib import Path

    from ptlive.access_kind import AccessKind
    from ptlive.arrays import Memory

MAGIC = int.from_bytes(b"menu", "little")
NOT_ASKED = 0xFF
PAGE = 1 << 12

_ANSWER = np.dtype([("vector", "u1"), ("pad", "V3"), ("error", "<u4"), ("frame", "<u8")])
_LINE = np.dtype(
    [
        ("name", "S64"),
        ("va", "<u8"),
        ("entry_pa", "<u8"),
        ("entry", "<u8"),
        ("level", "<u4"),
        ("flags", "<u4"),
        ("why", "S64"),
        ("expected", _ANSWER, len(ACCESS_KINDS)),
        ("observed", _ANSWER, len(ACCESS_KINDS)),
    ]
)
_RESULT = np.dtype(
    [(name, "<u4") for name in ("magic", "levels", "lines", "probes", "differences", "quirks")]
)


@dataclass(frozen=True)
class Answer:
    """The outcome of one access: vector 0 is allowed, then frame is where it arrived."""

    vector: int
    error_code: int
    frame: int

    @property
    def asked(self) -> bool:
        """Whether there is an outcome at all."""
        return self.vector != NOT_ASKED


@dataclass(frozen=True)
class MenuLine:
    """One line of the menu.

    expected: written by hand in the guest's source, from the manual; observed:
    what the guest's own executed accesses saw at boot
    """

    name: str
    va: int
    entry_pa: int
    entry: int
    level: int
    why: str
    expected: dict[AccessKind, Answer]
    observed: dict[AccessKind, Answer]


@dataclass(frozen=True)
class Menu:
    """The whole menu, and how many of its own expectations the guest saw fail."""

    lines: list[MenuLine]
    levels: int
    differences: int


def read_menu(elf: Path, memory: Memory) -> Menu:
    """Read the menu of a parked guest, whose symbols are linked at their physical addresses.

    Raises PtliveError if the guest is not (yet) parked.
    """
    result_at = symbol(elf, "menu_result")
    result = np.frombuffer(_bytes(memory, result_at, _RESULT.itemsize), _RESULT)[0]
    if result["magic"] != MAGIC:
        raise PtliveError("the menu guest is not parked: its tables are not ready")
    count = int(result["lines"])
    rows = np.frombuffer(_bytes(memory, symbol(elf, "menu"), count * _LINE.itemsize), _LINE)
    return Menu([_line(row) for row in rows], int(result["levels"]), int(result["differences"]))


def _line(row: np.void) -> MenuLine:
    kinds = ACCESS_KINDS.values()
    return MenuLine(
        name=row["name"].decode("ascii", "replace"),
        va=int(row["va"]),
        entry_pa=int(row["entry_pa"]),
        entry=int(row["entry"]),
        level=int(row["level"]),
        why=row["why"].decode("ascii", "replace"),
        expected=dict(zip(kinds, map(_answer, row["expected"]), strict=True)),
        observed=dict(zip(kinds, map(_answer, row["observed"]), strict=True)),
    )


def _answer(row: np.void) -> Answer:
    return Answer(int(row["vector"]), int(row["error"]), int(row["frame"]))


def _bytes(memory: Memory, address: int, length: int) -> bytes:
    """Read bytes that may begin and end anywhere."""
    first = address & -PAGE
    frames = np.arange(first, address + length, PAGE, dtype=np.uint64)
    data, valid = memory.read(frames, PAGE)
    if not valid.all():
        raise PtliveError(f"the menu guest's memory at {address:#x} cannot be read")
    return data.tobytes()[address - first :][:length]
