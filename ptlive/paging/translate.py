"""Translation of single addresses: the same walk, over ranges of one byte."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ptlive.paging.format import Kind
from ptlive.paging.walk import walk

if TYPE_CHECKING:
    from ptlive.arrays import U8, U64, Bool, Index, Memory
    from ptlive.paging.format import Format
    from ptlive.paging.graph import Floor, Graph
    from ptlive.paging.nodes import Tops

NOT_TRANSLATED = 255  # the kind of an address in no window, such as a non-canonical one


@dataclass(frozen=True, eq=False)
class Steps:
    """One level of the paths of some addresses; all columns of length n.

    row: which of the addresses; table, index, entry_pa, entry, kind; rights:
    folded with the entry's own.
    """

    lvl: int
    row: Index
    table: U64
    index: U64
    entry_pa: U64
    entry: U64
    kind: U8
    rights: U64

    def take(self, rows: Index) -> Steps:
        """Return the steps of some rows, renumbered from 0 in their order (ascending)."""
        at = np.minimum(np.searchsorted(self.row, rows), max(self.row.size - 1, 0))
        kept = at[self.row[at] == rows] if self.row.size else at[:0]
        names = ("table", "index", "entry_pa", "entry", "kind", "rights")
        columns = {name: getattr(self, name)[kept] for name in names}
        return Steps(self.lvl, np.searchsorted(rows, self.row[kept]), **columns)


@dataclass(frozen=True, eq=False)
class Translations:
    """The translations of n addresses, in the order in which they were asked.

    kind, lvl, entry, entry_pa, rights: of the entry that ends the path; kind is
        NOT_TRANSLATED (and lvl 0) for an address in no window
    pa: the address's own translation (offset included), 0 if it has none
    page_bits: log2 of the size of its page, 0 if it has none
    steps: the paths, from the root's level downwards
    """

    fmt: Format
    va: U64
    kind: U8
    lvl: U8
    entry: U64
    entry_pa: U64
    rights: U64
    pa: U64
    page_bits: U8
    steps: list[Steps]

    @property
    def mapped(self) -> Bool:
        """Which of the addresses have a translation."""
        mapped: Bool = self.kind == Kind.LEAF
        return mapped

    def take(self, rows: Index) -> Translations:
        """Return some of the translations, in ascending order of their rows."""
        names = ("va", "kind", "lvl", "entry", "entry_pa", "rights", "pa", "page_bits")
        columns = {name: getattr(self, name)[rows] for name in names}
        return Translations(self.fmt, **columns, steps=[step.take(rows) for step in self.steps])

    def path(self, row: int) -> list[tuple[Steps, int]]:
        """Return the steps of one address from the root, each with its place in the columns."""
        found = ((step, int(np.searchsorted(step.row, row))) for step in self.steps)
        return [(s, at) for s, at in found if at < s.row.size and s.row[at] == row]


def translate(fmt: Format, memory: Memory, root: U64, va: U64) -> Translations:
    """Translate addresses, uint64[n], in one address space, uint64[fmt.roots].

    Raises PtliveError if the root table lies in no RAM and no ROM.
    """
    # Tables are read whole: all addresses in the span of one of base pages are one range.
    inside = np.uint64((1 << fmt.level(1).span_bits) - 1)
    first = np.unique(va & ~inside)
    return lookup(walk(fmt, memory, root.reshape(1, -1), (first, first | inside)), va)


def lookup(graph: Graph, va: U64) -> Translations:
    """Return what the walk of one address space found at addresses, uint64[n].

    An address that the graph knows nothing of, neither a leaf nor a hole, comes out as one
    that nothing translates: so does what is present and what the walk has forgotten.
    """
    n = va.size
    result = Translations(
        fmt=graph.fmt,
        va=va,
        kind=np.full(n, NOT_TRANSLATED, dtype=np.uint8),
        lvl=np.zeros(n, dtype=np.uint8),
        entry=np.zeros(n, dtype=np.uint64),
        entry_pa=np.zeros(n, dtype=np.uint64),
        rights=np.zeros(n, dtype=np.uint64),
        pa=np.zeros(n, dtype=np.uint64),
        page_bits=np.zeros(n, dtype=np.uint8),
        steps=[],
    )
    row = node = np.zeros(0, dtype=np.intp)
    if graph.floors:
        row, node = _enter(graph.tops, graph.floors[0], va)
    for floor in graph.floors:
        steps, edge = _step(floor, va, row, node)
        result.steps.append(steps)
        _settle(result, floor, steps, edge)
        down = np.flatnonzero(steps.kind == Kind.TABLE)
        row, node = steps.row[down], floor.child[edge[down]]
    return result


def _enter(tops: Tops, floor: Floor, va: U64) -> tuple[Index, Index]:
    """Return which addresses some range of the walk contains, and the node each enters."""
    first = tops.base + floor.nodes.first[tops.node]
    last = tops.base + floor.nodes.last[tops.node]
    order = np.argsort(first, kind="stable")
    # Ranges may overlap: of those that begin before an address, the one that ends last.
    furthest = np.maximum.accumulate(last[order])
    holder = np.maximum.accumulate(np.where(last[order] == furthest, np.arange(order.size), 0))
    at = np.searchsorted(first[order], va, side="right") - 1
    top = order[holder[np.maximum(at, 0)]]
    row = np.flatnonzero((at >= 0) & (first[top] <= va) & (va <= last[top]))
    return row, tops.node[top[row]]


def _step(floor: Floor, va: U64, row: Index, node: Index) -> tuple[Steps, Index]:
    """Return the steps through nodes of one floor, and which edge each takes, -1 if none."""
    nodes = floor.nodes
    shift = nodes.shift[node]
    index: U64 = va[row] >> shift & ((np.uint64(1) << nodes.bits[node]) - np.uint64(1))
    at = index - (nodes.first[node] >> shift)
    known = at < (floor.start[node + 1] - floor.start[node]).astype(np.uint64)
    if not known.all():
        row, node, index, at = row[known], node[known], index[known], at[known]
    position = floor.start[node] + at.astype(np.intp)
    edge = _edge(floor, position, node)
    entry = floor.value(position)
    # What is present is an edge, unless the walk has forgotten it.
    kind = np.where(floor.fmt.present(entry), NOT_TRANSLATED, Kind.ABSENT).astype(np.uint8)
    rights = nodes.rights[node]
    has = np.flatnonzero(edge >= 0)
    kind[has], rights[has] = floor.kind[edge[has]], floor.rights[edge[has]]
    table = nodes.table[node]
    steps = Steps(
        lvl=floor.lvl,
        row=row,
        table=table,
        index=index,
        entry_pa=table + index * np.uint64(floor.fmt.level(floor.lvl).entry_size),
        entry=entry,
        kind=kind,
        rights=rights,
    )
    return steps, edge


def _edge(floor: Floor, position: Index, node: Index) -> Index:
    """Return which edge each entry is, or, of several that make one leaf, belongs to."""
    if not floor.fmt.level(floor.lvl).leaf_bits or not floor.position.size:
        return floor.edge_at(position)
    edge = np.maximum(np.searchsorted(floor.position, position, side="right") - 1, 0)
    shift = floor.nodes.shift[floor.node[edge]]
    wide = floor.leaf_bits(edge) - shift
    index, own = floor.index_at(position, node), floor.index(edge)
    # Those that make one leaf need not all be present: what is absent belongs to none.
    grouped = (floor.kind[edge] == Kind.LEAF) & (index >> wide == own >> wide)
    grouped &= floor.fmt.present(floor.value(position))
    here = (floor.position[edge] == position) | grouped
    return np.where(here & (floor.node[edge] == node), edge, -1)


def _settle(result: Translations, floor: Floor, steps: Steps, edge: Index) -> None:
    """Write down the addresses whose paths end at this floor, or may."""
    row = steps.row
    result.kind[row], result.lvl[row] = steps.kind, steps.lvl
    result.entry[row], result.entry_pa[row] = steps.entry, steps.entry_pa
    result.rights[row] = steps.rights
    leaf = np.flatnonzero(steps.kind == Kind.LEAF)
    row, edge = steps.row[leaf], edge[leaf]
    bits = floor.leaf_bits(edge)
    offset = result.va[row] & ((np.uint64(1) << bits) - np.uint64(1))
    result.pa[row] = floor.fmt.level(floor.lvl).leaf_address(floor.entry[edge]) | offset
    result.page_bits[row] = bits.astype(np.uint8)
