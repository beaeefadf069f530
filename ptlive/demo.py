"""The demonstration: a live guest's page tables, walked and confirmed by its own MMU.

Three parties answer for every line of the menu and every kind of access: the
guest's author (expectations written by hand, from the manual), the walker
(predictions), and the MMU (executed accesses, now). All three must agree.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from ptlive.access_kind import ACCESS_KINDS
from ptlive.analysis.report import Disagreement
from ptlive.paging.access import ALLOWED, UNPREDICTABLE
from ptlive.paging.words import outcome_words
from ptlive.verify.run import Plan, verify
from ptlive.verify.stepped import path_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from ptlive.access_kind import AccessKind
    from ptlive.analysis.report import Report
    from ptlive.guests.said.menu import Menu, MenuLine
    from ptlive.oracle.observation import Observation
    from ptlive.paging.translate import Translations
    from ptlive.space import AddressSpace
    from ptlive.target.attach import Target
    from ptlive.target.running import Guest
    from ptlive.verify.question import Question

ORACLE = "menu"
ANSWERED_BY = "guest's author"
LEAST_EXECUTED = 350


@dataclass
class Coverage:
    """What became of each line of the menu and kind of access."""

    executed: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    seen: set[tuple[int, AccessKind]] = field(default_factory=set)

    def missing(self, lines: int) -> int:
        """Count what has neither an executed answer nor a reason."""
        return lines * len(ACCESS_KINDS) - len(self.seen)


def verify_menu(
    target: Target,
    space: AddressSpace,
    menu: Menu,
    seed: int,
    progress: Callable[[str, int, int], None],
) -> tuple[Report, Coverage]:
    """Have the MMU execute every access of the menu; compare all three parties."""
    va = np.array([line.va for line in menu.lines], dtype=np.uint64)
    translations = space.translate(va)
    coverage = Coverage()
    held: list[tuple[Question, MenuLine]] = []

    def witness(question: Question, seen: Observation | None) -> None:
        reason = question.unchecked if seen is None else seen.unchecked
        coverage.seen.add((question.row, question.kind))
        if reason:
            coverage.reasons[reason] += 1
        else:
            coverage.executed += 1
        held.append((question, menu.lines[question.row]))

    plan = Plan(oracles=("stepped",), va=va, seed=seed)
    report = verify(target, space, plan, progress, witness)
    for question, line in held:
        _hold(report, translations, question, line)
    return report, coverage


def verify_all(target: Target, space: AddressSpace, guest: Guest, seed: int) -> Report:
    """Have the MMU of a twin answer for every leaf, hole and kind of access."""
    return verify(target, space, Plan(oracles=("twin",), seed=seed, guest=guest))


def _hold(report: Report, translations: Translations, question: Question, line: MenuLine) -> None:
    """Hold the walker's prediction against what the guest's author expects."""
    expected = line.expected[question.kind]
    fault = report.check(ORACLE, ANSWERED_BY, "fault")
    frame = report.check(ORACLE, ANSWERED_BY, "frame")
    if not expected.asked:
        fault.unchecked[f"the guest does not ask: {line.why}"] += 1
        return
    if question.vector == UNPREDICTABLE:
        fault.unchecked[question.unchecked or "the tables do not say"] += 1
        return
    pairs = [
        (
            fault,
            outcome_words(question.vector, question.error_code),
            outcome_words(expected.vector, expected.error_code),
        )
    ]
    if question.vector == ALLOWED == expected.vector:
        pa = int(translations.pa[question.row])
        pairs.append((frame, f"reaches {pa:#x}", f"reaches {expected.frame:#x}"))
    for check, predicted, written in pairs:
        if predicted == written:
            check.agreed += 1
            continue
        check.disagreed += 1
        report.disagreements.append(
            Disagreement(
                va=line.va,
                access=question.kind.name,
                oracle=ORACLE,
                aspect=check.aspect,
                predicted=predicted,
                observed=written,
                path=path_of(translations, question.row),
                reproduce=f"ptlive translate {line.va:#x} --access {question.kind.name}",
            )
        )


def exemplary(space: AddressSpace, menu: Menu) -> tuple[MenuLine, Translations, int]:
    """Return a line whose leaf grants what a table above denies, and its translation."""
    va = np.array([line.va for line in menu.lines], dtype=np.uint64)
    translations = space.translate(va)
    best = 0
    for row in np.flatnonzero(translations.mapped).tolist():
        by = space.describe(translations, row, []).decided_by
        if any(lvl is not None and lvl > 1 for lvl in by.values()):
            best = row
            break
    return menu.lines[best], translations, best
