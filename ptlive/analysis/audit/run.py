"""Rules applied: what they saw, sorted by what explains it, as findings."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from ptlive.analysis.audit.design import Design, designs, explained
from ptlive.analysis.audit.finding import Finding, Severity, Skipped
from ptlive.analysis.audit.places import Rows, rows_of
from ptlive.analysis.audit.rules import RULES
from ptlive.paging.format import Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from ptlive.analysis.audit.context import Context
    from ptlive.analysis.audit.finding import Place, Rule, Seen
    from ptlive.arrays import Index

# So many places are kept of a finding.
KEPT = 1000


@dataclass(frozen=True)
class Ignored:
    """Findings of a rule that are not to be told, where they lie in a range; ends included."""

    rule: str
    va: int = 0
    last_va: int = (1 << 64) - 1

    def covers(self, place: Place) -> bool:
        """Tell whether a place lies in the range, or has no address and all are meant."""
        if place.va is None or place.last_va is None:
            return self.va == 0 and self.last_va == (1 << 64) - 1
        return self.va <= place.va and place.last_va <= self.last_va


@dataclass
class Audit:
    """What an audit came to.

    skipped: why a rule could not be applied, by its name; ignored: how many places were
    left out as asked, by rule
    """

    findings: list[Finding] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)
    ignored: dict[str, int] = field(default_factory=dict)

    @property
    def worst(self) -> Severity | None:
        """The severity of the worst finding."""
        return max((one.severity for one in self.findings), default=None)


def audit(
    context: Context,
    rules: Sequence[Rule] = RULES,
    ignore: Sequence[Ignored] = (),
    progress: Callable[[str, int, int], None] = lambda *_: None,
) -> Audit:
    """Apply rules; findings come worst first. progress: told (what, done, all)."""
    result = Audit()
    for done, rule in enumerate(rules):
        progress("rules", done, len(rules))
        for seen in rule.check(context):
            if isinstance(seen, Skipped):
                result.skipped[rule.id] = seen.why
            else:
                result.findings += _findings(context, rule, seen, ignore, result.ignored)
    progress("rules", len(rules), len(rules))
    result.findings.sort(key=lambda one: -one.severity)
    return result


def _findings(
    context: Context,
    rule: Rule,
    seen: Seen,
    ignore: Sequence[Ignored],
    ignored: dict[str, int],
) -> Iterator[Finding]:
    """Yield a finding for each explanation of what was seen, and one for what has none."""
    severity = rule.severity if seen.severity is None else seen.severity
    mine = [one for one in ignore if one.rule == rule.id]
    if seen.graph is None:
        kept = [place for place in seen.places if not any(one.covers(place) for one in mine)]
        left_out = len(seen.places) - len(kept)
        _count(ignored, rule, left_out)
        if kept:
            yield Finding(
                rule=rule,
                severity=severity,
                what=seen.what,
                explanation=seen.why,
                places=tuple(kept[:KEPT]),
                regions=seen.count - left_out,
                pages=sum(sum(place.pages.values()) for place in kept if place.pages),
                bytes=sum(place.bytes for place in kept if place.pages),
                roots=tuple(sorted({root for place in kept for root in place.roots})),
                evidence=seen.evidence,
            )
        return
    rows = rows_of(context, seen.graph)
    told = np.ones(len(rows), dtype=np.bool_)
    for one in mine:
        told &= (rows.va < np.uint64(one.va)) | (rows.last_va > np.uint64(one.last_va))
    _count(ignored, rule, int((~told).sum()))
    sets = context.folded.roots
    for design, group in _by_design(context, rule, rows, np.flatnonzero(told)):
        here = np.flatnonzero(sets[np.unique(rows.space[group])].any(axis=0))
        yield Finding(
            rule=rule,
            severity=min(severity, design.severity) if design else severity,
            what=seen.what,
            explanation=design.text if design else seen.why,
            places=rows.places(group[:KEPT]),
            regions=int(rows.times[group].sum()),
            pages=seen.graph.reached(Kind.LEAF) if rows.cut else int(rows.pages[group].sum()),
            bytes=rows.bytes(group),
            roots=tuple(here.tolist()),
            evidence=seen.evidence,
            cut=rows.cut,
        )


def _by_design(
    context: Context, rule: Rule, rows: Rows, some: Index
) -> Iterator[tuple[Design | None, Index]]:
    """Yield the rows that one statement explains, each such group; and those that none does."""
    rest = some
    for design in designs(context, rule):
        mine = rest[explained(context, design, rows, rest)]
        if mine.size:
            yield design, mine
            rest = np.setdiff1d(rest, mine)
    if rest.size:
        yield None, rest


def _count(ignored: dict[str, int], rule: Rule, number: int) -> None:
    if number:
        ignored[rule.id] = ignored.get(rule.id, 0) + number
