"""The debug walker's answers: agreement, quirks, disagreements, and what it cannot know."""

from __future__ import annotations

from ptlive.analysis.report import Report
from ptlive.arrays import u64
from ptlive.verify.debug_walker import ORACLE, RIGHTS, compare
from tests.paging.plain_ram import FRAME
from tests.paging.tables import PWU, machine
from tests.simulated_guest import DATA, NOTHING_AT, Guest

VA = 0x7000_1000


def compared(*answers: int | None) -> Report:
    """Compare answers about a leaf, a hole, a malformed entry, a lost table, no address."""
    guest = Guest(machine(levels=4))
    guest.map(VA, DATA * FRAME, PWU)
    guest.map(VA + 2 * FRAME, DATA * FRAME, PWU | 1 << 51)
    guest.ram.write(8 * 5, NOTHING_AT | PWU)
    va = u64(VA + 1, VA + FRAME, VA + 2 * FRAME, 5 << 39, 1 << 60)
    report = Report(1, 1, 1, 1, "7.2")
    compare(report, guest.space().translate(va), answers, " --root vcpu:2")
    return report


def test_agreement_is_exact() -> None:
    report = compared(DATA * FRAME + 1, None, None, None, None)
    frame, fault = report.checks
    assert (frame.agreed, frame.disagreed) == (4, 0)
    assert dict(frame.unchecked) == {"a table lies in no memory": 1}
    assert (fault.asked, fault.checked, dict(fault.unchecked)) == (False, 0, {RIGHTS: 5})
    assert report.quirks.total() == 0


def test_each_difference_is_a_disagreement_with_both_sides() -> None:
    report = compared(DATA * FRAME, 0x5000, None, 0x77, None)
    first, second = report.disagreements
    assert (first.predicted, first.observed) == (f"{DATA * FRAME + 1:#x}", f"{DATA * FRAME:#x}")
    assert (second.predicted, second.observed) == ("no translation", "0x5000")
    assert (first.access, first.oracle, first.aspect) == (None, ORACLE, "frame")
    assert len(first.path) == 4
    expected = f"ptlive verify {VA + 1:#x} --oracle debug-walker --root vcpu:2"
    assert first.reproduce == expected
    assert report.checks[0].disagreed == 2


def test_no_answer_for_a_page_is_a_disagreement() -> None:
    report = compared(None, None, None, None, None)
    (one,) = report.disagreements
    assert (one.predicted, one.observed) == (f"{DATA * FRAME + 1:#x}", "no translation")


def test_what_it_translates_too_much_is_a_quirk() -> None:
    report = compared(DATA * FRAME + 1, None, 0x1000, None, None)
    assert {quirk.name for quirk in report.quirks} == {"debug-walker-ignores-reserved"}
    assert report.disagreements == []
    assert report.checks[0].unchecked.total() == 2


def test_an_address_that_is_not_canonical_has_no_excuse() -> None:
    (one,) = compared(DATA * FRAME + 1, None, None, None, 0x2000).disagreements
    assert (one.va, one.predicted, one.observed) == (1 << 60, "no translation", "0x2000")
