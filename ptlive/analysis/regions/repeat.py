"""How regions repeat: at equal distances, again and again where tables are shared.

A stock Linux has a page at 65,536 addresses, 64K apart: 32 entries of one table, which
512 entries refer to, and four to that. As a row that is one, with what it repeats.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from ptlive.arrays import U64, Index

#: (times, stride) from the inside outwards; () is once. A stride of 0: at no equal distances.
Repeat: TypeAlias = tuple[tuple[int, int], ...]

#: Fewer than this at equal distances may be chance, and are read as easily line by line.
LEAST = 4


class Repeats:
    """The distinct ways in which some rows repeat, by number; 0 is once."""

    def __init__(self) -> None:
        self.all: list[Repeat] = [()]
        self._number: dict[Repeat, int] = {(): 0}

    def number(self, repeat: Repeat) -> int:
        """Return the number of a way to repeat."""
        if repeat not in self._number:
            self._number[repeat] = len(self.all)
            self.all.append(repeat)
        return self._number[repeat]

    def outer(self, inner: Index, times: Index, stride: U64) -> Index:
        """Repeat what repeats already; all of one length, and so is the result."""
        keys = np.stack([inner.astype(np.uint64), times.astype(np.uint64), stride], axis=1)
        different, which = np.unique(keys, axis=0, return_inverse=True)
        numbers = [
            self.number(_repeated(self.all[number], count, by))
            for number, count, by in different.tolist()
        ]
        return np.array(numbers, dtype=np.intp)[which.reshape(-1)]

    @property
    def times(self) -> U64:
        """How many times each is there, uint64[n]."""
        return np.array([times(repeat) for repeat in self.all], dtype=np.uint64)

    @property
    def reach(self) -> U64:
        """From where the first one of each begins to where the last one does, uint64[n]."""
        last = [sum((count - 1) * by for count, by in repeat) for repeat in self.all]
        return np.array(last, dtype=np.uint64)


class Runs(NamedTuple):
    """Rows that stand in runs of equal distances: the first one of each, how many, how far."""

    first: Index
    times: Index
    stride: U64


def times(repeat: Repeat) -> int:
    """Return how often something is there."""
    total = 1
    for count, _ in repeat:
        total *= count
    return total


def runs(group: Index, position: U64) -> Runs:
    """Find runs of equal distances among positions, ascending within each group.

    What is in no run of `LEAST` or more is a run of its own.
    """
    size = position.size
    link = np.zeros(size + 1, dtype=np.bool_)  # whether row i is linked to row i - 1
    link[1:size] = group[1:] == group[:-1]
    step = np.zeros(size + 1, dtype=np.uint64)
    step[1:size] = position[1:] - position[:-1]
    # A link counts where the one before it or behind it is as long.
    equal = np.zeros(size + 2, dtype=np.bool_)
    equal[1 : size + 1] = link[1:] & link[:-1] & (step[1:] == step[:-1])
    strong = equal[:size] | equal[1 : size + 1]
    begins = ~strong
    begins[1:] |= strong[:-1] & (step[1:size] != step[: size - 1])
    first = np.flatnonzero(begins)
    count = np.diff(np.append(first, size))
    short = np.repeat(count < LEAST, count)
    first = np.flatnonzero(begins | short)
    count = np.diff(np.append(first, size))
    stride = np.where(count > 1, step[np.minimum(first + 1, size)], np.uint64(0))
    return Runs(first, count, stride)


def without_first(repeat: Repeat) -> list[tuple[int, Repeat]]:
    """Return all but the first one: pieces, each moved up and repeating in its own way."""
    return [(by, _repeated(repeat[:at], count - 1, by)) for at, (count, by) in enumerate(repeat)]


def without_last(repeat: Repeat) -> list[tuple[int, Repeat]]:
    """Return all but the last one, as `without_first`."""
    pieces = []
    for at, (count, by) in enumerate(repeat):
        outer = sum((many - 1) * far for many, far in repeat[at + 1 :])
        pieces.append((outer, _repeated(repeat[:at], count - 1, by)))
    return pieces


def _repeated(inner: Repeat, count: int, by: int) -> Repeat:
    if count == 1:
        return inner
    if inner and by and inner[-1][0] * inner[-1][1] == by:
        return (*inner[:-1], (inner[-1][0] * count, inner[-1][1]))
    return (*inner, (count, by))
