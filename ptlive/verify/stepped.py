"""The stepped probe's answers held against the walker's predictions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ptlive.access_kind import Access
from ptlive.analysis.report import Disagreement
from ptlive.paging.access import ALLOWED, PAGE_FAULT
from ptlive.paging.format import Kind
from ptlive.paging.formats import x86_64
from ptlive.paging.words import outcome_words
from ptlive.verify import quirks

if TYPE_CHECKING:
    from ptlive.analysis.report import Check, Report
    from ptlive.oracle.observation import Observation
    from ptlive.paging.translate import Translations
    from ptlive.verify.question import Question

ORACLE = "stepped"
NOT_OBSERVABLE = ("PWT", "PCD", "PAT", "G")


class Comparison:
    """Fills a report with what one vCPU answered.

    answered_by: the accelerator; root: options that name the root in a command
    """

    def __init__(
        self, report: Report, translations: Translations, answered_by: str, root: str
    ) -> None:
        self._report, self._translations = report, translations
        self._by, self._root = answered_by, root
        # Writing CR3 through the stub flushes TCG's TLB. Under KVM it does not, and
        # then A and D say nothing: the MMU may have used what it had cached.
        self._flushes = answered_by == "TCG"
        for aspect in ("fault", "cr2", "frame", "accessed", "dirty"):
            report.check(ORACLE, answered_by, aspect)
        for aspect in NOT_OBSERVABLE:
            check = report.check(ORACLE, answered_by, aspect, asked=False)
            check.unchecked[f"no effect on an access under {answered_by}"] = report.reached

    def unchecked(self, question: Question, reason: str) -> None:
        """Count a question that was not asked, or not answered."""
        self._check("fault").unchecked[reason] += 1

    def add(self, question: Question, seen: Observation) -> None:
        """Hold one observation against its prediction."""
        if seen.unchecked:
            self.unchecked(question, seen.unchecked)
            return
        if not self._fault(question, seen) or question.vector != ALLOWED:
            return
        if seen.frame is None:
            self._check("frame").unchecked[seen.frame_unchecked or "not shown"] += 1
        else:
            pa = int(self._translations.pa[question.row])
            self._hold("frame", question, seen.frame, f"reaches {pa:#x}", "reaches another frame")
        self._entries(question, seen)

    def _fault(self, question: Question, seen: Observation) -> bool:
        """Compare vector, error code and CR2; tell whether they agree."""
        agree = (seen.vector, seen.error_code) == (question.vector, question.error_code)
        if not agree:
            quirk = quirks.of_fault(
                self._by, question.vector, question.error_code, seen, self._page1gb(question.row)
            )
            if quirk:
                self._report.quirks[quirk] += 1
                self._check("fault").unchecked[f"quirk {quirk.name}"] += 1
                self._cr2(question, seen)
                return False
        predicted = outcome_words(question.vector, question.error_code)
        self._hold("fault", question, agree, predicted, outcome_words(seen.vector, seen.error_code))
        if agree:
            self._cr2(question, seen)
        return agree

    def _cr2(self, question: Question, seen: Observation) -> None:
        """Compare the address that a page fault reports."""
        if seen.vector == PAGE_FAULT:
            va = int(self._translations.va[question.row])
            self._hold("cr2", question, seen.cr2 == va, f"{va:#x}", f"{seen.cr2 or 0:#x}")

    def _page1gb(self, row: int) -> bool:
        """Tell whether an entry would map a page if the CPU had pages of that size."""
        found = self._translations
        if found.kind[row] != Kind.MALFORMED:
            return False
        return x86_64.needs_page1gb(found.fmt, int(found.lvl[row]), int(found.entry[row]))

    def _entries(self, question: Question, seen: Observation) -> None:
        """Compare A and D: an allowed access sets A on its path, a write D in the leaf."""
        if not self._flushes:
            for aspect in ("accessed", "dirty"):
                self._check(aspect).unchecked["TLB not flushed"] += 1
            return
        probe = question.probe
        assert probe is not None
        if probe.pa in probe.entries:
            for aspect in ("accessed", "dirty"):
                self._check(aspect).unchecked["the access itself reaches an entry of its path"] += 1
            return
        fmt = self._translations.fmt
        path = [(s.lvl, int(s.entry[at])) for s, at in self._translations.path(question.row)]
        expected_a, expected_d, seen_a, seen_d = [], [], [], []
        for (lvl, before), after in zip(path, seen.entries, strict=True):
            masks = {f.name: f.mask for f in fmt.level(lvl).fields}
            is_leaf = (lvl, before) == path[-1]
            dirty = masks["D"] if is_leaf else 0
            sets = dirty if question.kind.access is Access.WRITE else 0
            expected_a.append((before | masks["A"]) & ~dirty)
            seen_a.append(after & ~dirty)
            expected_d.append((before | sets) & dirty)
            seen_d.append(after & dirty)
        self._hold("accessed", question, expected_a == seen_a, _hex(expected_a), _hex(seen_a))
        self._hold("dirty", question, expected_d == seen_d, _hex(expected_d), _hex(seen_d))

    def _check(self, aspect: str) -> Check:
        return self._report.check(ORACLE, self._by, aspect)

    def _hold(self, aspect: str, question: Question, agree: bool, want: str, got: str) -> None:
        check = self._check(aspect)
        if agree:
            check.agreed += 1
            return
        check.disagreed += 1
        va = int(self._translations.va[question.row])
        self._report.disagreements.append(
            Disagreement(
                va=va,
                access=question.kind.name,
                oracle=ORACLE,
                aspect=aspect,
                predicted=want,
                observed=got,
                path=path_of(self._translations, question.row),
                reproduce=f"ptlive verify {va:#x} --oracle {ORACLE} --access {question.kind.name}"
                f"{self._root}",
            )
        )


def path_of(translations: Translations, row: int) -> tuple[tuple[int, int, int], ...]:
    """Return (level, entry address, entry) from the root."""
    return tuple(
        (step.lvl, int(step.entry_pa[at]), int(step.entry[at]))
        for step, at in translations.path(row)
    )


def _hex(entries: list[int]) -> str:
    return " ".join(f"{entry:#x}" for entry in entries)
