"""Judgements counted, and the first differences described."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from ptlive.access_kind import Access
from ptlive.analysis.report import Check
from ptlive.analysis.selftest import RuleDifference
from ptlive.oracle.twin.paint import NO_FRAME
from ptlive.paging.control import controls
from ptlive.paging.words import outcome_words
from ptlive.verify.selftest.judge import A, D

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from ptlive.analysis.selftest import BenchReport
    from ptlive.oracle.twin.fork import Control
    from ptlive.verify.selftest.judge import Judgement

ORACLE = "twin"
# So many differences are told one by one.
TOLD = 20


class Counts:
    """Fills the report on one bench, or on one guest.

    by: who answered; again: the command that asks all of it again
    """

    def __init__(self, report: BenchReport, by: str, again: str) -> None:
        self.report = report
        self._again = again
        aspects = ("fault", "cr2", "frame", "accessed", "dirty", "entries")
        self._checks = {aspect: Check(ORACLE, by, aspect) for aspect in aspects}
        report.checks = list(self._checks.values())

    def add(self, judgements: Iterable[Judgement], describe: Callable[[int], str]) -> None:
        """Count what came of all trials of a record.

        describe: says how the entry at an address differs from an ordinary one
        """
        for judgement in judgements:
            self._count(judgement)
            room = TOLD - len(self.report.differences)
            if room and not judgement.agrees:
                self.report.differences += self._differences(judgement, describe)[:room]

    def _count(self, judgement: Judgement) -> None:
        found = judgement.agreement
        wrong = {aspect: len(rows) for aspect, rows in judgement.wrong().items()}
        wrong |= {aspect: len(entries) for aspect, entries in judgement.entries.items()}
        compared = {
            "fault": int((found.asked & ~found.explained).sum()),
            "cr2": int(found.told_cr2.sum()),
            "frame": int(found.told_frame.sum()),
            **judgement.entries_checked,
        }
        for aspect, count in compared.items():
            self._checks[aspect].disagreed += wrong[aspect]
            self._checks[aspect].agreed += count - wrong[aspect]
        unchecked = {
            "a table lies in no memory: the tables do not say what happens": int(
                (~found.asked).sum()
            ),
            "not RAM that a twin may change: read at most": len(judgement.record.va)
            - len(judgement.rows),
        }
        quirks = Counter({quirk: int(rows.sum()) for quirk, rows in found.quirks.items()})
        self.report.quirks += quirks
        unchecked |= {f"quirk {quirk.name}": count for quirk, count in quirks.items()}
        self._checks["fault"].unchecked += Counter(unchecked)

    def _differences(
        self, judgement: Judgement, describe: Callable[[int], str]
    ) -> list[RuleDifference]:
        """Describe the first difference of each property."""
        found = [
            self._access(judgement, aspect, row, describe)
            for aspect, rows in judgement.wrong().items()
            for row in rows[:1].tolist()
        ]
        return found + [
            self._entry(judgement, aspect, address, describe(address))
            for aspect, entries in judgement.entries.items()
            for address in entries[:1].tolist()
        ]

    def _access(
        self, judgement: Judgement, aspect: str, row: int, describe: Callable[[int], str]
    ) -> RuleDifference:
        """Describe an access that went otherwise."""
        trial, verdicts = judgement.trial, judgement.verdicts
        at = int(np.searchsorted(judgement.rows, row))
        va, seen = int(judgement.record.va[row]), trial.answers
        predicted = outcome_words(int(verdicts.vector[at]), int(verdicts.error_code[at]))
        observed = outcome_words(int(seen.vector[at]), int(seen.error_code[at]))
        if aspect == "cr2":
            observed += f" with CR2 {int(seen.cr2[at]):#x}"
        if aspect == "frame":
            predicted += f", at {_frame(int(judgement.translations.pa[row]))}"
            write = trial.kind.access is Access.WRITE
            observed += ", elsewhere" if write else f", at {_frame(int(seen.frame[at]))}"
        path = tuple(
            (describe(int(steps.entry_pa[here])), int(steps.entry_pa[here]), entry)
            for steps, here in judgement.translations.path(row)
            for entry in (int(steps.entry[here]),)
        )
        return RuleDifference(
            aspect=aspect,
            va=va,
            access=trial.kind.name,
            controls=_words(trial.control),
            predicted=predicted,
            observed=observed,
            path=path,
            reproduce=f"{self._again} {va:#x}",
        )

    def _entry(self, judgement: Judgement, aspect: str, address: int, name: str) -> RuleDifference:
        """Describe an entry that the MMU left otherwise than predicted."""
        tables, trial = judgement.record.tables, judgement.trial
        at = int(np.flatnonzero(tables.address == np.uint64(address))[0])
        before, after = int(tables.value[at]), int(trial.after[at])
        said = {"accessed": f"A={int(not after & A)}", "dirty": f"D={int(not after & D)}"}
        return RuleDifference(
            aspect=aspect,
            va=None,
            access=trial.kind.name,
            controls=_words(trial.control),
            predicted=said.get(aspect, "nothing but A and D changes"),
            observed=f"{after:#018x}, before {before:#018x}",
            path=((name, address, before),),
            reproduce=self._again,
        )


def _frame(address: int) -> str:
    return "no frame that names itself" if address == NO_FRAME else f"{address:#x}"


def _words(control: Control) -> str:
    """Name what is on, such as `WP NXE SMAP`."""
    bits = controls(control.cr0, control.cr4, control.efer, pkru=control.pkru)
    on = [name.upper() for name in ("wp", "nxe", "smep", "smap", "pke") if getattr(bits, name)]
    return " ".join([*on, *([f"PKRU={control.pkru:#x}"] if bits.pke else [])]) or "none"
