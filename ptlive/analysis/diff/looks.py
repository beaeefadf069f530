"""What leaves look like: all that a difference between two of them is told by."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ptlive.paging import fields

if TYPE_CHECKING:
    from ptlive.arrays import U64, Index
    from ptlive.paging.format import Format, Level
    from ptlive.paging.graph import Floor

# Formats name so what the MMU writes into a leaf.
MARKS = ("A", "D")


class Looks(NamedTuple):
    """Leaves and bad entries, or pieces of larger ones; all columns uint64[n].

    pa: of the first byte; bits: log2 of the page's size, of which this may be a piece;
    rights (folded), attributes (packed), marks (packed: the first of `MARKS` is bit 0);
    software: the entry's bits that mean nothing to the MMU; kind: of `Kind`. What is no
    leaf has nothing but its kind
    """

    pa: U64
    bits: U64
    rights: U64
    attributes: U64
    marks: U64
    software: U64
    kind: U64

    def take(self, rows: Index) -> Looks:
        """Return these rows."""
        return Looks(*(column[rows] for column in self))

    def at(self, offset: U64) -> Looks:
        """Return the pieces that begin so many bytes further."""
        return self._replace(pa=self.pa + offset)

    @staticmethod
    def none() -> Looks:
        """Return no rows."""
        return Looks(*[np.zeros(0, dtype=np.uint64)] * len(Looks._fields))

    @staticmethod
    def concatenate(parts: list[Looks]) -> Looks:
        """Join several."""
        return Looks(*map(np.concatenate, zip(Looks.none(), *parts, strict=True)))

    def distinct(self) -> tuple[Looks, Index]:
        """Return the different rows, and which of them each row is."""
        if not self.pa.size:
            return self, np.zeros(0, dtype=np.intp)
        rows, which = np.unique(np.stack(self, axis=1), axis=0, return_inverse=True)
        return Looks(*rows.T), which.reshape(-1)


def of_edges(floor: Floor, edges: Index) -> Looks:
    """Return what some leaf edges of a floor look like."""
    fmt, level, entry = floor.fmt, floor.fmt.level(floor.lvl), floor.entry[edges]
    return Looks(
        pa=level.leaf_address(entry),
        bits=floor.leaf_bits(edges),
        rights=floor.rights[edges],
        attributes=fields.pack_attributes(fmt, floor.lvl, entry),
        marks=_marks(level, entry),
        software=entry & np.uint64(_ignored(fmt, level)),
        kind=floor.kind[edges].astype(np.uint64),
    )


def _marks(level: Level, entry: U64) -> U64:
    packed = np.zeros_like(entry)
    for number, name in enumerate(MARKS):
        for field in level.fields:
            if field.name == name and field.leaves:
                packed |= ((entry & np.uint64(field.mask)) != 0).astype(np.uint64) << np.uint64(
                    number
                )
    return packed


def _ignored(fmt: Format, level: Level) -> int:
    """Return the bits of a leaf that are neither address nor of any field or right."""
    ones = (1 << 8 * level.entry_size) - 1
    address = int(level.leaf_address(np.array([ones], dtype=np.uint64))[0])
    known = address | level.reserved_leaf
    for mask in [*(f.mask for f in level.fields if f.leaves), *(r.mask for r in fmt.rights)]:
        known |= mask
    return ones & ~known
