"""What one set of questions to the twin was answered, against the walker's predictions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ptlive.access_kind import Access
from ptlive.analysis.report import Disagreement
from ptlive.paging.access import ALLOWED, UNPREDICTABLE, Verdicts
from ptlive.paging.format import Kind
from ptlive.paging.formats import x86_64
from ptlive.paging.words import outcome_words
from ptlive.verify import quirks
from ptlive.verify.agreement import agreement
from ptlive.verify.stepped import path_of
from ptlive.verify.twins.borrowed import shows
from ptlive.verify.twins.jobs import FRAME, Asked

if TYPE_CHECKING:
    from collections.abc import Callable

    from ptlive.access_kind import AccessKind
    from ptlive.analysis.report import Check, Report
    from ptlive.arrays import Bool, Index
    from ptlive.oracle.twin.script import Answers
    from ptlive.space import AddressSpace

ORACLE = "twin"
# Of one kind of access and property, so many disagreements are told one by one.
TOLD = 100


class Comparison:
    """Fills a report with the answers to one kind of access after the other.

    answered_by: the twin's accelerator; options: those that a command needs to ask again
    slots: the root entries that the prober borrows in the twin
    """

    def __init__(
        self,
        report: Report,
        space: AddressSpace,
        asked: Asked,
        answered_by: str,
        options: str,
        slots: tuple[int, int],
    ) -> None:
        self._report, self._space, self._asked = report, space, asked
        self._by, self._options = answered_by, options

        found = asked.translations
        self._borrowed = shows(space, slots, found)
        self._page1gb = np.zeros(found.va.size, dtype=np.bool_)
        for lvl in np.unique(found.lvl[found.kind == Kind.MALFORMED]).tolist():
            here = (found.lvl == lvl) & (found.kind == Kind.MALFORMED)
            entries = np.unique(found.entry[here]).tolist()
            large = [e for e in entries if x86_64.needs_page1gb(found.fmt, lvl, e)]
            self._page1gb |= here & np.isin(found.entry, np.array(large, dtype=np.uint64))

    def askable(self, verdicts: Verdicts, kind: AccessKind, *, count: bool = True) -> Bool:
        """Tell which accesses are made; count the others."""
        # TCG takes these for pages, so that a write or a fetch could arrive anywhere.
        large = self._page1gb & (self._by == "TCG") & (kind.access is not Access.READ)
        unpredictable = verdicts.vector == UNPREDICTABLE
        outside = (verdicts.vector == ALLOWED) & ~self._asked.reaches
        askable: Bool = np.ones_like(outside)
        for rows, reason in (
            (unpredictable, "a table lies in no memory: the tables do not say what happens"),
            (self._borrowed, "a self-map shows a root entry that the prober borrows"),
            (outside, "not RAM, the root table, or a table with no free entry"),
            (large, f"quirk {quirks.TCG_PAGE1GB.name}"),
        ):
            if count and (rows & askable).any():
                self._check("fault").unchecked[reason] += int((rows & askable).sum())
            askable &= ~rows
        return askable

    def hold(self, kind: AccessKind, verdicts: Verdicts, rows: Index, seen: Answers) -> None:
        """Compare outcome, error code, CR2 and where each access arrived."""
        vector, code = verdicts.vector[rows], verdicts.error_code[rows]
        write = kind.access is Access.WRITE
        va = self._asked.addresses(rows, write=write)
        arrive = self._asked.arrive(rows, write=write)
        frame = arrive & ~(FRAME - np.uint64(1))
        found = agreement(
            Verdicts(vector, code), seen, va, frame, frame, self._by, self._page1gb[rows]
        )
        for quirk, explains in found.quirks.items():
            if explains.any():
                self._report.quirks[quirk] += int(explains.sum())
                self._check("fault").unchecked[f"quirk {quirk.name}"] += int(explains.sum())
        self._count(
            "fault",
            kind,
            rows,
            found.fault,
            found.asked & ~found.explained,
            lambda at: (
                outcome_words(int(vector[at]), int(code[at])),
                outcome_words(int(seen.vector[at]), int(seen.error_code[at])),
            ),
        )
        self._count(
            "cr2",
            kind,
            rows,
            found.cr2,
            found.told_cr2,
            lambda at: (f"{int(va[at]):#x}", f"{int(seen.cr2[at]):#x}"),
        )
        self._count(
            "frame",
            kind,
            rows,
            found.frame,
            found.told_frame,
            lambda at: (
                f"reaches {int(arrive[at]):#x}",
                "lands elsewhere" if write else f"reaches {int(seen.frame[at]):#x}",
            ),
        )

    def _check(self, aspect: str) -> Check:
        return self._report.check(ORACLE, self._by, aspect)

    def _count(
        self,
        aspect: str,
        kind: AccessKind,
        rows: Index,
        agree: Bool,
        counted: Bool,
        say: Callable[[int], tuple[str, str]],
    ) -> None:
        """Count what agrees and what does not among `counted`; tell each that does not."""
        one = self._check(aspect)
        one.agreed += int((agree & counted).sum())
        wrong = np.flatnonzero(~agree & counted)
        one.disagreed += wrong.size
        write = kind.access is Access.WRITE
        for at in wrong[:TOLD].tolist():
            va = self._asked.addresses(rows[at : at + 1], write=write)
            predicted, observed = say(at)
            self._report.disagreements.append(
                Disagreement(
                    va=int(va[0]),
                    access=kind.name,
                    oracle=ORACLE,
                    aspect=aspect,
                    predicted=predicted,
                    observed=observed,
                    path=path_of(self._space.translate(va), 0),
                    answered_by=self._by,
                    reproduce=f"ptlive verify {int(va[0]):#x} --oracle {ORACLE} "
                    f"--access {kind.name}{self._options}",
                )
            )
