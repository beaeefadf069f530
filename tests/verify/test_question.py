"""Questions for the stepped probe: what is asked, how it is proven, and what is not asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ptlive.access_kind import ACCESS_KINDS
from ptlive.arrays import u64
from ptlive.oracle.observation import Proof
from ptlive.verify.question import Question, questions
from tests.paging.plain_ram import FRAME
from tests.paging.tables import PWU, RW, P, machine
from tests.simulated_guest import DATA, DEVICE_AT, NOTHING_AT, ROM_AT, Guest

if TYPE_CHECKING:
    from ptlive.arrays import U64

VA = 0x7000_1000
DEVICE = "device memory: an access may have effects"
FETCH = "not RAM: a fetch would execute what is there"


def asked(pa: int, flags: int = P | RW, tables: U64 | None = None) -> dict[str, Question]:
    guest = Guest(machine(levels=4))
    guest.map(VA, pa, flags)
    space = guest.space()
    found = questions(
        space,
        space.translate(u64(VA + 0x18)),
        list(ACCESS_KINDS.values()),
        u64() if tables is None else tables,
    )
    return {question.kind.name: question for question in found}


def test_a_page_in_ram_is_proven_by_planting() -> None:
    for question in asked(DATA * FRAME).values():
        assert question.probe is not None
        assert (question.probe.va, question.probe.pa) == (VA + 0x18, DATA * FRAME + 0x18)
        assert question.probe.proof is Proof.PLANT
        assert len(question.probe.entries) == 4
        assert question.unchecked is None


def test_a_frame_that_holds_a_table_is_only_compared() -> None:
    found = asked(DATA * FRAME, tables=u64(DATA * FRAME))
    for name, question in found.items():
        assert question.probe is not None
        assert question.probe.proof is Proof.COMPARE
        # What is predicted to fault must not be executed if it does not.
        fetch_faults = name == "user-fetch"
        assert (question.probe.pa is None) == fetch_faults


def test_a_device_is_never_touched() -> None:
    for question in asked(DEVICE_AT, PWU).values():
        assert (question.probe, question.unchecked) == (None, DEVICE)
    # Not even where a fault is predicted: the prediction may be wrong.
    for question in asked(DEVICE_AT, P).values():
        assert (question.probe, question.unchecked) == (None, DEVICE)


def test_rom_is_read_and_compared_but_never_written() -> None:
    for name, question in asked(ROM_AT, PWU).items():
        if "write" in name:
            assert question.unchecked == "ROM: a write may reach a device (flash)"
        elif "fetch" in name:
            assert question.unchecked == FETCH
        else:
            assert question.probe is not None
            assert question.probe.proof is Proof.COMPARE


def test_where_nothing_is_the_rights_are_still_asked() -> None:
    for name, question in asked(NOTHING_AT, PWU).items():
        if "fetch" in name:
            assert question.unchecked == FETCH
        else:
            assert question.probe is not None
            assert (question.probe.pa, question.probe.proof) == (NOTHING_AT + 0x18, Proof.NONE)


def test_a_table_in_no_memory_predicts_nothing() -> None:
    guest = Guest(machine(levels=4))
    guest.ram.write(8 * (VA >> 39), NOTHING_AT | PWU)
    space = guest.space()
    found = questions(space, space.translate(u64(VA)), list(ACCESS_KINDS.values()), u64())
    reason = "a table lies in no memory: the tables do not say what happens"
    assert {question.unchecked for question in found} == {reason}


@pytest.mark.parametrize("pkru", [None, 0])
def test_an_unknown_pkru_leaves_only_what_it_decides(pkru: int | None) -> None:
    guest = Guest(machine(levels=4, pke=True))
    guest.map(VA, DATA * FRAME, PWU)
    space = guest.space(pkru=pkru)
    found = questions(space, space.translate(u64(VA)), list(ACCESS_KINDS.values()), u64())
    open_ = {question.kind.name for question in found if question.unchecked}
    data = {name for name in ACCESS_KINDS if "fetch" not in name}
    assert open_ == (data if pkru is None else set())


def test_every_address_and_kind_has_one_question() -> None:
    guest = Guest(machine(levels=5))
    guest.map(VA, DATA * FRAME, PWU)
    space = guest.space()
    va = u64(VA, 0, 1 << 60, (1 << 64) - 8)
    found = list(questions(space, space.translate(va), list(ACCESS_KINDS.values()), u64()))
    assert sorted((q.row, q.kind.name) for q in found) == sorted(
        (row, name) for row in range(4) for name in ACCESS_KINDS
    )
    assert all((q.probe is None) == (q.unchecked is not None) for q in found)
