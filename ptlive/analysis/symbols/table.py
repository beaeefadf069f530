"""Names of addresses: what a list of symbols or a vmlinux says, as one table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ptlive.arrays import U64

# No address of the kernel is below this; per-CPU variables are (they are offsets).
LOWEST = 1 << 63


class Section(NamedTuple):
    """A named part of the image, ends included, as it was linked."""

    name: str
    va: int
    last_va: int


@dataclass(frozen=True, eq=False)
class Symbols:
    """Symbols by address.

    kind: of the file, in a word; va: uint64[n], ascending; name: of a row; find: rows
    of a name's values; slide: what was added to the addresses as they were linked;
    sections: from a file that has them; contents: (address, length) -> what a file that
    holds the image has there, empty where it holds nothing
    """

    kind: str
    va: U64
    name: Callable[[int], str]
    find: Callable[[str], Sequence[int]]
    slide: int = 0
    sections: tuple[Section, ...] = ()
    contents: Callable[[int, int], bytes] | None = None

    def value(self, name: str) -> int | None:
        """Return the address of the symbol of that name, None if there is none."""
        values = self.find(name)
        return (values[0] + self.slide) % (1 << 64) if values else None

    def at(self, va: int) -> tuple[str, int] | None:
        """Return the last symbol at or before an address, and how far behind it that is."""
        row = int(np.searchsorted(self.va, np.uint64((va - self.slide) % (1 << 64)), "right")) - 1
        if row < 0:
            return None
        return self.name(row), (va - self.slide) % (1 << 64) - int(self.va[row])
