"""The answers of QEMU's debug walker held against the walker's translations."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ptlive.analysis.report import Disagreement
from ptlive.paging.format import Kind
from ptlive.verify import quirks
from ptlive.verify.stepped import path_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ptlive.analysis.report import Report
    from ptlive.paging.translate import Translations

ORACLE = "debug-walker"
ANSWERED_BY = "debug walker"
RIGHTS = "QEMU's debug walker knows no rights"


def compare(
    report: Report, translations: Translations, answers: Sequence[int | None], root: str
) -> None:
    """Fill a report with its answers, one for each translated address; root: see `Comparison`."""
    check = report.check(ORACLE, ANSWERED_BY, "frame")
    fault = report.check(ORACLE, ANSWERED_BY, "fault", asked=False)
    fault.unchecked[RIGHTS] += translations.va.size
    for row, answer in enumerate(answers):
        kind = int(translations.kind[row])
        expected = int(translations.pa[row]) if kind == Kind.LEAF else None
        quirk = None if answer == expected else quirks.of_debug_walk(kind, answer)
        if kind == Kind.UNREADABLE:
            check.unchecked["a table lies in no memory"] += 1
        elif answer == expected:
            check.agreed += 1
        elif quirk:
            report.quirks[quirk] += 1
            check.unchecked[f"quirk {quirk.name}"] += 1
        else:
            check.disagreed += 1
            va = int(translations.va[row])
            report.disagreements.append(
                Disagreement(
                    va=va,
                    access=None,
                    oracle=ORACLE,
                    aspect="frame",
                    predicted=_words(expected),
                    observed=_words(answer),
                    path=path_of(translations, row),
                    reproduce=f"ptlive verify {va:#x} --oracle {ORACLE}{root}",
                )
            )


def _words(pa: int | None) -> str:
    return "no translation" if pa is None else f"{pa:#x}"
