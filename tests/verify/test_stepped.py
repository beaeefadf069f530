"""Observations held against predictions, one property at a time."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from ptlive.access_kind import ACCESS_KINDS
from ptlive.analysis.report import Report
from ptlive.arrays import u64
from ptlive.oracle.observation import Observation
from ptlive.verify.question import Question, questions
from ptlive.verify.stepped import NOT_OBSERVABLE, Comparison, path_of
from tests.paging.plain_ram import FRAME
from tests.paging.tables import PWU, A, D, P, machine
from tests.simulated_guest import DATA, Guest

if TYPE_CHECKING:
    from ptlive.paging.translate import Translations

VA = 0x7000_1000


class Held:
    """One access to one page, and a report to hold observations in."""

    def __init__(self, kind: str, flags: int = PWU, answered_by: str = "TCG") -> None:
        guest = Guest(machine(levels=4))
        at = guest.map(VA, DATA * FRAME, flags)
        guest.ram.write(at, guest.ram.value(at) & ~(A | D))
        space = guest.space()
        self.translations: Translations = space.translate(u64(VA))
        chosen = [ACCESS_KINDS[kind]]
        self.question: Question = next(questions(space, self.translations, chosen, u64()))
        self.report = Report(1, 1, 7, 1, "7.2")
        self.comparison = Comparison(self.report, self.translations, answered_by, " --root X")
        self.before = tuple(entry for _, _, entry in path_of(self.translations, 0))

    def entries(self, leaf: int, upper: int = A) -> tuple[int, ...]:
        """The path afterwards, with these bits set."""
        return (*(entry | upper for entry in self.before[:-1]), self.before[-1] | leaf)

    def add(self, **what: object) -> dict[str, tuple[int, int, int]]:
        """Add an observation; return (agreed, disagreed, unchecked) by property."""
        self.comparison.add(self.question, replace(Observation(), **what))  # type: ignore[arg-type]  # a stand-in
        return {
            check.aspect: (check.agreed, check.disagreed, check.unchecked.total())
            for check in self.report.checks
            if check.asked and (check.checked or check.unchecked)
        }


OK, BAD, OPEN = (1, 0, 0), (0, 1, 0), (0, 0, 1)


def test_an_allowed_read() -> None:
    held = Held("user-read")
    assert held.add(frame=True, entries=held.entries(A)) == {
        "fault": OK,
        "frame": OK,
        "accessed": OK,
        "dirty": OK,
    }


def test_an_allowed_write_sets_d() -> None:
    held = Held("user-write")
    assert set(held.add(frame=True, entries=held.entries(A | D)).values()) == {OK}


@pytest.mark.parametrize(
    ("kind", "leaf", "upper", "accessed", "dirty"),
    [
        ("user-read", 0, A, BAD, OK),
        ("user-read", A | D, A, OK, BAD),
        ("user-write", A, A, OK, BAD),
        ("user-write", D, A, BAD, OK),
        ("user-read", A | 1 << 10, A, BAD, OK),
        ("user-read", A, A | D, BAD, OK),  # D is no flag of a table
        ("user-read", A | 0x5000, A, BAD, OK),
    ],
)
def test_each_flag_by_itself(
    kind: str, leaf: int, upper: int, accessed: tuple[int, ...], dirty: tuple[int, ...]
) -> None:
    held = Held(kind)
    found = held.add(frame=True, entries=held.entries(leaf, upper))
    assert (found["accessed"], found["dirty"]) == (accessed, dirty)
    assert found["fault"] == found["frame"] == OK


def test_a_flag_that_was_set_must_stay_set() -> None:
    held = Held("user-read")
    entries = (held.before[0] & ~A, *held.entries(A)[1:])
    assert held.add(frame=True, entries=entries)["accessed"] == BAD


def test_another_frame() -> None:
    held = Held("user-read")
    assert held.add(frame=False, entries=held.entries(A))["frame"] == BAD
    (one,) = held.report.disagreements
    assert (one.predicted, one.observed) == (
        f"reaches {DATA * FRAME:#x}",
        "reaches another frame",
    )
    assert one.reproduce == (f"ptlive verify {VA:#x} --oracle stepped --access user-read --root X")


def test_a_frame_that_is_not_shown_has_its_reason() -> None:
    held = Held("user-read")
    found = held.add(frame=None, frame_unchecked="no proof", entries=held.entries(A))
    assert found["frame"] == OPEN
    (check,) = (check for check in held.report.checks if check.aspect == "frame")
    assert dict(check.unchecked) == {"no proof": 1}


def test_after_a_fault_only_cr2_is_compared() -> None:
    held = Held("user-write", P | 4)
    found = held.add(vector=14, error_code=7, cr2=VA, entries=held.entries(0))
    assert found == {"fault": OK, "cr2": OK}


@pytest.mark.parametrize("code", [7 ^ 1 << bit for bit in range(16)])
def test_every_bit_of_the_error_code_counts(code: int) -> None:
    held = Held("user-write", P | 4)
    assert held.add(vector=14, error_code=code, cr2=VA)["fault"] == BAD


@pytest.mark.parametrize("cr2", [None, 0, VA + 1, VA - FRAME, VA | 1 << 63])
def test_another_cr2(cr2: int | None) -> None:
    held = Held("user-write", P | 4)
    found = held.add(vector=14, error_code=7, cr2=cr2)
    assert (found["fault"], found["cr2"]) == (OK, BAD)


def test_after_an_unpredicted_access_nothing_more_is_compared() -> None:
    held = Held("user-write", P | 4)
    assert held.add(vector=0, frame=True, entries=held.entries(A | D)) == {"fault": BAD}
    held = Held("user-write")
    assert held.add(vector=14, error_code=7, cr2=VA) == {"fault": BAD}


def test_what_was_not_executed_is_unchecked_with_its_reason() -> None:
    held = Held("user-write")
    assert held.add(unchecked="the vCPU executed nothing") == {"fault": OPEN}


def test_under_another_accelerator_a_and_d_say_nothing() -> None:
    held = Held("user-write", answered_by="KVM, unknown")
    found = held.add(frame=True, entries=held.entries(0))
    assert (found["accessed"], found["dirty"]) == (OPEN, OPEN)


def test_an_access_to_an_entry_of_its_own_path_shows_neither_a_nor_d() -> None:
    held = Held("user-write")
    probe = held.question.probe
    assert probe is not None
    held.question = replace(held.question, probe=replace(probe, pa=probe.entries[2]))
    found = held.add(frame=True, entries=held.entries(0))
    assert (found["accessed"], found["dirty"]) == (OPEN, OPEN)


def test_what_no_access_shows_is_listed_for_every_page() -> None:
    held = Held("user-read")
    for aspect in NOT_OBSERVABLE:
        (check,) = (check for check in held.report.checks if check.aspect == aspect)
        assert (check.asked, dict(check.unchecked)) == (
            False,
            {"no effect on an access under TCG": 7},
        )
