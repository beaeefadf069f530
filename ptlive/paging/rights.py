"""Rights folded along the path from the root to the leaf.

Folded rights are kept where the entries have their bits, one uint64 a path,
with a set bit for "granted": folding a level is then three operations on whole
arrays, and a denied right costs nothing to find.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ptlive.paging.format import Fold

if TYPE_CHECKING:
    from ptlive.arrays import U64, Bool
    from ptlive.paging.format import Format


def unrestricted(fmt: Format) -> int:
    """Return the folded rights of an empty path."""
    return int(fmt.right_masks.every)


def fold(fmt: Format, above: U64, entries: U64) -> U64:
    """Fold entries into the rights of the paths above them.

    above, entries: uint64[n], the entries as `Level.rights` returns them; returns
    uint64[n]. Rights that the leaf alone decides are those of `entries`; see `inherited`
    for what a table passes on.
    """
    masks = fmt.right_masks
    granted = entries ^ masks.invert
    if not masks.any and not masks.leaf:
        granted &= above
        return granted
    folded: U64 = (above & granted & masks.every) | ((above | granted) & masks.any)
    return folded | (granted & masks.leaf)


def inherited(fmt: Format, folded: U64) -> U64:
    """Keep of folded rights what a table entry passes on to the level below."""
    masks = fmt.right_masks
    return folded & (masks.every | masks.any)


def granted(fmt: Format, folded: U64, name: str) -> Bool:
    """Tell for which of these folded rights the right called `name` is granted."""
    yes: Bool = (folded & np.uint64(fmt.right(name).mask)) != 0
    return yes


def names(fmt: Format, folded: int) -> dict[str, bool]:
    """Return each right's name and whether it is granted."""
    return {right.name: bool(folded & right.mask) for right in fmt.rights}


def denied_by(fmt: Format, path: list[tuple[int, int]]) -> dict[str, int | None]:
    """Return for each right the level that denies it, the first from the root.

    path: (level, entry) from the root to the leaf. A right that the path
    grants has None; one that no entry grants (fold "or") is denied by the leaf.
    """
    result: dict[str, int | None] = {}
    own = [(lvl, int(fmt.level(lvl).rights(np.array([e], np.uint64))[0])) for lvl, e in path]
    for right in fmt.rights:
        grants = [(lvl, bool(entry & right.mask) != right.set_denies) for lvl, entry in own]
        if right.fold is Fold.AND:
            denying = [lvl for lvl, granted in grants if not granted]
            result[right.name] = denying[0] if denying else None
        elif right.fold is Fold.OR:
            result[right.name] = None if any(g for _, g in grants) else grants[-1][0]
        else:
            result[right.name] = None if grants[-1][1] else grants[-1][0]
    return result
