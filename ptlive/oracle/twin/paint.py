"""Painted words: a frame's number, as two instructions, as a value, as an absent entry.

    b8 xx xx xx xx    mov $frame, %eax
    41 ff e7          jmp *%r15

Read through a virtual address such a word is the number of the frame that the
MMU used; executed, it returns it. Its bit 0 is clear, so that in an unused entry
of a paging structure it is one more absent entry.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from ptlive.arrays import U64

# "No frame": a value that no painted frame has.
NO_FRAME = np.uint64(0xFFFF_FFFF_FFFF_FFFF)

_CODE = np.uint64(0xE7FF_4100_0000_00B8)
_NUMBER = np.uint64(0x0000_00FF_FFFF_FF00)
_LAST = np.uint64(0xFFFF_FFFF)


def painted(addresses: U64) -> U64:
    """Return the words that name the frames of these physical addresses (below 2^44)."""
    return _CODE | (addresses >> np.uint64(12) << np.uint64(8) & _NUMBER)


def named(words: U64) -> U64:
    """Return the frames (their addresses) that these words name, NO_FRAME for other words."""
    number = (words & _NUMBER) >> np.uint64(8)
    return np.where(words & ~_NUMBER == _CODE, number << np.uint64(12), NO_FRAME)


def returned(values: U64) -> U64:
    """Return the frames that executed words have returned the numbers of."""
    return np.where(values <= _LAST, values << np.uint64(12), NO_FRAME)
