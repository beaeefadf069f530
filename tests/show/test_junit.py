"""A verification as JUnit XML."""

from __future__ import annotations

from xml.etree import ElementTree

from ptlive.analysis.report import Report
from ptlive.show.junit import junit, junit_of_error
from tests.show.test_report import FMT, difference, report


def suite_of(found: Report, root: str = "root 0x1000 (cr3)") -> ElementTree.Element:
    top = ElementTree.fromstring(junit([(root, FMT, found)]))
    assert top.tag == "testsuites"
    (suite,) = top
    return suite


def test_a_test_case_for_each_property_that_an_oracle_answered() -> None:
    suite = suite_of(report())
    assert suite.attrib == {
        "name": "root 0x1000 (cr3)",
        "tests": "3",
        "failures": "0",
        "errors": "0",
        "skipped": "2",
        "time": "1.235",
    }
    fault, pat, g = suite
    assert fault.attrib == {"classname": "root 0x1000 (cr3).stepped", "name": "fault, TCG"}
    assert fault.findtext("system-out") == (
        "1,234 checked, 1,234 agreed\n7 unchecked: quirk odd\n2 unchecked: device memory"
    )
    for case in (pat, g):
        (skipped,) = case
        assert skipped.get("message") == "5 unchecked: no effect"


def test_disagreements_stand_in_full_below_their_property_alone() -> None:
    found = report()
    found.check("stepped", "TCG", "fault").disagreed = 2
    found.check("stepped", "TCG", "frame").agreed = 1
    found.disagreements += [difference(1), difference(2)]
    suite = suite_of(found)
    assert suite.get("failures") == "1"
    (failure,) = suite.iter("failure")
    assert failure.get("message") == "2 of 1,236 disagree"
    lines = str(failure.text).split("\n")
    assert lines[0] == "disagreement: 0x0000000000001000 (user-read), fault"
    assert lines[-1] == "  ask again: ptlive verify 0x0"


def test_the_same_property_under_two_accelerators_fails_where_it_failed() -> None:
    found = Report(0, 0, 0, 0, version="")
    for by, disagreed in (("TCG", 0), ("KVM, unknown", 1)):
        check = found.check("twin", by, "fault")
        check.agreed, check.disagreed = 5, disagreed
    tcg, kvm = suite_of(found)
    assert tcg.find("failure") is None
    assert kvm.find("failure") is not None


def test_what_was_asked_for_and_never_checked_is_an_error() -> None:
    found = Report(0, 0, 0, 0, version="")
    found.check("twin", "TCG", "fault").unchecked["no RAM"] = 3
    suite = suite_of(found)
    assert suite.get("errors") == "1"
    (error,) = suite.iter("error")
    assert error.text == "3 unchecked: no RAM"


def test_what_xml_cannot_have_is_escaped() -> None:
    found = report()
    found.check("stepped", "TCG", "fault").unchecked["<&\x00\x1b[31m\ufffe]]>"] = 1
    suite = suite_of(found, root="a\x07<b>")
    assert suite.get("name") == "a\\x07<b>"
    assert "<&\\x00\\x1b[31m\\ufffe]]>" in str(suite[0].findtext("system-out"))


def test_what_could_not_be_done_is_an_error_too() -> None:
    (error,) = ElementTree.fromstring(junit_of_error("the twin <died>")).iter("error")
    assert error.get("message") == "the twin <died>"
