"""Which frames are tables, and what reaches them: who can write one can map anything."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ptlive.analysis import find
from ptlive.analysis.find import Spans
from ptlive.paging.select import only

if TYPE_CHECKING:
    from ptlive.analysis.fold import Tables
    from ptlive.arrays import Bool
    from ptlive.paging.format import Format
    from ptlive.paging.graph import Graph


@dataclass(frozen=True, eq=False)
class Reach:
    """By which rights the mappings of a walk reach its tables; columns bool[n], a row a table.

    supervisor: whether some mapping lets the kernel write it; user, user_writes: whether
    user mode reads it, and writes it
    """

    supervisor: Bool
    user: Bool
    user_writes: Bool


def spans_of(fmt: Format, tables: Tables) -> Spans:
    """Return the frames that tables lie in."""
    size = [level.entry_size << level.index_bits for level in fmt.levels]
    last = np.array(size, dtype=np.uint64)[tables.lvl.astype(np.intp) - 1] - np.uint64(1)
    return Spans(tables.pa, tables.pa + last)


def reach(graph: Graph, spans: Spans) -> Reach:
    """Return how the tables in these stretches are reached."""
    fmt, some = graph.fmt, find.mapping(graph, spans)

    def granted(*names: str) -> Bool:
        wanted = np.uint64(sum(fmt.right(name).mask for name in names))
        chosen = only(some, lambda leaf: (leaf.rights & wanted) == wanted)
        reached: Bool = find.counts(chosen, spans) > 0
        return reached

    return Reach(granted("write"), granted("user"), granted("write", "user"))


def at_several_levels(tables: Tables) -> list[int]:
    """Return the frames that are tables of more than one level, by address.

    A root table that is an entry of itself is one at every level.
    """
    pa, count = np.unique(tables.pa, return_counts=True)
    again: list[int] = pa[count > 1].tolist()
    return again
