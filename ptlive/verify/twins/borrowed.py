"""Which root entries the prober borrows in a twin, and which addresses show them.

In the twin these two hold the prober's own tables. Where tables refer to the root (a
self-map), its entries are also entries of levels below, and these two are not the guest's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ptlive.oracle.twin.borrow import choose_slots, root_index
from ptlive.oracle.twin.fork import ENTRIES, FRAME
from ptlive.paging.translate import NOT_TRANSLATED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ptlive.arrays import U64, Bool
    from ptlive.paging.translate import Translations
    from ptlive.space import AddressSpace

_ENTRY = np.uint64(8)


def slots_of(space: AddressSpace, asked: Sequence[Translations]) -> tuple[int, int]:
    """Choose the two root entries that are least in the way of what is asked of one twin."""
    used = np.zeros(ENTRIES, dtype=np.uint64)
    for found in asked:
        in_root = _below(space, found) & (found.entry_pa - space.root[0] < np.uint64(FRAME))
        shown = (found.entry_pa[in_root] - space.root[0]) // _ENTRY
        for slots in (shown, root_index(found.va, space.format.top)):
            used += np.bincount(slots.astype(np.intp), minlength=ENTRIES).astype(np.uint64)
    return choose_slots(_root(space), used, np.zeros(ENTRIES, dtype=np.bool_))


def entries_of(space: AddressSpace, slots: tuple[int, int]) -> U64:
    """Return the physical addresses of these root entries."""
    entries: U64 = space.root[0] + np.array(slots, dtype=np.uint64) * _ENTRY
    return entries


def shows(space: AddressSpace, slots: tuple[int, int], found: Translations) -> Bool:
    """Tell which addresses use a borrowed entry as one of a level below the root, bool[n]."""
    entries = entries_of(space, slots)
    shown: Bool = _below(space, found) & np.isin(found.entry_pa, entries)
    if space.format.present(_root(space)[list(slots)]).any():
        # A root without two absent entries: then paths lead on through the borrowed ones.
        for step in space.translate(found.va).steps:
            if step.lvl < space.format.top:
                shown[step.row[np.isin(step.entry_pa, entries)]] = True
    return shown


def _below(space: AddressSpace, found: Translations) -> Bool:
    """Tell which paths end below the root's level."""
    below: Bool = (found.kind != NOT_TRANSLATED) & (found.lvl < space.format.top)
    return below


def _root(space: AddressSpace) -> U64:
    data, _ = space.memory.read(space.root, FRAME)
    entries: U64 = data.view("<u8")[0].astype(np.uint64, copy=False)
    return entries
