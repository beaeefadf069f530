"""A part of what a walk found: the same graph with only some of its leaves.

Whatever is made of a graph (leaves with their addresses, regions, exact counts) can so be
made of the pages of one frame, of one size, or of those that are writable and executable,
and costs no more than the tables do, however many paths reach them.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ptlive.paging.fields import leaf_field
from ptlive.paging.format import Kind

if TYPE_CHECKING:
    from collections.abc import Callable

    from ptlive.arrays import U8, U64, Bool, Index
    from ptlive.paging.graph import Floor, Graph


class Leaves(NamedTuple):
    """Leaf entries of one floor, n rows: each node's once, not once for each path.

    edge: intp[n], which of the floor's edges
    """

    floor: Floor
    edge: Index

    @property
    def node(self) -> Index:
        """The node that each stands in, intp[n]."""
        return self.floor.node[self.edge]

    @property
    def paths(self) -> U64:
        """By how many paths each is reached, uint64[n]."""
        return self.floor.nodes.paths[self.node]

    @property
    def entry(self) -> U64:
        """The entries, uint64[n]."""
        return self.floor.entry[self.edge]

    @property
    def rights(self) -> U64:
        """Their rights, folded over the path, uint64[n]; see `ptlive.paging.rights`."""
        return self.floor.rights[self.edge]

    @property
    def bits(self) -> U8:
        """log2 of the bytes that each maps, uint8[n]."""
        return self.floor.leaf_bits(self.edge).astype(np.uint8)

    @property
    def entry_pa(self) -> U64:
        """The physical address of each entry, uint64[n]: the same in all nodes of a table."""
        return self.floor.entry_address(self.floor.position[self.edge], self.node)

    @property
    def pa(self) -> U64:
        """The physical address of the first byte that each maps, uint64[n]."""
        return self.floor.fmt.level(self.floor.lvl).leaf_address(self.entry)

    @property
    def last_pa(self) -> U64:
        """The physical address of the last byte that each maps, uint64[n]."""
        last: U64 = self.pa + ((np.uint64(1) << self.bits.astype(np.uint64)) - np.uint64(1))
        return last

    def field(self, name: str) -> U64:
        """Return the value of a field of each, uint64[n]; 0 where the level has no such field."""
        return leaf_field(self.floor.fmt, name, self.floor.lvl, self.entry)


def leaves(floor: Floor) -> Leaves:
    """Return all leaf entries of a floor."""
    return Leaves(floor, np.flatnonzero(floor.kind == Kind.LEAF))


def only(graph: Graph, test: Callable[[Leaves], Bool]) -> Graph:
    """Return the graph without the leaves that fail a test; tables and holes stay.

    test: tells for the leaves of one floor, bool[n], which are wanted
    """
    return dataclasses.replace(graph, floors=[_only(floor, test) for floor in graph.floors])


def _only(floor: Floor, test: Callable[[Leaves], Bool]) -> Floor:
    every = leaves(floor)
    if not every.edge.size:
        return floor
    unwanted = np.zeros(floor.kind.size, dtype=np.bool_)
    unwanted[every.edge] = ~test(every)
    return floor.without(unwanted) if unwanted.any() else floor
