"""Ranges of addresses as the walker takes them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ptlive.arrays import U64


def ends(ranges: Sequence[tuple[int, int]]) -> tuple[U64, U64] | None:
    """Return the first and the last addresses, uint64[n] each; None for everything."""
    if not ranges:
        return None
    columns = np.array(ranges, dtype=np.uint64).T
    return columns[0], columns[1]
