"""Ranges of addresses as the walker takes them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ptlive.arrays import U64


def united(ranges: Iterable[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """Return the same addresses, ascending, each in one range: none is to be counted twice."""
    found: list[tuple[int, int]] = []
    for va, last_va in sorted(ranges):
        if found and va <= found[-1][1] + 1:
            found[-1] = (found[-1][0], max(found[-1][1], last_va))
        else:
            found.append((va, last_va))
    return tuple(found)


def ends(ranges: Sequence[tuple[int, int]]) -> tuple[U64, U64] | None:
    """Return the first and the last addresses, uint64[n] each; None for everything."""
    if not ranges:
        return None
    columns = np.array(ranges, dtype=np.uint64).T
    return columns[0], columns[1]
