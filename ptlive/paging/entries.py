"""Some entries of a floor with all that is known of them, computed when it is asked for."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import numpy as np

from ptlive.paging import rights
from ptlive.paging.format import Kind

if TYPE_CHECKING:
    import numpy.typing as npt

    from ptlive.arrays import U8, U64, Bool, Index
    from ptlive.paging.graph import Floor, Graph

_T = TypeVar("_T", bound=np.generic)


class Ways(NamedTuple):
    """Paths to nodes of one floor; columns of length n.

    node; base: linear address of the first byte that its table spans; top: where the
    path began, a row of the graph's tops.
    """

    node: Index
    base: U64
    top: Index

    def take(self, rows: Index | slice) -> Ways:
        """Return these rows."""
        return Ways(self.node[rows], self.base[rows], self.top[rows])


class PathEntries:
    """The entries of some kinds that the nodes at the ends of some paths have.

    Each property is a column of `paths.Paths`, with a row for each entry of each path.
    """

    def __init__(self, graph: Graph, floor: Floor, ways: Ways, kinds: tuple[Kind, ...]) -> None:
        self._tops, self._floor, self._ways = graph.tops, floor, ways
        self._level = floor.fmt.level(floor.lvl)
        self._position, self._edge, self._owned = floor.select(ways.node, kinds)
        self._all_edges = Kind.ABSENT not in kinds

    def __len__(self) -> int:
        return self._position.size

    @property
    def top(self) -> Index:
        """Where each path began."""
        return self._whole(self._each(self._ways.top))

    @property
    def space(self) -> Index:
        """Which of the walk's roots."""
        return self._whole(self._each(self._tops.space[self._ways.top]))

    @property
    def va(self) -> U64:
        """The first address that an entry spans."""
        shift = self._floor.nodes.shift[self._ways.node]
        va = self._number << self._each(shift)
        va += self._each(self._ways.base + (self._zero << shift))
        if self._level.leaf_bits:
            # A leaf of several entries begins at the first of them, in range or not.
            va &= ~((np.uint64(1) << self._bits) - np.uint64(1))
        return va

    @property
    def bits(self) -> U8:
        """log2 of the bytes that an entry spans."""
        return self._whole(self._bits.astype(np.uint8))

    @property
    def lvl(self) -> U8:
        """The level."""
        return np.full(len(self), self._floor.lvl, np.uint8)

    @property
    def entry_pa(self) -> U64:
        """Where an entry stands."""
        size = np.uint64(self._level.entry_size)
        place = self._number * size
        place += self._each(self._floor.nodes.table[self._ways.node] + self._zero * size)
        return place

    @property
    def kind(self) -> U8:
        """What an entry is."""
        if self._all_edges:
            return self._floor.kind[self._edge]
        kind = np.full(len(self), Kind.ABSENT, dtype=np.uint8)
        kind[self._present] = self._floor.kind[np.asarray(self._edge)[self._present]]
        return kind

    @cached_property
    def entry(self) -> U64:
        """The entries themselves."""
        if self._all_edges:
            return self._floor.entry[self._edge]
        return self._floor.value(self._position)

    @property
    def rights(self) -> U64:
        """Rights folded over the path, with those of a present entry."""
        fmt, above = self._floor.fmt, self._each(self._floor.nodes.rights[self._ways.node])
        own = self._level.rights(self.entry)
        if self._all_edges:
            return rights.fold(fmt, above, own)
        folded = np.array(np.broadcast_to(above, own.shape))
        present = self._present
        folded[present] = rights.fold(fmt, folded[present], own[present])
        return folded

    @property
    def pa(self) -> U64:
        """What a leaf maps at its first address; 0 for a hole."""
        leaf, pa = self._leaf, self._level.leaf_address(self.entry)
        return pa if leaf.all() else np.where(leaf, pa, np.uint64(0))

    @cached_property
    def _number(self) -> U64:
        """The positions, with which the columns that follow them are computed."""
        return self._position.view(np.uint64)

    @cached_property
    def _zero(self) -> U64:
        """Of each way the index of the entry at position 0, if its node had that one."""
        nodes, node = self._floor.nodes, self._ways.node
        zero: U64 = (nodes.first >> nodes.shift)[node] - self._floor.start[node].view(np.uint64)
        return zero

    @cached_property
    def _leaf(self) -> Bool:
        leaf: Bool = self.kind == np.uint8(Kind.LEAF)
        return leaf

    @cached_property
    def _present(self) -> Index:
        """Which rows are edges."""
        return np.flatnonzero(np.asarray(self._edge) >= 0)

    @cached_property
    def _bits(self) -> U64:
        """log2 of the bytes that each entry spans, or that they all do."""
        bits: U64 = self._each(self._floor.nodes.shift[self._ways.node])
        if self._level.leaf_bits:
            grouped = np.maximum(self._level.leaf_bits(self.entry), bits)
            bits = np.where(self._leaf, grouped, bits)
        return bits

    def _each(self, column: npt.NDArray[_T]) -> npt.NDArray[_T]:
        """Give a column of the ways to their entries; one value stands for equal ones."""
        if (column == column[:1]).all():
            return column[:1]
        return np.repeat(column, self._owned)

    def _whole(self, column: npt.NDArray[_T]) -> npt.NDArray[_T]:
        """Give what `_each` returned the length of all entries."""
        return column if column.size == len(self) else np.full(len(self), column, column.dtype)
