"""A verification as JUnit XML, which CI systems read.

Written with xml.etree, which escapes: what is needed of the format is three elements, and
no library takes out the characters that XML cannot have at all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.etree import ElementTree

from ptlive.show.report import disagreement_lines
from ptlive.show.terminal import plain

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ptlive.analysis.report import Check, Report
    from ptlive.paging.format import Format

#: Of one property, so many disagreements are written in full.
SHOWN = 100


def junit(results: Sequence[tuple[str, Format, Report]]) -> bytes:
    """Return the XML of verifications of several roots, each with what the root is called.

    A test suite is a root; a test case is a property as one oracle answered it. It failed
    if anything disagreed, was skipped if no access shows it, and is an error if it was
    asked for and never checked.
    """
    top = ElementTree.Element("testsuites", name="ptlive verify")
    for root, fmt, report in results:
        suite = ElementTree.SubElement(top, "testsuite", name=_text(root))
        never = {id(check) for check in report.never_checked}
        counts = dict.fromkeys(("tests", "failures", "errors", "skipped"), 0)
        for check in report.checks:
            name = f"{check.aspect}, {check.answered_by}"
            where = f"{root}.{check.oracle}"
            case = ElementTree.SubElement(
                suite, "testcase", classname=_text(where), name=_text(name)
            )
            counts["tests"] += 1
            what = _outcome(case, check, fmt, report, never=id(check) in never)
            if what:
                counts[what] += 1
        for name, count in counts.items():
            suite.set(name, str(count))
        suite.set("time", f"{report.seconds:.3f}")
    return _bytes(top)


def junit_of_error(sentence: str) -> bytes:
    """Return the XML of a verification that could not be done."""
    top = ElementTree.Element("testsuites", name="ptlive verify")
    suite = ElementTree.SubElement(top, "testsuite", name="ptlive verify", tests="1", errors="1")
    case = ElementTree.SubElement(suite, "testcase", classname="ptlive", name="verify")
    ElementTree.SubElement(case, "error", type="PtliveError", message=_text(sentence))
    return _bytes(top)


def _outcome(
    case: ElementTree.Element, check: Check, fmt: Format, report: Report, *, never: bool
) -> str | None:
    """Add what came of a property, and return what that counts as, None if it is well."""
    reasons = "\n".join(f"{n:,} unchecked: {why}" for why, n in check.unchecked.most_common())
    result = None
    if check.disagreed:
        message = f"{check.disagreed:,} of {check.checked:,} disagree"
        failure = ElementTree.SubElement(case, "failure", type="disagreement", message=message)
        found = [
            one
            for one in report.disagreements
            if (one.oracle, one.aspect) == (check.oracle, check.aspect)
            and one.answered_by in ("", check.answered_by)
        ]
        lines = [str(line) for one in found[:SHOWN] for line in disagreement_lines(fmt, one)]
        failure.text = _text("\n".join(lines))
        result = "failures"
    elif never:
        error = ElementTree.SubElement(case, "error", type="never-checked", message="never checked")
        error.text = _text(reasons)
        return "errors"
    elif not check.checked:
        message = _text(reasons) or "nothing called for it"
        ElementTree.SubElement(case, "skipped", message=message)
        return "skipped"
    said = f"{check.checked:,} checked, {check.agreed:,} agreed\n{reasons}".rstrip()
    ElementTree.SubElement(case, "system-out").text = _text(said)
    return result


def _text(text: str) -> str:
    """Escape what XML or a terminal cannot have, line by line."""
    return "\n".join(plain(line) for line in text.split("\n"))


def _bytes(top: ElementTree.Element) -> bytes:
    ElementTree.indent(top)
    xml: bytes = ElementTree.tostring(top, encoding="utf-8", xml_declaration=True)
    return xml + b"\n"
