"""Where an edit's new tables are to be: in frames that somebody names; none is proven free."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ptlive.errors import PtliveError

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

_FRAME = 1 << 12


@dataclass
class Frames:
    """Physical memory for new tables.

    named: ranges, ends included, in the order in which they are used; elsewhere: ranges of
    any memory, where tables are put only in order to count how many are needed; tables:
    frames of 4K where tables are already
    """

    named: Sequence[tuple[int, int]]
    elsewhere: Sequence[tuple[int, int]] = ()
    tables: Collection[int] = ()
    taken: dict[int, int] = field(default_factory=dict)
    missing: dict[int, int] = field(default_factory=dict)

    def take(self, size: int) -> int:
        """Return where a table of `size` bytes shall be."""
        for first, last in self.named:
            at = -(-first // size) * size
            while at + size - 1 <= last:
                if self._free(at, size):
                    self.taken[at] = size
                    return at
                at += size
        for first, last in self.elsewhere:
            at = (last + 1) // size * size - size
            while at >= first:
                if self._free(at, size):
                    self.taken[at] = size
                    self.missing[at] = size
                    return at
                at -= size
        raise PtliveError(self._wanted(size))

    def check(self) -> None:
        """Raise PtliveError if there were fewer frames than tables."""
        if self.missing:
            raise PtliveError(self._wanted(next(iter(self.missing.values()))))

    def _wanted(self, size: int) -> str:
        count = max(len(self.taken), 1)
        tables = "table" if count == 1 else "tables"
        named = len(self.taken) - len(self.missing)
        return (
            f"this needs {count} new {tables} of {size} bytes, and there is room for {named}: name "
            "memory that nobody uses by --frame PA or PA..LAST_PA; that it is mapped nowhere "
            "proves nothing"
        )

    def _free(self, at: int, size: int) -> bool:
        frames = range(at & -_FRAME, at + size, _FRAME)
        if any(frame in self.tables for frame in frames):
            return False
        return not any(
            other < at + size and at < other + bytes_ for other, bytes_ in self._near(at, size)
        )

    def _near(self, at: int, size: int) -> list[tuple[int, int]]:
        found = self.taken.get(at)
        if found is not None:
            return [(at, found)]
        # Tables of other sizes are few, and only some formats have them.
        return [one for one in self.taken.items() if one[1] != size]
