"""The page tables as the twin's MMU left them: A, D, and nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from ptlive.analysis.report import Disagreement
from ptlive.paging.reach import spans_of

if TYPE_CHECKING:
    from ptlive.analysis.report import Report
    from ptlive.arrays import U64, Bool, Index
    from ptlive.paging.graph import Graph
    from ptlive.space import AddressSpace

_IN_FRAME = np.uint64(0xFFF)
_WORD = np.uint64(8)
Who: TypeAlias = "tuple[str, str, str]"
# So many entries that differ in one property are told one by one.
TOLD = 100


class TablesAfter:
    """All tables of a walk, before a twin's accesses and after them.

    frames: uint64[n], ascending, where the tables lie
    """

    def __init__(self, space: AddressSpace, graph: Graph, frames: U64) -> None:
        self._graph, self.frames = graph, frames
        data, _ = space.memory.read(frames, 1 << 12)
        self._before = data.view("<u8").astype(np.uint64, copy=False)
        self._present = space.format.present(self._before)
        self._masks = {f.name: np.uint64(f.mask) for f in space.format.level(1).fields}

    def compare(self, report: Report, after: U64, used: U64, written: U64, who: Who) -> None:
        """Compare each present entry with what one twin's accesses must have made of it.

        after: uint64[len(frames), 512]; used, written: addresses of the entries on the
        paths of allowed accesses, and of the leaves that were written; who: oracle, who
        answered, and a command that asks it all again

        An entry through which an allowed access went has A; a leaf has D afterwards
        if it had it or was written. An entry that only failed accesses touched may
        have got A too (SDM vol. 3A 4.8 leaves that open); no other bit may change.
        """
        changed = (after != self._before).any(axis=1)
        rows = np.unique(
            np.concatenate([np.flatnonzero(changed), self._row(used), self._row(written)])
        )
        # What no access went through, and nothing changed, has nothing to be held against.
        before, after, present = self._before[rows], after[rows], self._present[rows]
        accessed, dirtied = self._marked(used, rows), self._marked(written, rows)
        a, d = self._masks["A"], self._masks["D"]
        expected_d = (before & d) | np.where(dirtied, d, np.uint64(0))
        rest = ~(a | d)
        for aspect, counted, wrong in (
            ("accessed", accessed, (after & a) == 0),
            ("dirty", present, (after & d) != expected_d),
            ("entries", present, (after & rest) != (before & rest)),
        ):
            check = report.check(who[0], who[1], aspect)
            check.agreed += int((counted & ~wrong).sum())
            check.disagreed += int((counted & wrong).sum())
            for row, index in np.argwhere(counted & wrong)[:TOLD].tolist():
                expected = {
                    "accessed": before[row, index] | a,
                    "dirty": (before[row, index] & ~d) | expected_d[row, index],
                    "entries": before[row, index],
                }[aspect]
                values = int(before[row, index]), int(expected), int(after[row, index])
                told = self._told(aspect, int(self.frames[rows[row]]), index, values, who)
                report.disagreements.append(told)

    def _told(
        self, aspect: str, table: int, index: int, values: tuple[int, int, int], who: Who
    ) -> Disagreement:
        """Describe an entry that is not as it must be; values: before, as expected, after."""
        # A walk that forgot the way to a table leaves it without an address.
        lvl, base, last = next(spans_of(self._graph, table), (self._level_of(table), 0, 0))
        va = base + index * ((last - base + 1) // self._before.shape[1])
        return Disagreement(
            va=va % (1 << 64),
            access=None,
            oracle=who[0],
            aspect=aspect,
            predicted=f"{values[1]:#018x}",
            observed=f"{values[2]:#018x}",
            path=((lvl, table + 8 * index, values[0]),),
            reproduce=who[2],
            answered_by=who[1],
        )

    def _level_of(self, table: int) -> int:
        """Return on which level a table stands."""
        floors = self._graph.floors
        return next(f.lvl for f in floors if (f.nodes.table == np.uint64(table)).any())

    def _row(self, entries: U64) -> Index:
        """Return in which of the tables each of these entries stands."""
        found: Index = np.searchsorted(self.frames, entries & ~_IN_FRAME)
        return found

    def _marked(self, entries: U64, rows: Index) -> Bool:
        """Return where in some of the tables these entries stand, bool[len(rows), 512]."""
        marked = np.zeros((rows.size, self._before.shape[1]), dtype=np.bool_)
        row = np.searchsorted(rows, self._row(entries))
        marked[row, ((entries & _IN_FRAME) // _WORD).astype(np.intp)] = True
        return marked
