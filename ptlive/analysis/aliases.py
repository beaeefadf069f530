"""The linear addresses by which entries of page tables can be written."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ptlive.analysis.find import Spans, find
from ptlive.analysis.fold import fold
from ptlive.paging import rights

if TYPE_CHECKING:
    from ptlive.arrays import U64
    from ptlive.paging.graph import Graph


class Alias(NamedTuple):
    """A linear address that reaches an entry, and whether it may be written there."""

    va: int
    writable: bool


class Aliases(NamedTuple):
    """The aliases of one entry, ascending, of at most so many as were wanted; number: of all."""

    listed: tuple[Alias, ...]
    number: int


def aliases(graph: Graph, entry_pa: U64, size: int, limit: int) -> list[Aliases]:
    """Return what reaches entries of `size` bytes, uint64[n], in any of a walk's spaces.

    Of an address that several spaces have it is enough if one of them lets it be written.
    limit: how many mappings of each entry are looked at
    """
    spans = Spans(entry_pa, entry_pa + np.uint64(size - 1))
    found = find(fold(graph).graph, spans, limit)  # what roots have in common is listed once
    rows = found.mappings
    granted = [rights.names(graph.fmt, value)["write"] for value in rows.rights.tolist()]
    made: list[dict[int, bool]] = [{} for _ in range(entry_pa.size)]
    for span, va, writable in zip(rows.span.tolist(), rows.va.tolist(), granted, strict=True):
        made[span][va] = made[span].get(va, False) or writable
    return [
        Aliases(tuple(Alias(va, one[va]) for va in sorted(one)), int(count))
        for one, count in zip(made, found.count.tolist(), strict=True)
    ]
