"""What may be different about a page, and the words for it."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection


class Change(enum.IntFlag):
    """What is different about a page; several may be at once.

    The members' names in lower case are what the user calls them.
    """

    ADDED = 1  # it translates now
    REMOVED = 2  # it did before
    MOVED = 4  # to another frame
    RIGHTS = 8  # folded over the path
    ATTRIBUTES = 16  # memory type, key: whatever the format calls an attribute
    SIZE = 32  # in a page of another size: split, or collapsed
    AD = 64  # bits that the MMU writes were set or cleared
    SOFTWARE = 128  # bits that the MMU ignores
    FAULT = 256  # it does not translate, now for another reason: a reserved bit, a lost table


NAMES = {str(change.name).lower(): change for change in Change}
EVERYTHING = ~Change(0)


def wanted(only: Collection[str], ignored: Collection[str]) -> Change:
    """Return the changes that are asked for, by their names; all if `only` is empty."""
    chosen = Change(0)
    for name in only or NAMES:
        if name not in ignored:
            chosen |= NAMES[name]
    return chosen


def names_of(change: int) -> list[str]:
    """Return the names of the changes that are in a mask."""
    return [name for name, one in NAMES.items() if change & one]
