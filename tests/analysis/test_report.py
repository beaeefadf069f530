"""A report's numbers: what counts as checked, as unchecked, and as never checked."""

from __future__ import annotations

from ptlive.analysis.report import Report


def report() -> Report:
    return Report(tables=1, leaves=1, reached=1, holes=1, version="7.2")


def test_a_property_has_one_check_for_each_oracle() -> None:
    found = report()
    first = found.check("stepped", "TCG", "fault")
    assert found.check("stepped", "TCG", "fault") is first
    assert found.check("debug-walker", "debug walker", "fault") is not first
    assert [check.oracle for check in found.checks] == ["stepped", "debug-walker"]


def test_checked_is_agreed_and_disagreed() -> None:
    check = report().check("stepped", "TCG", "frame")
    check.agreed, check.disagreed = 3, 2
    check.unchecked["device"] += 7
    assert check.checked == 5


def test_disagreements_are_counted_over_all_checks() -> None:
    found = report()
    found.check("stepped", "TCG", "fault").disagreed = 2
    found.check("debug-walker", "debug walker", "frame").disagreed = 3
    assert found.disagreed == 5


def test_what_was_asked_for_and_only_left_unchecked_was_never_checked() -> None:
    found = report()
    found.check("stepped", "TCG", "fault").agreed = 1
    frame = found.check("stepped", "TCG", "frame")
    frame.unchecked["nothing keeps a value"] = 4
    assert found.never_checked == [frame]


def test_what_nothing_called_for_is_not_held_against_a_verification() -> None:
    found = report()
    found.check("stepped", "TCG", "fault").agreed = 1
    found.check("stepped", "TCG", "cr2")
    assert found.never_checked == []


def test_an_oracle_that_checked_nothing_at_all_was_never_checked() -> None:
    found = report()
    found.check("debug-walker", "debug walker", "frame").agreed = 9
    fault, cr2 = (found.check("stepped", "TCG", aspect) for aspect in ("fault", "cr2"))
    assert found.never_checked == [fault, cr2]


def test_what_no_access_can_show_is_not_asked_for() -> None:
    found = report()
    found.check("stepped", "TCG", "PAT", asked=False).unchecked["no effect"] = 9
    assert found.never_checked == []
