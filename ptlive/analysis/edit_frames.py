"""Where an edit's new tables are to be: in frames that somebody names; none is proven free."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ptlive.errors import PtliveError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

_FRAME = 1 << 12


@dataclass
class Frames:
    """Physical memory for new tables.

    named: ranges, ends included, in the order in which they are used; elsewhere: ranges of
    any memory, where tables are put only in order to count how many are needed; tables:
    frames of 4K where tables are already; taken, missing: address to size of each table,
    and of those that are elsewhere
    """

    named: Sequence[tuple[int, int]]
    elsewhere: Sequence[tuple[int, int]] = ()
    tables: Collection[int] = ()
    taken: dict[int, int] = field(default_factory=dict)
    missing: dict[int, int] = field(default_factory=dict)
    _places: dict[int, Iterator[tuple[int, bool]]] = field(default_factory=dict)

    def take(self, size: int) -> int:
        """Return where a table of `size` bytes, a power of two, shall be; none is taken twice."""
        for at, named in self._places.setdefault(size, self._looked_through(size)):
            if self._free(at, size):
                self.taken[at] = size
                if not named:
                    self.missing[at] = size
                return at
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

    def _looked_through(self, size: int) -> Iterator[tuple[int, bool]]:
        """Yield each place where such a table could be, once, and whether somebody named it."""
        for first, last in self.named:
            for at in range(-(-first // size) * size, last - size + 2, size):
                yield at, True
        for first, last in self.elsewhere:
            for at in range((last + 1) // size * size - size, first - 1, -size):
                yield at, False

    def _free(self, at: int, size: int) -> bool:
        if any(frame in self.tables for frame in range(at & -_FRAME, at + size, _FRAME)):
            return False
        # Each table is aligned to its size: so few places are to be asked for, of few sizes.
        return not any(
            self.taken.get(place) == other
            for other in {*self._places}
            for place in range(at & -other, at + size, other)
        )
