"""Which entries of the guest's root table the prober borrows.

One is its home; what is asked below that one is asked from below the other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ptlive.errors import PtliveError
from ptlive.oracle.twin.fork import ENTRIES, FRAME
from ptlive.oracle.twin.script import Poke, Probe
from ptlive.oracle.twin.window import PRESENT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ptlive.arrays import U64, Bool
    from ptlive.oracle.twin.fork import Fork
    from ptlive.oracle.twin.script import Step


def root_shift(levels: int) -> int:
    """Return the lowest bit of the root's index in an address."""
    return 12 + 9 * (levels - 1)


def root_index(addresses: U64, levels: int) -> U64:
    """Return which root entry each virtual address uses."""
    return addresses >> np.uint64(root_shift(levels)) & np.uint64(ENTRIES - 1)


def base(slot: int, levels: int) -> int:
    """Return the lowest virtual address below a root entry."""
    shift = root_shift(levels)
    sign = slot >> 8 & 1
    return (slot << shift) - (sign << shift + 9) & (1 << 64) - 1


def choose_slots(root: U64, used: U64, forbidden: Bool) -> tuple[int, int]:
    """Return the root entry to borrow, and another for what lies below the first one.

    root: the guest's root table; used: how many addresses are asked below each
    entry; forbidden: entries that must not be borrowed. The best is absent and
    not asked about. Raises PtliveError if there are not two to choose from.
    """
    present = (root & np.uint64(PRESENT)).astype(bool)
    order = np.lexsort((used, used > 0, present))
    free = [int(slot) for slot in order if not forbidden[slot]]
    if len(free) < 2:
        raise PtliveError("the script writes to every entry of the root: nothing to borrow")
    return free[0], free[1]


@dataclass(frozen=True)
class Borrowed:
    """The two root entries that the prober takes in turn, and the guest's values there."""

    slots: tuple[int, int]
    original: tuple[int, int]


def borrow(
    fork: Fork, root: U64, script: Sequence[Step], slots: tuple[int, int] | None = None
) -> Borrowed:
    """Return which root entries to borrow for a script, given the root table.

    slots: those that somebody chose already. Raises PtliveError if the script writes to them,
    or to every entry.
    """
    levels = fork.control.levels
    asked = np.zeros(ENTRIES, dtype=np.uint64)
    forbidden = np.zeros(ENTRIES, dtype=bool)
    for step in script:
        written = np.zeros(0, dtype=np.uint64)
        if isinstance(step, Probe):
            index = root_index(step.addresses, levels).astype(np.intp)
            asked += np.bincount(index, minlength=ENTRIES).astype(np.uint64)
            written = written if step.homes is None else step.homes
        elif isinstance(step, Poke):
            written = step.addresses
        in_root = written[written & ~np.uint64(FRAME - 1) == np.uint64(fork.root_frame)]
        forbidden[(in_root % np.uint64(FRAME) // np.uint64(8)).astype(np.intp)] = True
    if slots is None:
        slots = choose_slots(root, asked, forbidden)
    elif forbidden[list(slots)].any():
        raise PtliveError("the script writes to an entry of the root that is to be borrowed")
    return Borrowed(slots, (int(root[slots[0]]), int(root[slots[1]])))
