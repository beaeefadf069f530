"""Areas of a known system as ranges: those that are named, and where regions end at them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ptlive.errors import PtliveError

if TYPE_CHECKING:
    from ptlive.analysis.profile import Profile
    from ptlive.arrays import U64

LAST = (1 << 64) - 1


def chosen_ranges(
    profile: Profile | None, names: tuple[str, ...], ranges: tuple[tuple[int, int], ...]
) -> tuple[tuple[int, int], ...]:
    """Return the areas whose names begin so, cut to ranges, if there are any.

    Raises PtliveError if there is no profile or no such area.
    """
    if profile is None:
        raise PtliveError("an area is of a system that is known, and this one is not")
    found = []
    for name in names:
        here = [area for area in profile.areas if _plain(area.name).startswith(_plain(name))]
        if not here:
            known = ", ".join(dict.fromkeys(_plain(area.name) for area in profile.areas))
            raise PtliveError(f"there is no area {name!r}; known are {known}")
        found += [(area.va, area.last_va) for area in here]
    if ranges:
        found = [
            (max(va, first), min(last_va, last))
            for va, last_va in found
            for first, last in ranges
            if va <= last and first <= last_va
        ]
        if not found:
            raise PtliveError("none of these ranges has an address in these areas")
    return tuple(dict.fromkeys(found))


def cuts_of(profile: Profile | None) -> U64 | None:
    """Return the addresses at which an area begins or another may."""
    if profile is None:
        return None
    cuts = {area.va for area in profile.areas} | {area.last_va + 1 for area in profile.areas}
    return np.array(sorted(cut for cut in cuts if 0 < cut <= LAST), dtype=np.uint64)


def _plain(name: str) -> str:
    """Return a name as it is typed: no capitals, no spaces."""
    return "-".join(name.lower().replace(",", "").replace("-", " ").split())
