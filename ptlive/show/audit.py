"""Findings of an audit, in text and for JSON."""

from __future__ import annotations

import textwrap
from collections import Counter
from typing import TYPE_CHECKING, Any

from ptlive.paging import fields, rights
from ptlive.show import words
from ptlive.show.terminal import aligned

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ptlive.analysis.audit.context import Context, Root
    from ptlive.analysis.audit.finding import Finding, Place, Rule, Severity
    from ptlive.analysis.audit.run import Audit

_HEADER = ("start", "last", "size", "pages", "rights", "in", "physical", "level", "entry at")
_WIDTH = 96
_EXPLAINED = 3  # places that are told of what is explained
_NAMED = 3  # roots that are named; of more it is said how many they are
_INDENT = "  "


def headline(finding: Finding) -> str:
    """Return the line that a finding begins with."""
    return f"{finding.severity.word}: {finding.rule.id}: {finding.what}"


def lines(context: Context, finding: Finding, limit: int) -> Iterator[str]:
    """Yield what is to be said of a finding, at most `limit` of its places."""
    yield from _wrapped(_extent(context, finding))
    if finding.explanation:
        yield from _wrapped(f"explained: {finding.explanation}")
    else:
        yield from _wrapped(f"why it matters: {finding.rule.reason}")
    for name, value in finding.evidence.items():
        yield from _wrapped(f"{name}: {value}")
    shown = min(limit, _EXPLAINED) if finding.explanation else limit
    yield from (f"{_INDENT}{line}" for line in _places(context, finding, shown))
    yield from _wrapped(f"see: {'; '.join(finding.rule.references)}")


def summary(result: Audit, rules: int, fail_on: Severity | None) -> Iterator[str]:
    """Yield how many findings there are, what was not looked at, and what the verdict is."""
    counted = Counter(one.severity for one in result.findings)
    told = ", ".join(f"{counted[level]} {level.word}" for level in sorted(counted, reverse=True))
    findings = words.count(len(result.findings), "finding")
    applied = rules - len(result.skipped)
    yield f"{findings}{f' ({told})' if told else ''} by {applied} of {words.count(rules, 'rule')}"
    reasons: dict[str, list[str]] = {}
    for name, why in result.skipped.items():
        reasons.setdefault(why, []).append(name)
    for why, names in reasons.items():
        yield f"not applied: {' '.join(names)}: {why}"
    for name, count in result.ignored.items():
        yield f"ignored as asked: {name}: {words.count(count, 'place')}"
    if fail_on is not None:
        failing = sum(one.severity >= fail_on for one in result.findings)
        yield f"{failing or 'none'} at or above {fail_on.word}"


def rule_lines(rules: Sequence[Rule]) -> Iterator[str]:
    """Yield what each rule looks for, how bad that is, why, and who says so."""
    for rule in rules:
        yield f"{rule.id} ({rule.severity.word}): {rule.title}"
        yield from _wrapped(rule.reason)
        yield from _wrapped(f"see: {'; '.join(rule.references)}")


def rule_json(rule: Rule) -> dict[str, Any]:
    """Return a rule for JSON."""
    return {
        "id": rule.id,
        "severity": rule.severity.word,
        "title": rule.title,
        "reason": rule.reason,
        "references": list(rule.references),
    }


def as_json(context: Context, finding: Finding) -> dict[str, Any]:
    """Return a finding for JSON."""
    return {
        "rule": finding.rule.id,
        "severity": finding.severity.word,
        "what": finding.what,
        "reason": finding.rule.reason,
        "explanation": finding.explanation,
        "references": list(finding.rule.references),
        "evidence": finding.evidence,
        "regions": finding.regions,
        "cut": finding.cut,
        "pages": finding.pages,
        "bytes": finding.bytes,
        "roots": [hex(context.roots[at].address) for at in finding.roots],
        "places": (place_json(context, place) for place in finding.places),
    }


def place_json(context: Context, place: Place) -> dict[str, Any]:
    """Return a place for JSON; what it does not have is null."""
    fmt = context.fmt
    level = fmt.level(place.level) if place.level else None
    folded, packed = place.rights, place.attributes
    return {
        "va": None if place.va is None else words.address(place.va),
        "last_va": None if place.last_va is None else words.address(place.last_va),
        "times": place.times,
        "pa": None if place.pa is None else hex(place.pa),
        "pages": place.pages,
        "rights": None if folded is None else rights.names(fmt, folded),
        "attributes": None if packed is None else fields.unpack_attributes(fmt, packed),
        "target": place.target,
        "area": place.area,
        "level": place.level,
        "name": words.level_names(level) if level else None,
        "entry_pa": None if place.entry_pa is None else hex(place.entry_pa),
        "entry": None if place.entry is None else f"{place.entry:#018x}",
        "roots": [hex(context.roots[at].address) for at in place.roots],
    }


def roots_in_words(roots: Sequence[Root], some: Sequence[int]) -> str:
    """Return which roots are meant."""
    if len(some) == len(roots):
        return f"all {len(roots)} roots" if len(roots) > 1 else f"root {roots[0].address:#x}"
    if len(some) > _NAMED:
        return f"{len(some)} of {len(roots)} roots"
    named = " ".join(f"{roots[at].address:#x}" for at in some)
    return f"root{'s' if len(some) > 1 else ''} {named}"


def _extent(context: Context, finding: Finding) -> str:
    parts = []
    if finding.pages:
        parts.append(words.count(finding.pages, "page"))
    if finding.pages and finding.bytes and not finding.cut:
        parts.append(words.size(finding.bytes))
    if finding.regions > 1 or finding.pages:
        more = "more than " if finding.cut else ""
        parts.append(more + words.count(finding.regions, "region" if finding.pages else "place"))
    if finding.roots:
        parts.append(f"in {roots_in_words(context.roots, finding.roots)}")
    return ", ".join(parts)


def _places(context: Context, finding: Finding, limit: int) -> Iterator[str]:
    shown = [place for place in finding.places if place.va is not None or place.pa is not None]
    shown = shown[:limit]
    if not shown:
        return
    several = len(context.roots) > 1
    areas = any(place.area for place in shown)
    table = [_cells(context, place, areas=areas, several=several) for place in shown]
    header = [*_HEADER, "entry", *["area"] * areas, *["roots"] * several]
    columns = [list(column) for column in zip(*table, strict=True)]
    # What no place has needs no column.
    used = [at for at, column in enumerate(columns) if any(column)]
    yield from aligned([header[at] for at in used], [columns[at] for at in used])
    if finding.regions > len(shown):
        yield f"... {finding.regions - len(shown):,} more (--limit)"


def _cells(context: Context, place: Place, *, areas: bool, several: bool) -> list[str]:
    fmt, folded = context.fmt, place.rights
    size = "" if place.va is None or place.last_va is None else place.last_va - place.va + 1
    times = f" x {place.times}" if place.times > 1 else ""
    return [
        "" if place.va is None else words.address(place.va),
        "" if place.last_va is None else words.address(place.last_va),
        f"{words.size(size)}{times}" if isinstance(size, int) else "",
        words.pages(place.pages) if place.pages else "",
        "" if folded is None else words.rights(fmt, rights.names(fmt, folded)),
        place.target or "",
        "" if place.pa is None else f"{place.pa:#x}",
        f"{place.level} {fmt.level(place.level).spec}" if place.level else "",
        "" if place.entry_pa is None else f"{place.entry_pa:#x}",
        "" if place.entry is None else f"{place.entry:#018x}",
        *[place.area or ""] * areas,
        *[roots_in_words(context.roots, place.roots)] * several,
    ]


def _wrapped(text: str) -> list[str]:
    if not text:
        return []
    return textwrap.wrap(
        text,
        _WIDTH,
        initial_indent=_INDENT,
        subsequent_indent=_INDENT * 2,
        break_long_words=False,
        break_on_hyphens=False,
    )
