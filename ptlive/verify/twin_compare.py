"""What one set of questions to the twin was answered, against the walker's predictions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ptlive.access_kind import Access
from ptlive.analysis.report import Disagreement
from ptlive.paging.access import ALLOWED, PAGE_FAULT, UNPREDICTABLE, Fault
from ptlive.paging.format import Kind
from ptlive.paging.formats import x86_64
from ptlive.paging.words import outcome_words
from ptlive.verify import quirks
from ptlive.verify.stepped import path_of
from ptlive.verify.twin_jobs import FRAME, Asked

if TYPE_CHECKING:
    from collections.abc import Callable

    from ptlive.access_kind import AccessKind
    from ptlive.analysis.report import Check, Report
    from ptlive.arrays import U8, U32, Bool, Index
    from ptlive.oracle.twin.script import Answers
    from ptlive.paging.access import Verdicts
    from ptlive.space import AddressSpace

ORACLE = "twin"
# Of one kind of access and property, so many disagreements are told one by one.
TOLD = 100


class Comparison:
    """Fills a report with the answers to one kind of access after the other.

    answered_by: the twin's accelerator; options: those that a command needs to ask again
    """

    def __init__(
        self, report: Report, space: AddressSpace, asked: Asked, answered_by: str, options: str
    ) -> None:
        self._report, self._space, self._asked = report, space, asked
        self._by, self._options = answered_by, options

        found = asked.translations
        self._page1gb = np.zeros(found.va.size, dtype=np.bool_)
        for lvl in np.unique(found.lvl[found.kind == Kind.MALFORMED]).tolist():
            here = (found.lvl == lvl) & (found.kind == Kind.MALFORMED)
            entries = np.unique(found.entry[here]).tolist()
            large = [e for e in entries if x86_64.needs_page1gb(found.fmt, lvl, e)]
            self._page1gb |= here & np.isin(found.entry, np.array(large, dtype=np.uint64))

    def askable(self, verdicts: Verdicts, kind: AccessKind, *, count: bool = True) -> Bool:
        """Tell which accesses are made; count the others."""
        found = self._asked.translations
        # Behind a borrowed root entry lie the prober's own tables: to be read at most.
        in_root = found.entry_pa & ~(FRAME - np.uint64(1)) == self._space.root[0]
        shown = in_root & (found.lvl < self._space.format.top) & (found.kind == Kind.ABSENT)
        if kind.access is Access.READ:
            shown = np.zeros_like(shown)
        # TCG takes these for pages, so that a write or a fetch could arrive anywhere.
        large = self._page1gb & (self._by == "TCG") & (kind.access is not Access.READ)
        unpredictable = verdicts.vector == UNPREDICTABLE
        outside = (verdicts.vector == ALLOWED) & ~self._asked.reaches
        fault = self._check("fault")
        for rows, reason in (
            (unpredictable, "a table lies in no memory: the tables do not say what happens"),
            (outside, "not RAM, the root table, or a table with no free entry"),
            (shown, "a self-map shows a root entry, which the prober may borrow"),
            (large, f"quirk {quirks.TCG_PAGE1GB.name}"),
        ):
            if count and rows.any():
                fault.unchecked[reason] += int(rows.sum())
        askable: Bool = ~unpredictable & ~outside & ~shown & ~large
        return askable

    def hold(
        self,
        kind: AccessKind,
        verdicts: Verdicts,
        rows: Index,
        seen: Answers,
        borrowed: tuple[int, ...],
    ) -> None:
        """Compare outcome, error code, CR2 and where each access arrived.

        borrowed: addresses of root entries that are the prober's in the twin
        """
        vector, code = verdicts.vector[rows], verdicts.error_code[rows]
        # Through a self-map, a root entry is also an entry of a level below.
        entry_pa = self._asked.translations.entry_pa[rows]
        mine = np.isin(entry_pa, np.array(borrowed, dtype=np.uint64))
        mine &= self._asked.translations.lvl[rows] < self._space.format.top
        if mine.any():
            reason = "a self-map shows the root entry that the prober borrows"
            self._check("fault").unchecked[reason] += int(mine.sum())
        agree = (seen.vector == vector) & (seen.error_code == code)
        quirk = self._quirk(rows, vector, code, seen, ~agree)
        self._count(
            "fault",
            kind,
            rows,
            agree,
            ~quirk & ~mine,
            lambda at: (
                outcome_words(int(vector[at]), int(code[at])),
                outcome_words(int(seen.vector[at]), int(seen.error_code[at])),
            ),
        )
        write = kind.access is Access.WRITE
        faulted = (agree | quirk) & ~mine & (seen.vector == PAGE_FAULT) & (vector == PAGE_FAULT)
        va = self._asked.addresses(rows, write=write)
        self._count(
            "cr2",
            kind,
            rows,
            seen.cr2 == va,
            faulted,
            lambda at: (f"{int(va[at]):#x}", f"{int(seen.cr2[at]):#x}"),
        )
        arrive = self._asked.arrive(rows, write=write)
        reached = seen.landed if write else seen.frame == arrive & ~(FRAME - np.uint64(1))
        allowed = agree & ~mine & (vector == ALLOWED)
        self._count(
            "frame",
            kind,
            rows,
            reached,
            allowed,
            lambda at: (
                f"reaches {int(arrive[at]):#x}",
                "lands elsewhere" if write else f"reaches {int(seen.frame[at]):#x}",
            ),
        )

    def _quirk(self, rows: Index, vector: U8, code: U32, seen: Answers, differs: Bool) -> Bool:
        """Count and return what a known quirk explains."""
        explained = np.zeros(rows.size, dtype=np.bool_)
        if self._by != "TCG":
            return explained
        reserved = differs & (vector == PAGE_FAULT) & ((code & np.uint32(Fault.RSVD)) != 0)
        without_p = (seen.vector == vector) & (seen.error_code == code & ~np.uint32(Fault.P))
        # See `quirks.of_fault`.
        denied = seen.error_code & ~np.uint32(Fault.PK) == code & ~np.uint32(Fault.RSVD)
        as_page = (seen.vector == ALLOWED) | ((seen.vector == PAGE_FAULT) & denied)
        for quirk, which in (
            (quirks.RESERVED_WITHOUT_P, reserved & without_p),
            (quirks.TCG_PAGE1GB, reserved & ~without_p & as_page & self._page1gb[rows]),
        ):
            if which.any():
                count = int(which.sum())
                self._report.quirks[quirk] += count
                self._check("fault").unchecked[f"quirk {quirk.name}"] += count
            explained |= which
        return explained

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
