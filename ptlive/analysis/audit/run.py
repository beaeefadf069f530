"""Rules applied: what they saw, sorted by what explains it, as findings."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ptlive.analysis.audit.design import Design, explained
from ptlive.analysis.audit.finding import Finding, Severity, Skipped
from ptlive.analysis.audit.places import places
from ptlive.analysis.audit.rules import RULES
from ptlive.paging.format import Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from ptlive.analysis.audit.context import Context
    from ptlive.analysis.audit.finding import Place, Rule, Seen

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
    pages: int | None = None
    if seen.graph is not None:
        found, count = places(context, seen.graph)
        if len(found) < count:
            pages = seen.graph.reached(Kind.LEAF)
    else:
        found, count = list(seen.places), seen.count
    groups: dict[Design | None, list[Place]] = {}
    mine = [one for one in ignore if one.rule == rule.id]
    for place in found:
        if any(one.covers(place) for one in mine):
            ignored[rule.id] = ignored.get(rule.id, 0) + place.times
        else:
            groups.setdefault(explained(context, rule, place), []).append(place)
    beyond = count - len(found)  # these are not looked at: they are with what has no explanation
    if beyond and not mine:
        groups.setdefault(None, [])
    severity = rule.severity if seen.severity is None else seen.severity
    for design, group in groups.items():
        more = beyond if design is None else 0
        yield Finding(
            rule=rule,
            severity=min(severity, design.severity) if design else severity,
            what=seen.what,
            explanation=design.text if design else seen.why,
            places=tuple(group[:KEPT]),
            regions=sum(place.times for place in group) + more,
            pages=pages if pages is not None else sum(map(_pages, group)),
            bytes=sum(place.bytes for place in group),
            roots=tuple(sorted({root for place in group for root in place.roots})),
            evidence=seen.evidence,
        )


def _pages(place: Place) -> int:
    return sum(place.pages.values()) if place.pages else 0
