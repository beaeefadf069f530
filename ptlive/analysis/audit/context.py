"""What the rules look at: a walk of some roots, and what is known around it."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ptlive.analysis import fold
from ptlive.analysis.find import Spans
from ptlive.analysis.tables import spans_of
from ptlive.paging import paths
from ptlive.paging.format import Kind
from ptlive.paging.select import Leaves, only

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ptlive.analysis.audit.memory_type import MemoryTypes
    from ptlive.analysis.fold import Folded, Tables
    from ptlive.analysis.profile import Profile
    from ptlive.arrays import U8, U64, Bool, Index
    from ptlive.paging.format import Format
    from ptlive.paging.graph import Graph

# Linear addresses from here on are the kernel's, by the convention of all systems there are.
UPPER_HALF = 1 << 63
# Pages that are looked through for those of an area.
_MOST = 1 << 20


class Registers(NamedTuple):
    """What one vCPU has in its control registers; None is what nobody tells."""

    vcpu: int
    cr0: int
    cr3: int
    cr4: int
    efer: int
    maxphyaddr: int | None = None
    smep: bool | None = None  # whether the CPU has it (CPUID)
    smap: bool | None = None


class Root(NamedTuple):
    """A root of the walk; partner: the number of the other one of an isolation pair.

    half: "kernel" or "user", which one of the pair it is; None if it is of none
    """

    address: int
    origin: str
    half: str | None = None
    partner: int | None = None


@dataclass(frozen=True, eq=False)
class Context:
    """A walk of some roots over everything, and what is known around it.

    target: what pages lie in, (pa uint64[n], bits uint64[n]) -> uint8[n], codes whose names
        are targets
    memory_types: what the CPUs make of attributes; None if that is not known
    profile: what is known of the system
    """

    graph: Graph
    roots: tuple[Root, ...]
    registers: tuple[Registers, ...]
    target: Callable[[U64, U64], U8]
    targets: Sequence[str]
    profile: Profile | None = None
    memory_types: MemoryTypes | None = None

    @property
    def fmt(self) -> Format:
        """The format of the tables."""
        return self.graph.fmt

    @cached_property
    def folded(self) -> Folded:
        """The walk in which what several roots have in common stands once."""
        return fold.fold(self.graph)

    @cached_property
    def whole(self) -> Graph:
        """The folded walk; what rules see is a part of it."""
        return self.folded.graph

    @cached_property
    def tables(self) -> Tables:
        """All tables that were read."""
        return fold.tables(self.graph)

    @cached_property
    def frames(self) -> Spans:
        """The frames that tables lie in, in the order of `tables`."""
        return spans_of(self.fmt, self.tables)

    @cached_property
    def upper(self) -> Graph:
        """The folded walk over the upper half alone."""
        return upper_half(self.whole)

    @cached_property
    def lower(self) -> Graph:
        """The folded walk over the lower half alone."""
        return part(self.whole, self.whole.tops.base < np.uint64(UPPER_HALF))

    def frames_in(self, area: str) -> Spans:
        """Return the frames that an area of the profile maps, of the first million pages there."""
        if area not in self._frames_in:
            areas = self.profile.areas if self.profile else ()
            ends = [(one.va, one.last_va) for one in areas if one.name == area]
            self._frames_in[area] = frames_between(self.whole, ends)
        return self._frames_in[area]

    @cached_property
    def _frames_in(self) -> dict[str, Spans]:
        return {}

    def granted(self, graph: Graph, *wanted: str, without: tuple[str, ...] = ()) -> Graph:
        """Return the leaves that grant these rights, and not those."""
        yes = sum(self.fmt.right(name).mask for name in wanted)
        mask = np.uint64(yes | sum(self.fmt.right(name).mask for name in without))
        return only(graph, lambda leaf: (leaf.rights & mask) == np.uint64(yes))

    def lies_in(self, graph: Graph, *targets: str) -> Graph:
        """Return the leaves that lie in these."""
        codes = [code for code, name in enumerate(self.targets) if name in targets]

        def test(leaf: Leaves) -> Bool:
            return np.isin(self.target(leaf.pa, leaf.bits.astype(np.uint64)), codes)

        return only(graph, test)


def frames_between(graph: Graph, ends: list[tuple[int, int]]) -> Spans:
    """Return the frames that some ranges of addresses map, merged."""
    parts = [np.zeros((2, 0), dtype=np.uint64)]
    for va, last_va in ends:
        floor, tops = graph.floors[0], graph.tops
        # What begins in other entries of the root tables is not even listed.
        base = np.zeros(floor.nodes.table.size, dtype=np.uint64)
        base[tops.node] = tops.base
        edges = np.arange(floor.kind.size)
        first = base[floor.node] + floor.offset(edges)
        last = first + ((np.uint64(1) << floor.nodes.shift[floor.node]) - np.uint64(1))
        others = (last < np.uint64(va)) | (first > np.uint64(last_va))
        some = dataclasses.replace(graph, floors=[floor.without(others), *graph.floors[1:]])
        for chunk in paths.leaves(some, _MOST):
            here = (chunk.va >= np.uint64(va)) & (chunk.va <= np.uint64(last_va))
            size = (np.uint64(1) << chunk.bits[here].astype(np.uint64)) - np.uint64(1)
            parts.append(np.stack([chunk.pa[here], chunk.pa[here] + size]))
    both = np.concatenate(parts, axis=1)
    return Spans(both[0], both[1]).merged()


def upper_half(graph: Graph) -> Graph:
    """Return the part of a walk that lies in the upper half of the address space."""
    return part(graph, graph.tops.base >= np.uint64(UPPER_HALF))


def part(graph: Graph, tops: Bool) -> Graph:
    """Return the part of a walk that begins at some of its tops, without other leaves."""
    return only(fold.part(graph, np.flatnonzero(tops)), _reached)


def _reached(leaf: Leaves) -> Bool:
    reached: Bool = leaf.floor.nodes.paths[leaf.floor.node[leaf.edge]] > 0
    return reached


def has_leaves(graph: Graph) -> bool:
    """Tell whether a walk has any leaf."""
    return any(bool((floor.kind == Kind.LEAF).any()) for floor in graph.floors)


def locate(graph: Graph, space: Index, va: U64) -> tuple[U8, U64, U64]:
    """Return (level, address of the entry, entry) of the leaf at each address, 0 for none.

    space: which of the walk's, for each address. Nothing is read: the entries are in the
    walk.
    """
    lvl, entry_pa, entry = np.zeros(va.size, np.uint8), np.zeros_like(va), np.zeros_like(va)
    if not graph.floors:
        return lvl, entry_pa, entry
    node = np.full(va.size, -1, dtype=np.intp)
    offset = va.copy()
    tops, nodes = graph.tops, graph.floors[0].nodes
    for way, top in enumerate(tops.node.tolist()):
        first, last = tops.base[way] + nodes.first[top], tops.base[way] + nodes.last[top]
        here = (space == tops.space[way]) & (va >= first) & (va <= last)
        node[here], offset[here] = top, va[here] - tops.base[way]
    row = np.flatnonzero(node >= 0)
    for floor in graph.floors:
        nodes, at = floor.nodes, node[row]
        index = offset[row] >> nodes.shift[at]
        position = floor.start[at] + (index - (nodes.first[at] >> nodes.shift[at])).astype(np.intp)
        edge = floor.edge_at(position)
        known = edge >= 0
        row, at, edge, index = row[known], at[known], edge[known], index[known]
        leaf = floor.kind[edge] == Kind.LEAF
        lvl[row[leaf]] = floor.lvl
        entry[row[leaf]] = floor.entry[edge[leaf]]
        entry_pa[row[leaf]] = floor.entry_address(floor.position[edge[leaf]], at[leaf])
        down = np.asarray(floor.child)[edge] >= 0
        offset[row[down]] -= index[down] << nodes.shift[at[down]]
        node[row[down]] = np.asarray(floor.child)[edge[down]]
        row = row[down]
        if not row.size:
            break
    return lvl, entry_pa, entry
