"""Lines of text from columns of numbers, many at a time: a map may have a million of them.

Each column becomes a matrix of characters, a row for each line; joined side by side and
written out, that is ten times as fast as to format line by line. All of it is ASCII.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    import numpy.typing as npt

    from ptlive.arrays import U8, U64, Bool, Index

_DIGITS = np.frombuffer(b"0123456789abcdef", dtype=np.uint8)
_SPACE, _NEWLINE = ord(" "), ord("\n")
# Lines that are made at once.
_SOME = 1 << 14
# Values that are looked at to see which there are.
_SAMPLE = 1 << 12


class Column(Protocol):
    """A column of text; width: of its widest cell."""

    width: int

    def cells(self, rows: slice) -> U8:
        """Return some cells, uint8[n, width], filled up with spaces."""
        ...


class Hex:
    """Numbers with all of their digits, or (short) with no more than they need.

    marked: bool[n], which have a mark behind them; bits: that the widest number may have
    """

    def __init__(
        self,
        values: U64,
        *,
        short: bool = False,
        marked: Bool | None = None,
        bits: int = 64,
    ) -> None:
        """Take the numbers, and find the width."""
        self.values, self.short, self.marked = values, short, marked
        most = int(values.max(initial=np.uint64(0)))
        self.digits = max(most.bit_length() + 3, 4) // 4 if short else -(-bits // 4)
        self.mark = b" ..." if marked is not None and marked.any() else b""
        self.width = 2 + self.digits + len(self.mark)

    def cells(self, rows: slice) -> U8:
        """Return some cells."""
        values = self.values[rows]
        cells = np.full((values.size, self.width), _SPACE, dtype=np.uint8)
        cells[:, :2] = np.frombuffer(b"0x", dtype=np.uint8)
        count = np.full(values.size, self.digits)
        if self.short:
            count[:] = 1
            for digit in range(1, self.digits):
                count += values >= np.uint64(1 << 4 * digit)
        for digit in range(self.digits):
            # The first digit of a number is its count-th from the right.
            place = np.maximum(count - 1 - digit, 0).astype(np.uint64) * np.uint64(4)
            text = _DIGITS[(values >> place & np.uint64(15)).astype(np.intp)]
            cells[:, 2 + digit] = np.where(digit < count, text, _SPACE) if self.short else text
        if self.marked is not None and self.mark:
            chosen = np.flatnonzero(self.marked[rows])
            for at, character in enumerate(self.mark):
                cells[chosen, 2 + count[chosen] + at] = character
        return cells


class Words:
    """Numbers that each stand for a text, which is asked for once."""

    def __init__(self, values: U64, text: Callable[[int], str], *, right: bool = False) -> None:
        """Take the numbers, and what makes a text of one; right: aligned to the right."""
        self.values, self.different = values, distinct(values)[0]
        texts = [text(value) for value in self.different.tolist()]
        self.width = max(map(len, texts), default=0)
        lines = "".join(t.rjust(self.width) if right else t.ljust(self.width) for t in texts)
        self.table = np.frombuffer(lines.encode("ascii", "replace"), dtype=np.uint8)

    def cells(self, rows: slice) -> U8:
        """Return some cells."""
        which = np.searchsorted(self.different, self.values[rows])
        return self.table.reshape(self.different.size, self.width)[which]


class Aligned:
    """Another column, as wide as its heading at least."""

    def __init__(self, column: Column, width: int, *, right: bool = False) -> None:
        """Take the column, and how wide it is to be."""
        self.column, self.right = column, right
        self.width = max(width, column.width)

    def cells(self, rows: slice) -> U8:
        """Return some cells."""
        cells = self.column.cells(rows)
        more = self.width - self.column.width
        sides = (more, 0) if self.right else (0, more)
        return np.pad(cells, ((0, 0), sides), constant_values=_SPACE) if more else cells


def distinct(values: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], Index]:
    """Return the distinct values in order, and which of them each one is.

    As numpy's unique, which sorts all: of a million rights or sizes only few are different,
    and those that a sample has are looked up.
    """
    some = np.unique(values[:: max(values.size // _SAMPLE, 1)])
    which = np.searchsorted(some, values)
    missing = some[np.minimum(which, some.size - 1)] != values if some.size else which != 0
    if missing.any():
        some = np.unique(np.concatenate([some, values[missing]]))
        which = np.searchsorted(some, values)
    return some, which


def numbered(rows: int, columns: Iterable[npt.NDArray[Any]]) -> U64:
    """Return a number for each of so many rows, the same one where all columns are equal."""
    number = np.zeros(rows, dtype=np.uint64)
    for column in columns:
        different, which = distinct(column)
        number *= np.uint64(different.size)
        number += which.astype(np.uint64)
        number = distinct(number)[1].astype(np.uint64)
    return number


def blocks(columns: Sequence[Column], begin: int, end: int) -> Iterator[str]:
    """Yield rows begin to end-1 as text, many lines at a time, each with its line's end."""
    for first in range(begin, end, _SOME):
        rows = slice(first, min(first + _SOME, end))
        gap = np.full((rows.stop - first, 2), _SPACE, dtype=np.uint8)
        parts = [part for column in columns for part in (column.cells(rows), gap)]
        text = np.concatenate(parts, axis=1)
        # A line ends behind its last character; the gap behind the last column has room for that.
        used = (text[:, ::-1] != _SPACE).argmax(axis=1)
        length = text.shape[1] - used
        text[np.arange(length.size), length] = _NEWLINE
        kept = np.arange(text.shape[1]) <= length[:, None]
        yield text[kept].tobytes().decode("ascii")
