"""Which entries accesses go through, looked up in a walk's graph without walking again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ptlive.paging.translate import lookup

if TYPE_CHECKING:
    from ptlive.arrays import U64
    from ptlive.paging.graph import Graph


def used_entries(graph: Graph, va: U64) -> U64:
    """Return the physical addresses of all entries on the paths of these addresses, ascending."""
    # Those above the leaf are few: the same for neighbours.
    found = [np.zeros(0, dtype=np.uint64)]
    for step in lookup(graph, distinct(va)).steps:
        changes = np.ones(step.entry_pa.size, dtype=np.bool_)
        changes[1:] = step.entry_pa[1:] != step.entry_pa[:-1]
        found.append(step.entry_pa[changes])
    return distinct(np.concatenate(found))


def distinct(values: U64) -> U64:
    """Return distinct values, ascending. For millions, sorting is faster than np.unique."""
    ascending = np.sort(values)
    new = np.ones(ascending.size, dtype=np.bool_)
    new[1:] = ascending[1:] != ascending[:-1]
    found: U64 = ascending[new]
    return found
