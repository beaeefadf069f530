"""Several address spaces walked as one, so that what they share is read once."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ptlive.memory.told import ToldMemory
from ptlive.paging.walk import walk

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ptlive.paging.graph import Graph
    from ptlive.space import AddressSpace


class Together(NamedTuple):
    """Address spaces of one format and the walk of them all; its spaces are in this order."""

    spaces: list[AddressSpace]
    graph: Graph


def walk_together(
    spaces: Sequence[AddressSpace], progress: Callable[[str, int, int], None]
) -> list[Together]:
    """Walk address spaces over everything, those of one format in one walk.

    progress: told (what, done, all). Raises PtliveError for a root that cannot be read.
    """
    groups = [[spaces[at] for at in group] for group in alike(spaces)]
    return [Together(group, _walk(group, progress)) for group in groups]


def alike(spaces: Sequence[AddressSpace]) -> list[list[int]]:
    """Return which spaces can be walked as one: those of one format in one memory."""
    groups: list[list[int]] = []
    for at, space in enumerate(spaces):
        for group in groups:
            first = spaces[group[0]]
            if first.format == space.format and first.memory is space.memory:
                group.append(at)
                break
        else:
            groups.append([at])
    return groups


def _walk(group: list[AddressSpace], progress: Callable[[str, int, int], None]) -> Graph:
    roots = np.stack([space.root for space in group])
    return walk(group[0].format, ToldMemory(group[0].memory, progress), roots)
