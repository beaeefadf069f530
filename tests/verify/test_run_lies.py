"""Any lie of a simulated guest's MMU is caught, unless it is a quirk that has a name."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from ptlive.access_kind import ACCESS_KINDS
from ptlive.arrays import u64
from ptlive.verify.run import verify
from tests.paging.plain_ram import FRAME
from tests.paging.tables import PWU, RW, US, A, D, P, machine
from tests.simulated_guest import DATA, Guest, as_tcg
from tests.verify.asking import STEPPED, VA, asked_and_answered, check_of, kernel_page

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.reference.sdm import Access, Outcome


def flip(bit: int) -> Callable[[Outcome, Access], Outcome]:
    """Lie about one bit of the error code."""

    def lie(outcome: Outcome, asked: Access) -> Outcome:
        if outcome.error_code is None or outcome.vector != 14:
            return outcome
        return replace(outcome, error_code=outcome.error_code ^ bit)

    return lie


def change(**what: Any) -> Callable[[Outcome, Access], Outcome]:
    """Lie about faults: these fields."""
    return lambda outcome, asked: replace(outcome, **what) if outcome.vector == 14 else outcome


def forbid(outcome: Outcome, asked: Access) -> Outcome:
    if outcome.pa is None:
        return outcome
    return replace(outcome, pa=None, vector=14, error_code=1, cr2=VA, accessed=(), dirty=())


def permit(outcome: Outcome, asked: Access) -> Outcome:
    if outcome.vector != 14:
        return outcome
    return replace(outcome, pa=DATA * FRAME, vector=None, error_code=None, cr2=None)


def elsewhere(outcome: Outcome, asked: Access) -> Outcome:
    return outcome if outcome.pa is None else replace(outcome, pa=outcome.pa ^ 4 * FRAME)


def nearby(outcome: Outcome, asked: Access) -> Outcome:
    return outcome if outcome.pa is None else replace(outcome, pa=outcome.pa ^ 8)


def forget(aspect: str) -> Callable[[Outcome, Access], Outcome]:
    if aspect == "accessed":
        return lambda outcome, asked: replace(outcome, accessed=())
    return lambda outcome, asked: replace(outcome, dirty=())


def general(outcome: Outcome, asked: Access) -> Outcome:
    if outcome.vector != 14:
        return outcome
    return replace(outcome, vector=13, error_code=0, cr2=None)


LIES = {
    "error code bit P": (flip(1), "fault"),
    "error code bit W/R": (flip(2), "fault"),
    "error code bit U/S": (flip(4), "fault"),
    "error code bit RSVD": (flip(8), "fault"),
    "error code bit I/D": (flip(16), "fault"),
    "error code bit PK": (flip(32), "fault"),
    "error code bit SS": (flip(64), "fault"),
    "error code bit 15": (flip(1 << 15), "fault"),
    "another vector": (general, "fault"),
    "a fault instead of an access": (forbid, "fault"),
    "an access instead of a fault": (permit, "fault"),
    "CR2 a byte further": (change(cr2=VA + 1), "cr2"),
    "CR2 zero": (change(cr2=0), "cr2"),
    "CR2 left alone": (change(cr2=None), "cr2"),
    "another frame": (elsewhere, "frame"),
    "another word of the frame": (nearby, "frame"),
    "A not set": (forget("accessed"), "accessed"),
    "D not set": (forget("dirty"), "dirty"),
}


@pytest.mark.parametrize("name", LIES)
def test_a_lie_of_the_mmus_is_caught(name: str) -> None:
    lie, aspect = LIES[name]
    guest = Guest(machine(levels=5, smep=True), lie=lie)
    kernel_page(guest)
    # A and D are clear at first, so that it shows whether they are set.
    for page in range(3):
        at = guest.map(VA + page * FRAME, (DATA + page) * FRAME, (P | RW, PWU, P | US)[page])
        guest.ram.write(at, guest.ram.value(at) & ~(A | D))
    before = guest.state()
    plan = replace(STEPPED, va=u64(VA, VA + FRAME, VA + 2 * FRAME, VA + 0x10_0000))
    report = verify(guest.target(), guest.space(), plan)
    assert check_of(report, aspect).disagreed > 0
    assert {d.aspect for d in report.disagreements} >= {aspect}
    assert report.quirks.total() == 0
    asked_and_answered(report, plan, 4)
    if aspect in ("accessed", "dirty", "cr2"):
        assert {d.aspect for d in report.disagreements} == {aspect}
        assert guest.state() == before


def test_a_lie_about_one_access_is_exactly_one_disagreement() -> None:
    def lie(outcome: Outcome, asked: Access) -> Outcome:
        if (asked.kind, asked.user) == ("write", True) and outcome.vector == 14:
            return replace(outcome, error_code=0x27)
        return outcome

    guest = Guest(machine(levels=4), lie=lie)
    guest.map(VA, DATA * FRAME, P | US)
    report = verify(guest.target(), guest.space(), replace(STEPPED, va=u64(VA)))
    (one,) = report.disagreements
    assert (one.va, one.access, one.oracle, one.aspect) == (VA, "user-write", "stepped", "fault")
    assert one.predicted == "#PF(0x7: P W/R U/S)"
    assert one.observed == "#PF(0x27: P W/R U/S PK)"
    assert [level for level, _, _ in one.path] == [4, 3, 2, 1]
    assert one.reproduce == f"ptlive verify {VA:#x} --oracle stepped --access user-write"
    assert check_of(report, "fault").agreed == 7


@pytest.mark.parametrize(
    ("bits", "aspect"), [(D, "dirty"), (1 << 8, "accessed"), (1 << 52, "accessed")]
)
def test_bits_that_a_read_must_not_change_are_seen(bits: int, aspect: str) -> None:
    guest = Guest(machine(levels=4))
    at = guest.map(VA, DATA * FRAME, P | RW)
    guest.ram.write(at, guest.ram.value(at) & ~D)
    before = guest.state()

    def touch(outcome: Outcome, asked: Access) -> None:
        if asked.kind == "read":
            guest.ram.write(at, guest.ram.value(at) | bits)

    guest.touch = touch
    kinds = [ACCESS_KINDS["supervisor-read"]]
    report = verify(guest.target(), guest.space(), replace(STEPPED, va=u64(VA), kinds=kinds))
    assert [d.aspect for d in report.disagreements] == [aspect]
    guest.touch = lambda outcome, asked: None
    assert guest.state() == before


def test_d_above_the_leaf_is_no_dirty_flag_but_a_change() -> None:
    guest = Guest(machine(levels=4))
    guest.map(VA, DATA * FRAME, P | RW)
    upper = 8 * (VA >> 39 & 511)

    def touch(outcome: Outcome, asked: Access) -> None:
        guest.ram.write(upper, guest.ram.value(upper) | D)

    guest.touch = touch
    plan = replace(STEPPED, va=u64(VA), kinds=[ACCESS_KINDS["supervisor-write"]])
    report = verify(guest.target(), guest.space(), plan)
    assert [d.aspect for d in report.disagreements] == ["accessed"]


def test_an_entry_changed_behind_the_walkers_back_is_caught() -> None:
    guest = Guest(machine(levels=4))
    at = guest.map(VA, DATA * FRAME, P | RW)
    guest.map(VA + FRAME, (DATA + 1) * FRAME, P | RW)
    space = guest.space()
    space.walk()
    target = guest.target()
    walked = type(guest.ram)(guest.ram.data.size)
    walked.data[:] = guest.ram.data
    target.memory = walked
    space = replace(space, memory=walked)
    guest.ram.write(at, (DATA + 9) * FRAME | P | RW | A | D)
    kinds = [ACCESS_KINDS["supervisor-read"]]
    plan = replace(STEPPED, va=u64(VA, VA + FRAME), kinds=kinds)
    report = verify(target, space, plan)
    # The frame is another one, and the entry is not what was predicted to be left there.
    assert {(d.va, d.aspect) for d in report.disagreements} == {(VA, "frame"), (VA, "accessed")}


def test_tcgs_missing_p_is_a_quirk_of_tcg_only() -> None:
    for accelerator, quirks in (("TCG", 8), ("KVM, unknown", 0)):
        guest = Guest(machine(levels=4), lie=as_tcg, accelerator=accelerator)
        guest.map(VA, DATA * FRAME, PWU | 1 << 51)
        report = verify(guest.target(), guest.space(), replace(STEPPED, va=u64(VA)))
        assert {quirk.name: n for quirk, n in report.quirks.items()} == (
            {"tcg-rsvd-without-p": 8} if quirks else {}
        )
        assert check_of(report, "fault").unchecked.get("quirk tcg-rsvd-without-p", 0) == quirks
        assert len(report.disagreements) == 8 - quirks
        # The address of the fault is no quirk.
        assert check_of(report, "cr2").agreed == quirks


def test_a_1g_page_without_the_feature_is_a_quirk_of_tcg_only() -> None:
    def lie(outcome: Outcome, asked: Access) -> Outcome:
        if outcome.vector == 14 and asked.kind == "read":
            return replace(outcome, pa=DATA * FRAME, vector=None, error_code=None, cr2=None)
        return outcome

    for accelerator, quirks in (("TCG", 3), ("KVM, unknown", 0)):
        guest = Guest(machine(levels=4, gbpages=False), lie=lie, accelerator=accelerator)
        guest.map(VA & -(1 << 30), 0, PWU, 3)
        report = verify(guest.target(), guest.space(), replace(STEPPED, va=u64(VA)))
        assert report.quirks.total() == quirks
        assert len(report.disagreements) == 3 - quirks
