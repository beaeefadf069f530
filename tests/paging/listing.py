"""What a walk found as plain tuples, to be held against a scalar walk's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from ptlive.paging import paths, rights
from ptlive.paging.format import Kind

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ptlive.paging.format import Format
    from ptlive.paging.graph import Graph

Row: TypeAlias = tuple[Any, ...]  # integers, and a kind's name or booleans for rights
NAMES = {int(kind): kind.name.lower() for kind in Kind}
U64_COLUMNS = ("va", "last_va", "entry", "entry_pa", "rights", "pa")


def columns(chunks: Iterable[paths.Paths], *names: str) -> list[Row]:
    """Return these columns of all chunks, a tuple for each path."""
    rows: list[Row] = []
    for chunk in chunks:
        assert all(getattr(chunk, name).dtype == np.uint64 for name in U64_COLUMNS)
        rows += zip(*(getattr(chunk, name).tolist() for name in names), strict=True)
    return rows


def leaves(
    fmt: Format, graph: Graph, names: Sequence[str] = ("write", "user", "execute")
) -> list[Row]:
    """Return (va, last_va, level, pa, entry_pa, entry, *rights by name) of all leaves."""
    found = []
    for chunk in paths.leaves(graph):
        granted = [rights.granted(fmt, chunk.rights, name).tolist() for name in names]
        rows = columns([chunk], "va", "last_va", "lvl", "pa", "entry_pa", "entry")
        found += [(*row, *each) for row, *each in zip(rows, *granted, strict=True)]
    return found


def holes(graph: Graph) -> list[Row]:
    """Return (va, last_va, level, entry_pa, entry, kind) of all holes."""
    rows = columns(paths.holes(graph), "va", "last_va", "lvl", "entry_pa", "entry", "kind")
    return [(*row[:5], NAMES[row[5]]) for row in rows]


def touching(rows: list[Row], va: int, last_va: int) -> list[Row]:
    """Return the rows that have an address in common with a range."""
    return [row for row in rows if row[0] <= last_va and row[1] >= va]
