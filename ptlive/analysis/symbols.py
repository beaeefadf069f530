"""Names of addresses: from a System.map, a saved /proc/kallsyms, or a vmlinux.

The bytes are a stranger's: what is no such file, or is cut off, ends in one sentence.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ptlive.errors import PtliveError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ptlive.arrays import U64

# A System.map of a kernel with everything built in has some 20M.
TEXT_LIMIT = 1 << 28
# No address of the kernel is below this; per-CPU variables are (they are offsets).
LOWEST = 1 << 63

_LINE = re.compile(rb"^([0-9a-fA-F]{8,16}) ([A-Za-z?-]) (\S+)(?:[ \t]+(\[\S+\]))?[ \t]*$", re.M)


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


def parse_text(data: bytes, what: str) -> Symbols:
    """Read a System.map, or what /proc/kallsyms had. Raises PtliveError, naming it `what`."""
    found = [match.groups() for match in _LINE.finditer(data)]
    if not found:
        raise PtliveError(
            f"{what} is neither a vmlinux nor a list of symbols "
            "(Debian keeps the real System.map in the kernel's -dbg package)"
        )
    values = np.array([int(value, 16) for value, _, _, _ in found], dtype=np.uint64)
    if not values.any():
        raise PtliveError(
            f"all addresses in {what} are zero: kallsyms hides them from all but root "
            "(kernel.kptr_restrict)"
        )
    names = [
        (name + b" " + module if module else name).decode("ascii", "backslashreplace")
        for _, _, name, module in found
    ]
    by_name: dict[str, list[int]] = {}
    for name, value in zip(names, values.tolist(), strict=True):
        by_name.setdefault(name, []).append(value)
    rows = np.flatnonzero(values >= np.uint64(LOWEST))
    rows = rows[np.argsort(values[rows], kind="stable")]
    return Symbols(
        "list of symbols",
        values[rows],
        lambda row: names[rows[row]],
        lambda name: by_name.get(name, []),
    )
