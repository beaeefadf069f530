"""Rows of which regions are made: columns, sorted by owner and address, and how they merge."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ptlive.arrays import changes

if TYPE_CHECKING:
    from ptlive.arrays import U8, U64, Bool, Index


@dataclass(frozen=True, eq=False)
class Rows:
    """Regions of nodes: the owner is the node, va is the offset into what its table spans.

    repeat: how each repeats, by number (see `repeat`); all else is of the first one
    """

    owner: Index
    va: U64
    last_va: U64
    rights: U64
    attributes: U64
    target: U8
    pa: U64
    last_pa: U64
    contiguous: Bool
    pages: U64
    repeat: Index

    def __len__(self) -> int:
        return self.va.size

    def take(self, rows: Index | Bool) -> Rows:
        """Return these rows."""
        return Rows(*(getattr(self, name)[rows] for name in NAMES))

    def repeated(self, repeat: Index) -> Rows:
        """Return the same rows, each repeating as these numbers say."""
        return replace(self, repeat=repeat)

    def moved(self, owner: Index, by: U64) -> Rows:
        """Return the same rows as regions of other owners, each moved up."""
        rest = (getattr(self, name) for name in NAMES[3:])
        return Rows(owner, self.va + by, self.last_va + by, *rest)


NAMES = tuple(Rows.__dataclass_fields__)


class Cuts(NamedTuple):
    """Addresses of a floor at which no region goes on, sorted: nodes, offsets into their spans."""

    node: Index
    offset: U64


NO_CUTS = Cuts(np.zeros(0, dtype=np.intp), np.zeros(0, dtype=np.uint64))


def concatenate(parts: list[Rows], sizes: tuple[int, ...]) -> Rows:
    """Join rows; sizes: of what pages, in bits, `pages` counts."""
    if len(parts) < 2:
        return parts[0] if parts else empty(sizes)
    return Rows(*(np.concatenate([getattr(part, name) for part in parts]) for name in NAMES))


def ordered(rows: Rows) -> Rows:
    """Sort rows by owner and address."""
    behind = (rows.owner[1:] == rows.owner[:-1]) & (rows.va[1:] <= rows.va[:-1])
    if behind.any() or (rows.owner[1:] < rows.owner[:-1]).any():
        return rows.take(np.lexsort((rows.va, rows.owner)))
    return rows


def merge(rows: Rows, split_pa: bool, cuts: Cuts = NO_CUTS) -> Rows:
    """Sort rows and join those that are neighbours and alike, wherever they repeat."""
    if not len(rows):
        return rows
    rows = ordered(rows)
    follows = rows.pa[1:] == rows.last_pa[:-1] + np.uint64(1)
    begins = changes(rows.owner, rows.rights, rows.attributes, rows.target, rows.repeat)
    begins[1:] |= rows.va[1:] != rows.last_va[:-1] + np.uint64(1)
    if split_pa:
        begins[1:] |= ~follows
    begins[_at(rows, cuts)] = True
    if begins.all():
        return rows
    first = np.flatnonzero(begins)
    last = np.append(first[1:], len(rows)) - 1
    unbroken = rows.contiguous.copy()
    unbroken[1:] &= follows | begins[1:]
    merged = rows.take(first)
    return Rows(
        merged.owner,
        merged.va,
        rows.last_va[last],
        merged.rights,
        merged.attributes,
        merged.target,
        merged.pa,
        rows.last_pa[last],
        np.logical_and.reduceat(unbroken, first),
        np.add.reduceat(rows.pages, first, axis=0),
        merged.repeat,
    )


def _at(rows: Rows, cuts: Cuts) -> Index:
    """Return the rows, sorted, that are the first behind a cut."""
    found = []
    for node, offset in zip(cuts.node.tolist(), cuts.offset.tolist(), strict=True):
        begin, end = np.searchsorted(rows.owner, [node, node + 1]).tolist()
        at = begin + int(np.searchsorted(rows.va[begin:end], np.uint64(offset)))
        if at < end:
            found.append(at)
    return np.array(found, dtype=np.intp)


def segment(cuts: Cuts, node: Index, offset: U64) -> Index:
    """Return how many cuts of its node lie at or below each offset."""
    count = np.zeros(node.size, dtype=np.intp)
    for cut, at in zip(cuts.node.tolist(), cuts.offset.tolist(), strict=True):
        count += (node == cut) & (offset >= np.uint64(at))
    return count


def empty(sizes: tuple[int, ...]) -> Rows:
    """Return no rows."""
    none, nowhere = np.zeros(0, dtype=np.uint64), np.zeros(0, dtype=np.intp)
    return Rows(
        nowhere,
        none,
        none,
        none,
        none,
        np.zeros(0, dtype=np.uint8),
        none,
        none,
        np.zeros(0, dtype=np.bool_),
        np.zeros((0, len(sizes)), dtype=np.uint64),
        nowhere,
    )
