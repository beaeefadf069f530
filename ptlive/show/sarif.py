"""Findings of an audit as SARIF 2.1.0, which code-scanning services and editors read.

OASIS, "Static Analysis Results Interchange Format (SARIF) Version 2.1.0", sections in
parentheses. A guest's memory is no file: places are logical locations (3.33), and, as many
readers want a physical one, the guest is named as the artifact.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from ptlive.analysis.audit.finding import Severity
from ptlive.show import words
from ptlive.show.audit import place_json

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from ptlive.analysis.audit.context import Context
    from ptlive.analysis.audit.finding import Finding, Place, Rule

SCHEMA = (
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
)
# 3.27.10; the score is what GitHub's code scanning sorts security findings by.
_LEVELS = {
    Severity.INFO: ("note", "0.0"),
    Severity.LOW: ("note", "2.0"),
    Severity.MEDIUM: ("warning", "5.0"),
    Severity.HIGH: ("error", "8.0"),
    Severity.CRITICAL: ("error", "9.5"),
}
# Places of one finding that become locations; the result says how many there are.
_LOCATIONS = 100


def write(path: Path, log: dict[str, Any]) -> None:
    """Write a log to a file."""
    path.write_text(json.dumps(log, indent=1) + "\n", encoding="utf-8")


def log(
    version: str,
    guest: str,
    rules: Sequence[Rule],
    found: Sequence[tuple[Context, Finding]],
    notes: Sequence[str],
) -> dict[str, Any]:
    """Return a log with one run (3.13, 3.14); notes: what the reader must know."""
    index = {rule.id: at for at, rule in enumerate(rules)}
    return {
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [
            {
                "tool": {
                    "driver": {
                        "name": "ptlive",
                        "semanticVersion": version,
                        "rules": [_descriptor(rule) for rule in rules],
                    }
                },
                "invocations": [
                    {
                        "executionSuccessful": True,
                        "toolExecutionNotifications": [
                            {"level": "note", "message": {"text": note}} for note in notes
                        ],
                    }
                ],
                "results": [
                    _result(context, finding, guest, index[finding.rule.id])
                    for context, finding in found
                ],
            }
        ],
    }


def _descriptor(rule: Rule) -> dict[str, Any]:
    """Return a rule as a reportingDescriptor (3.49)."""
    level, score = _LEVELS[rule.severity]
    return {
        "id": rule.id,
        "shortDescription": {"text": rule.title},
        "fullDescription": {"text": f"{rule.title}: {rule.reason}."},
        "help": {"text": "See: " + "; ".join(rule.references)},
        "defaultConfiguration": {"level": level},
        "properties": {
            "security-severity": score,
            "tags": ["security", *(name for name in rule.references if name.startswith("CWE-"))],
        },
    }


def _result(context: Context, finding: Finding, guest: str, index: int) -> dict[str, Any]:
    """Return a finding as a result (3.27)."""
    text = f"{finding.what} ({words.count(finding.regions, 'place')})"
    if finding.explanation:
        text += f"; explained: {finding.explanation}"
    return {
        "ruleId": finding.rule.id,
        "ruleIndex": index,
        "kind": "fail",
        "level": _LEVELS[finding.severity][0],
        "message": {"text": text},
        "locations": list(_locations(context, finding, guest)),
        "partialFingerprints": {"ptlive/v1": _fingerprint(finding)},
        "properties": {
            "severity": finding.severity.word,
            "security-severity": _LEVELS[finding.severity][1],
            "pages": finding.pages,
            "regions": finding.regions,
            "evidence": finding.evidence,
        },
    }


def _locations(context: Context, finding: Finding, guest: str) -> Iterator[dict[str, Any]]:
    # What names no guest's file must still be a relative reference (3.4.3).
    physical = {"artifactLocation": {"uri": "guest/" + quote(guest, safe="")}}
    for place in finding.places[:_LOCATIONS] or (None,):
        yield {
            "physicalLocation": physical,
            **({"logicalLocations": [_logical(context, place)]} if place else {}),
        }


def _logical(context: Context, place: Place) -> dict[str, Any]:
    """Return a place as a logicalLocation (3.33)."""
    if place.va is not None and place.last_va is not None:
        name = f"{words.address(place.va)}..{words.address(place.last_va)}"
    elif place.pa is not None:
        name = f"physical {place.pa:#x}"
    else:
        name = "control registers"
    roots = " ".join(f"{context.roots[at].address:#x}" for at in place.roots[:1])
    return {
        "name": name,
        "fullyQualifiedName": f"root {roots} {name}" if roots else name,
        "kind": place.area or "memory",
        "properties": {key: value for key, value in place_json(context, place).items() if value},
    }


def _fingerprint(finding: Finding) -> str:
    """Return what stays the same of a finding from one boot to the next (3.27.17).

    Bases are randomised and frames are given out anew: areas, rights and targets are not.
    """
    parts = {(place.area, place.rights, place.target, place.level) for place in finding.places}
    text = repr((finding.rule.id, finding.what, sorted(parts, key=repr)))
    return hashlib.sha256(text.encode()).hexdigest()[:32]
