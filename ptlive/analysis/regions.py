"""Regions: neighbouring pages of equal rights and attributes, merged.

They are built from the bottom of a walk's graph, each node's once however many
paths reach it. So a shadow of 512 GB over a single page is one region at once,
and the pages in it are still counted exactly.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from ptlive.errors import PtliveError
from ptlive.paging import fields
from ptlive.paging.format import Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ptlive.arrays import U8, U64, Bool, Index
    from ptlive.paging.format import Format
    from ptlive.paging.graph import Floor, Graph

TargetOf: TypeAlias = "Callable[[U64, U64], U8]"

LIMIT = 1 << 22
# Leaves that are made rows at once.
_SOME = 1 << 17


@dataclass(frozen=True, eq=False)
class Regions:
    """n regions, by root and then by address.

    owner: which of the walk's roots; va, last_va: ends included; rights (folded)
    and attributes (packed, see `fields`); target: what the pages lie in, in the
    codes of the caller; pa: of the first page; contiguous: whether the frames
    follow each other; pages: uint64[n, len(page_bits)], how many of each size.
    """

    fmt: Format
    page_bits: tuple[int, ...]
    owner: Index
    va: U64
    last_va: U64
    rights: U64
    attributes: U64
    target: U8
    pa: U64
    contiguous: Bool
    pages: U64

    def __len__(self) -> int:
        return self.va.size


@dataclass(frozen=True, eq=False)
class _Rows:
    """Regions of nodes: the owner is the node, va is the offset into what its table spans."""

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

    def take(self, rows: Index) -> _Rows:
        return _Rows(*(getattr(self, name)[rows] for name in self.__dataclass_fields__))

    def moved(self, owner: Index, by: U64) -> _Rows:
        """Return the same rows as regions of other owners, each moved up."""
        rest = (getattr(self, name) for name in list(self.__dataclass_fields__)[3:])
        return _Rows(owner, self.va + by, self.last_va + by, *rest)


def regions(graph: Graph, target: TargetOf, *, split_pa: bool = False) -> Regions:
    """Merge the leaves of a walk into regions.

    target: (pa uint64[n], page_bits uint64[n]) -> uint8[n] says what each page
        lies in; pages in different things are not one region
    split_pa: begin a new region also where the frames do not follow each other

    Raises PtliveError if there are more than `LIMIT` regions.
    """
    sizes = tuple(sorted({int(b) for floor in graph.floors for b in _leaf_sizes(floor)}))
    rows: _Rows | None = None
    for floor in reversed(graph.floors):
        parts = list(_own(floor, sizes, target, split_pa))
        if rows is not None:
            down = np.flatnonzero(floor.kind == Kind.TABLE)
            parts.append(_reached(rows, floor.child[down], floor.node[down], floor.offset(down)))
        rows = _merge(_concatenate(parts, sizes), split_pa)
    tops = graph.tops
    if rows is None:
        rows = _empty(sizes)
    rows = _reached(rows, tops.node, tops.space, tops.base)
    rows = _merge(rows, split_pa)
    return Regions(
        graph.fmt,
        sizes,
        rows.owner,
        rows.va,
        rows.last_va,
        rows.rights,
        rows.attributes,
        rows.target,
        rows.pa,
        rows.contiguous,
        rows.pages,
    )


def _leaf_sizes(floor: Floor) -> U64:
    return np.unique(floor.leaf_bits(np.flatnonzero(floor.kind == Kind.LEAF)))


def _own(floor: Floor, sizes: tuple[int, ...], target: TargetOf, split_pa: bool) -> Iterator[_Rows]:
    """Yield a floor's own leaves, merged, some at a time: most are merged away at once."""
    leaf = np.flatnonzero(floor.kind == Kind.LEAF)
    for at in range(0, leaf.size, _SOME):
        yield _merge(_leaves(floor, leaf[at : at + _SOME], sizes, target), split_pa)


def _leaves(floor: Floor, leaf: Index, sizes: tuple[int, ...], target: TargetOf) -> _Rows:
    """Return some of a floor's leaves as rows."""
    entry, bits = floor.entry[leaf], floor.leaf_bits(leaf)
    last = (np.uint64(1) << bits) - np.uint64(1)
    va = floor.offset(leaf) & ~last
    pa = floor.fmt.level(floor.lvl).leaf_address(entry)
    pages = np.zeros((leaf.size, len(sizes)), dtype=np.uint64)
    pages[np.arange(leaf.size), np.searchsorted(np.array(sizes, dtype=np.uint64), bits)] = 1
    return _Rows(
        owner=floor.node[leaf],
        va=va,
        last_va=va + last,
        rights=floor.rights[leaf],
        attributes=fields.pack_attributes(floor.fmt, floor.lvl, entry),
        target=target(pa, bits),
        pa=pa,
        last_pa=pa + last,
        contiguous=np.ones(leaf.size, dtype=np.bool_),
        pages=pages,
    )


def _reached(rows: _Rows, node: Index, owner: Index, offset: U64) -> _Rows:
    """Return the rows of each of these nodes, as rows of its owner at an offset."""
    begin = np.searchsorted(rows.owner, node)
    count = np.searchsorted(rows.owner, node, side="right") - begin
    if count.sum() > LIMIT:
        raise PtliveError(f"there are more than {LIMIT} regions; ask for a range of addresses")
    owner, offset = np.repeat(owner, count), np.repeat(offset, count)
    once = owner.size == rows.va.size and (begin[1:] == (begin + count)[:-1]).all()
    if once and not begin[:1].any():
        return rows.moved(owner, offset)  # as in a tree: each once, and in order
    chosen = np.repeat(begin - np.cumsum(count) + count, count) + np.arange(count.sum())
    return rows.take(chosen).moved(owner, offset)


def _concatenate(parts: list[_Rows], sizes: tuple[int, ...]) -> _Rows:
    if len(parts) < 2:
        return parts[0] if parts else _empty(sizes)
    names = _Rows.__dataclass_fields__
    return _Rows(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


def _merge(rows: _Rows, split_pa: bool) -> _Rows:
    """Sort rows and join those that are neighbours and alike."""
    if not rows.va.size:
        return rows
    behind = (rows.owner[1:] == rows.owner[:-1]) & (rows.va[1:] <= rows.va[:-1])
    if behind.any() or (rows.owner[1:] < rows.owner[:-1]).any():
        rows = rows.take(np.lexsort((rows.va, rows.owner)))
    follows = rows.pa[1:] == rows.last_pa[:-1] + np.uint64(1)
    begins = np.ones(rows.va.size, dtype=np.bool_)
    begins[1:] = rows.va[1:] != rows.last_va[:-1] + np.uint64(1)
    for column in (rows.owner, rows.rights, rows.attributes, rows.target):
        begins[1:] |= column[1:] != column[:-1]
    if split_pa:
        begins[1:] |= ~follows
    if begins.all():
        return rows
    first = np.flatnonzero(begins)
    last = np.append(first[1:], rows.va.size) - 1
    unbroken = rows.contiguous.copy()
    unbroken[1:] &= follows | begins[1:]
    merged = rows.take(first)
    return _Rows(
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
    )


def _empty(sizes: tuple[int, ...]) -> _Rows:
    """Return no rows."""
    none = np.zeros(0, dtype=np.uint64)
    return _Rows(
        np.zeros(0, dtype=np.intp),
        none,
        none,
        none,
        none,
        np.zeros(0, dtype=np.uint8),
        none,
        none,
        np.zeros(0, dtype=np.bool_),
        np.zeros((0, len(sizes)), dtype=np.uint64),
    )
