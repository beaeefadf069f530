"""Numbers as callers give them: Python's or numpy's integers, in range, or a PtliveError."""

from __future__ import annotations

from collections.abc import Iterable
from operator import index
from typing import TYPE_CHECKING

import numpy as np

from ptlive.errors import PtliveError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from ptlive.arrays import U64

LAST = (1 << 64) - 1


def number(value: object, what: str, first: int = 0, last: int = LAST) -> int:
    """Return an integer of Python's or numpy's as one of Python's.

    what: the subject of the error's sentence; first, last: between which it must be, included.
    2.0 and "0x1000" are none: what was rounded, or is a text, is somebody's mistake.

    Raises PtliveError for what is no integer, and for one that is out of range.
    """
    try:
        found = index(value)  # type: ignore[arg-type]  # whether it is an index, is the question
    except TypeError:
        raise PtliveError(f"{what} is an integer, and no {type(value).__name__}") from None
    if not first <= found <= last:
        raise PtliveError(f"{what} is from {first} to {last:#x}, and not {found:#x}")
    return found


def address_array(va: npt.ArrayLike | Sequence[int]) -> U64:
    """Return addresses as uint64[n]. Raises PtliveError for what is none."""
    if isinstance(va, np.ndarray) and va.dtype == np.uint64:
        return va.reshape(-1)
    if isinstance(va, np.ndarray) and va.dtype.kind == "u":
        return va.reshape(-1).astype(np.uint64)
    # As objects: an array of integers on both sides of 2**63 would be one of floats.
    some = np.atleast_1d(np.asarray(va, dtype=object)).reshape(-1)
    return np.array([number(one, "an address") for one in some], dtype=np.uint64)


def range_of(pair: object, what: str) -> tuple[int, int]:
    """Return a range as `(first, last)`, both included.

    Raises PtliveError for what is no pair of addresses in this order.
    """
    if not isinstance(pair, Iterable) or len(ends := tuple(pair)) != 2:
        raise PtliveError(f"a range of {what} is a pair (first, last), both included")
    one, other = (number(end, "an address") for end in ends)
    if one > other:
        raise PtliveError(f"{one:#x}..{other:#x} is no range of {what}: it ends before it begins")
    return one, other
