"""The twin's answers, arrays of them, held against the walker's predictions."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from ptlive.access_kind import Access
from ptlive.analysis.report import Disagreement
from ptlive.oracle.twin.ask import Jobs, ask
from ptlive.oracle.twin.script import NO_HOME
from ptlive.paging.access import ALLOWED, PAGE_FAULT, UNPREDICTABLE, Fault, check
from ptlive.paging.words import outcome_words
from ptlive.verify import quirks
from ptlive.verify.stepped import NOT_OBSERVABLE, path_of
from ptlive.verify.twin_jobs import FRAME, Asked, everything, exactly
from ptlive.verify.twin_tables import TablesAfter

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ptlive.access_kind import AccessKind
    from ptlive.analysis.report import Check, Report
    from ptlive.arrays import U8, U32, U64, Bool, Index
    from ptlive.oracle.twin.fork import Fork
    from ptlive.oracle.twin.script import Answers
    from ptlive.paging.access import Verdicts
    from ptlive.paging.graph import Graph
    from ptlive.space import AddressSpace

ORACLE = "twin"
# Of one kind of access and property, so many disagreements are told one by one.
TOLD = 100


def verify_twin(
    report: Report,
    space: AddressSpace,
    graph: Graph,
    fork: Fork,
    answered_by: str,
    kinds: Sequence[AccessKind],
    root: str,
    *,
    va: U64 | None = None,
    seed: int = 0,
) -> None:
    """Fork the guest, have the twin make every access, and fill the report.

    answered_by: the twin's accelerator; root: options that name the root in a
    command; va: these addresses only, in place of one in each leaf and hole

    Raises PtliveError when the twin cannot answer.
    """
    space = dataclasses.replace(
        space, controls=dataclasses.replace(space.controls, pkru=fork.control.pkru)
    )
    asked = everything(space, graph, seed) if va is None else exactly(space, graph, va)
    comparison = _Comparison(report, space, asked, answered_by, root)
    predicted: dict[AccessKind, tuple[Verdicts, Index]] = {}
    for kind in kinds:
        verdicts = check(asked.translations, space.controls, kind)
        rows = np.flatnonzero(comparison.askable(verdicts))
        predicted[kind] = verdicts, rows
    jobs = Jobs(
        addresses={
            kind: asked.addresses(rows, write=kind.access is Access.WRITE)
            for kind, (_, rows) in predicted.items()
        },
        homes={
            kind: np.where(
                verdicts.vector[rows] == ALLOWED, asked.arrive(rows, write=True), NO_HOME
            )
            for kind, (verdicts, rows) in predicted.items()
            if kind.access is Access.WRITE
        },
        paint=np.unique(asked.arrive(np.flatnonzero(asked.reaches), write=False)),
        tables=asked.tables,
    )
    replies = ask(fork, jobs)
    reached: Bool = np.zeros(asked.translations.va.size, dtype=np.bool_)
    written = reached.copy()
    for kind, (verdicts, rows) in predicted.items():
        comparison.hold(kind, verdicts, rows, replies.answers[kind], replies.borrowed)
        allowed = rows[verdicts.vector[rows] == ALLOWED]
        reached[allowed] = True
        if kind.access is Access.WRITE:
            written[allowed] = True
    tables = TablesAfter(space, graph, asked, replies.tables)
    tables.compare(report, reached, written, (ORACLE, answered_by, root))


class _Comparison:
    """Fills a report with the answers to one kind of access after the other."""

    def __init__(
        self, report: Report, space: AddressSpace, asked: Asked, answered_by: str, root: str
    ) -> None:
        self._report, self._space, self._asked = report, space, asked
        self._by, self._root = answered_by, root
        for aspect in ("fault", "cr2", "frame"):
            self._check(aspect)
        for aspect in NOT_OBSERVABLE:
            one = report.check(ORACLE, answered_by, aspect, asked=False)
            one.unchecked[f"no effect on an access under {answered_by}"] = report.reached

    def askable(self, verdicts: Verdicts) -> Bool:
        """Tell which accesses are made; count the others."""
        unpredictable = verdicts.vector == UNPREDICTABLE
        outside = (verdicts.vector == ALLOWED) & ~self._asked.reaches
        fault = self._check("fault")
        for rows, reason in (
            (unpredictable, "a table lies in no memory: the tables do not say what happens"),
            (outside, "not RAM, the root table, or a table with no free entry"),
        ):
            if rows.any():
                fault.unchecked[reason] += int(rows.sum())
        if self._asked.left:
            fault.unchecked["more leaves or holes than one twin is asked about"] += self._asked.left
        askable: Bool = ~unpredictable & ~outside
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
        quirk = self._quirk(vector, code, seen, ~agree)
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
        faulted = (agree | quirk) & ~mine & (vector == PAGE_FAULT)
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

    def _quirk(self, vector: U8, code: U32, seen: Answers, differs: Bool) -> Bool:
        """Count and return what a known quirk explains."""
        reserved = (vector == PAGE_FAULT) & ((code & np.uint32(Fault.RSVD)) != 0)
        without_p = (seen.vector == vector) & (seen.error_code == code & ~np.uint32(Fault.P))
        explained: Bool = differs & reserved & without_p & (self._by == "TCG")
        if explained.any():
            count = int(explained.sum())
            self._report.quirks[quirks.RESERVED_WITHOUT_P] += count
            self._check("fault").unchecked[f"quirk {quirks.RESERVED_WITHOUT_P.name}"] += count
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
                    reproduce=f"ptlive verify {int(va[0]):#x} --oracle {ORACLE} "
                    f"--access {kind.name}{self._root}",
                )
            )
