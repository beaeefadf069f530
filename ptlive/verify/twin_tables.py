"""The page tables as the twin's MMU left them: A, D, and nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ptlive.analysis.report import Disagreement
from ptlive.paging.format import Kind
from ptlive.paging.reach import spans_of

if TYPE_CHECKING:
    from ptlive.analysis.report import Report
    from ptlive.arrays import U64, Bool
    from ptlive.paging.graph import Graph
    from ptlive.space import AddressSpace
    from ptlive.verify.twin_jobs import Asked

_IN_FRAME = np.uint64(0xFFF)
_WORD = np.uint64(8)
# So many entries that differ in one property are told one by one.
TOLD = 100


class TablesAfter:
    """All tables of a walk before and after the accesses of a twin.

    after: uint64[len(asked.tables), 512]
    """

    def __init__(self, space: AddressSpace, graph: Graph, asked: Asked, after: U64) -> None:
        self._graph, self._asked, self._after = graph, asked, after
        data, _ = space.memory.read(asked.tables, after.shape[1] * after.itemsize)
        self._before = data.view("<u8").astype(np.uint64, copy=False)
        self._present = space.format.present(self._before)
        self._masks = {f.name: np.uint64(f.mask) for f in space.format.level(1).fields}

    def compare(
        self, report: Report, reached: Bool, written: Bool, who: tuple[str, str, str]
    ) -> None:
        """Compare each present entry with what the accesses must have made of it.

        reached, written: which of what was asked was accessed at all, and written,
        as predicted; who: oracle, who answered, and options that name the root

        An entry through which an allowed access went has A; a leaf has D afterwards
        if it had it or was written. An entry that only failed accesses touched may
        have got A too (SDM vol. 3A 4.8 leaves that open); no other bit may change.
        """
        leaf_entries = self._asked.translations.entry_pa
        accessed = self._marked(_used_entries(self._graph, leaf_entries[reached]))
        dirtied = self._marked(leaf_entries[written])
        a, d = self._masks["A"], self._masks["D"]
        expected_d = (self._before & d) | np.where(dirtied, d, np.uint64(0))
        rest = ~(a | d)
        for aspect, counted, wrong in (
            ("accessed", accessed, (self._after & a) == 0),
            ("dirty", self._present, (self._after & d) != expected_d),
            ("entries", self._present, (self._after & rest) != (self._before & rest)),
        ):
            check = report.check(who[0], who[1], aspect)
            check.agreed += int((counted & ~wrong).sum())
            check.disagreed += int((counted & wrong).sum())
            for row, index in np.argwhere(counted & wrong)[:TOLD].tolist():
                expected = {
                    "accessed": self._before[row, index] | a,
                    "dirty": (self._before[row, index] & ~d) | expected_d[row, index],
                    "entries": self._before[row, index],
                }[aspect]
                report.disagreements.append(self._told(aspect, row, index, int(expected), who))

    def _told(
        self, aspect: str, row: int, index: int, expected: int, who: tuple[str, str, str]
    ) -> Disagreement:
        """Describe an entry that is not as it must be."""
        table = int(self._asked.tables[row])
        lvl, base, last = next(spans_of(self._graph, table))
        va = base + index * ((last - base + 1) // self._after.shape[1])
        return Disagreement(
            va=va % (1 << 64),
            access=None,
            oracle=who[0],
            aspect=aspect,
            predicted=f"{expected:#018x}",
            observed=f"{int(self._after[row, index]):#018x}",
            path=((lvl, table + 8 * index, int(self._before[row, index])),),
            reproduce=f"ptlive verify --oracle {who[0]}{who[2]}",
        )

    def _marked(self, entries: U64) -> Bool:
        """Return where in the tables these entries stand, bool[n, 512]."""
        marked = np.zeros(self._before.shape, dtype=np.bool_)
        row = np.searchsorted(self._asked.tables, entries & ~_IN_FRAME)
        marked[row, ((entries & _IN_FRAME) // _WORD).astype(np.intp)] = True
        return marked


def _used_entries(graph: Graph, leaves: U64) -> U64:
    """Return the addresses of these leaf entries, and of all entries on the way to them."""
    found = [leaves]
    below: Bool = np.zeros(0, dtype=np.bool_)
    for floor in reversed(graph.floors):
        address = floor.entry_address(floor.position, floor.node)
        leads = np.zeros(floor.position.size, dtype=np.bool_)
        down = np.flatnonzero(floor.kind == Kind.TABLE)
        leads[down] = below[floor.child[down]]
        found.append(address[leads])
        leads |= (floor.kind == Kind.LEAF) & np.isin(address, leaves)
        below = np.zeros(floor.nodes.table.size, dtype=np.bool_)
        below[floor.node[leads]] = True
    return np.unique(np.concatenate(found))
