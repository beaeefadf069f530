"""A verification's report, in text and for JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ptlive.show import words
from ptlive.show.terminal import columns, verdict

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from rich.text import Text

    from ptlive.analysis.report import Check, Disagreement, Quirk, Report
    from ptlive.paging.format import Format

_HEADER = ("oracle", "answered by", "property", "checked", "agreed", "disagreed", "unchecked")
SHOWN = 20


def lines(fmt: Format, report: Report) -> Iterator[str | Text]:
    """Yield the report: checks, what could not be checked, quirks, disagreements, the verdict."""
    rows = [
        (
            check.oracle,
            check.answered_by,
            check.aspect,
            f"{check.checked:,}",
            f"{check.agreed:,}",
            f"{check.disagreed:,}",
            f"{sum(check.unchecked.values()):,}",
        )
        for check in report.checks
        if check.asked
    ]
    yield from columns(_HEADER, rows, "   >>>>")
    if report.accesses:
        addresses = ", ".join(f"{n:,} {what}" for what, n in report.addresses.items())
        yield f"  asked: {addresses}; {sum(report.accesses.values()):,} accesses"
    for note in report.notes:
        yield f"  note: {note}"
    # What no access can show is alike for several properties: told once for all of them.
    answerers = {(check.oracle, check.answered_by) for check in report.checks}
    several = {one for one, _ in answerers if sum(one == other for other, _ in answerers) > 1}
    reasons: dict[tuple[str, str, int], list[str]] = {}
    for check in report.checks:
        by = f" ({check.answered_by})" if check.oracle in several else ""
        for reason, count in check.unchecked.most_common():
            if not count:
                continue
            reasons.setdefault((f"{check.oracle}{by}", reason, count), []).append(check.aspect)
    for (oracle, reason, count), aspects in reasons.items():
        yield f"  {oracle}, {', '.join(aspects)}: {count:,} unchecked: {reason}"
    for quirk, count in report.quirks.items():
        yield f"  quirk of {quirk.accelerator}, {count:,} times: {quirk.name}: {quirk.reason}"
        yield f"    {quirk.cite}"
    for difference in report.disagreements[:SHOWN]:
        yield from disagreement_lines(fmt, difference)
    if len(report.disagreements) > SHOWN:
        yield f"... {len(report.disagreements) - SHOWN:,} more disagreements (--json has all)"
    yield conclusion(report)


def conclusion(report: Report) -> Text:
    """Return the verdict in one line."""
    asked = sum(check.checked for check in report.checks)
    text = f"{words.count(report.disagreed, 'disagreement')} in {words.count(asked, 'check')}"
    if report.never_checked:
        missing = ", ".join(f"{c.oracle} {c.aspect}" for c in report.never_checked)
        return verdict(f"{text}; never checked: {missing}", good=None)
    return verdict(text, good=not report.disagreed)


def disagreement_lines(fmt: Format, difference: Disagreement) -> Iterator[str | Text]:
    """Yield a disagreement: where, what either side says, the path, how to ask again."""
    access = f" ({difference.access})" if difference.access else ""
    yield verdict(
        f"disagreement: {words.address(difference.va)}{access}, {difference.aspect}", good=False
    )
    yield f"  tables say  {difference.predicted}"
    by = f" ({difference.answered_by})" if difference.answered_by else ""
    yield f"  {difference.oracle}{by} says  {difference.observed}"
    for lvl, entry_pa, entry in difference.path:
        yield f"  {fmt.level(lvl).spec} (level {lvl}) at {entry_pa:#x}: {entry:#018x}"
    yield f"  ask again: {difference.reproduce}"


def checks_json(checks: Iterable[Check]) -> list[dict[str, Any]]:
    """Return checks as JSON has them."""
    return [
        {
            "oracle": check.oracle,
            "answered_by": check.answered_by,
            "property": check.aspect,
            "asked": check.asked,
            "checked": check.checked,
            "agreed": check.agreed,
            "disagreed": check.disagreed,
            "unchecked": [
                {"reason": reason, "count": count}
                for reason, count in check.unchecked.most_common()
            ],
        }
        for check in checks
    ]


def quirks_json(quirks: Mapping[Quirk, int], version: str) -> list[dict[str, Any]]:
    """Return quirks, and how often each was met, as JSON has them; version: of QEMU."""
    return [
        {
            "name": quirk.name,
            "accelerator": quirk.accelerator,
            "version": version,
            "reason": quirk.reason,
            "cite": quirk.cite,
            "count": count,
        }
        for quirk, count in quirks.items()
    ]


def as_json(report: Report) -> dict[str, Any]:
    """Return the report as the JSON of `ptlive.verify/1` has it."""
    return {
        "tables": report.tables,
        "leaves": report.leaves,
        "reached": report.reached,
        "holes": report.holes,
        "checks": checks_json(report.checks),
        "disagreements": [
            {
                "va": words.address(difference.va),
                "access": difference.access,
                "oracle": difference.oracle,
                "answered_by": difference.answered_by or None,
                "property": difference.aspect,
                "predicted": difference.predicted,
                "observed": difference.observed,
                "path": [
                    {"level": lvl, "entry_pa": hex(entry_pa), "entry": hex(entry)}
                    for lvl, entry_pa, entry in difference.path
                ],
                "reproduce": difference.reproduce,
            }
            for difference in report.disagreements
        ],
        "quirks": quirks_json(report.quirks, report.version),
        "asked": {"addresses": dict(report.addresses), "accesses": dict(report.accesses)},
        "notes": list(report.notes),
        "seed": report.seed,
        "seconds": round(report.seconds, 3),
    }
