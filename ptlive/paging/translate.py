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
    from ptlive.paging.graph import Floor

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
    graph = walk(fmt, memory, root.reshape(1, -1), (va, va))
    n = va.size
    result = Translations(
        fmt=fmt,
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
    order = np.argsort(graph.tops.number, kind="stable")
    row, node = graph.tops.number[order], graph.tops.node[order]
    for floor in graph.floors:
        steps, edge = _steps(floor, row, node)
        result.steps.append(steps)
        _settle(result, floor, steps, edge)
        down = np.flatnonzero(steps.kind == Kind.TABLE)
        row, node = steps.row[down], floor.child[edge[down]]
    return result


def _steps(floor: Floor, row: Index, node: Index) -> tuple[Steps, Index]:
    """Return the steps through the nodes of one floor, and which edge each takes."""
    # A node on the way to a single byte has one entry in range.
    position = floor.start[node]
    edge = floor.edge_of(position)
    kind = np.full(row.size, Kind.ABSENT, dtype=np.uint8)
    rights = floor.nodes.rights[node]
    present = np.flatnonzero(edge >= 0)
    kind[present] = floor.kind[edge[present]]
    rights[present] = floor.rights[edge[present]]
    table, index = floor.nodes.table[node], floor.index_at(position, node)
    steps = Steps(
        lvl=floor.lvl,
        row=row,
        table=table,
        index=index,
        entry_pa=table + index * np.uint64(floor.fmt.level(floor.lvl).entry_size),
        entry=floor.entries[position],
        kind=kind,
        rights=rights,
    )
    return steps, edge


def _settle(result: Translations, floor: Floor, steps: Steps, edge: Index) -> None:
    """Write down the addresses whose paths end at this floor, or may."""
    row = steps.row
    result.kind[row], result.lvl[row] = steps.kind, steps.lvl
    result.entry[row], result.entry_pa[row] = steps.entry, steps.entry_pa
    result.rights[row] = steps.rights
    leaf = np.flatnonzero(steps.kind == Kind.LEAF)
    row, edge = row[leaf], edge[leaf]
    bits = floor.leaf_bits(edge)
    offset = result.va[row] & ((np.uint64(1) << bits) - np.uint64(1))
    result.pa[row] = floor.fmt.level(floor.lvl).leaf_address(floor.entry[edge]) | offset
    result.page_bits[row] = bits.astype(np.uint8)
