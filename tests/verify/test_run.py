"""Whole verifications of a simulated guest, whose MMU is the scalar reference.

They agree on any tables, and leave the guest as it was.
"""

from __future__ import annotations

import random
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from ptlive.access_kind import ACCESS_KINDS
from ptlive.arrays import u64
from ptlive.errors import PtliveError
from ptlive.verify.run import Plan, verify
from tests.paging.plain_ram import FRAME
from tests.paging.tables import PS, PWU, RW, US, XD, A, D, G, P, machine
from tests.simulated_guest import (
    CODE,
    DATA,
    DEVICE_AT,
    GDT,
    NOTHING_AT,
    ROM_AT,
    STACK,
    TABLES,
    Guest,
)
from tests.verify.asking import HERE, STEPPED, VA, asked_and_answered, check_of, kernel_page

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.reference.sdm import Access, Machine, Outcome


def random_tables(guest: Guest, seed: int) -> None:
    """Map pages of all sizes anywhere, then change entries as no kernel would."""
    chance = random.Random(seed)
    half = 1 << (56 if guest.machine.levels == 5 else 47)
    made = []
    base = chance.randrange(half) & -(1 << 39)
    for _ in range(12):
        level = chance.choice([1, 1, 1, 2, 3] if guest.machine.gbpages else [1, 1, 2])
        va = base + chance.choice([0, 1, 511]) * (1 << 30)
        va += chance.choice([0, 1, 511]) * (1 << 21) + chance.randrange(512) * FRAME
        frame = chance.choice([*range(DATA, 63), CODE, STACK, GDT, 0, 1])
        pa = chance.choice([frame * FRAME] * 6 + [ROM_AT, DEVICE_AT, NOTHING_AT])
        pa &= -(1 << 9 * level + 3)
        flags = P | chance.choice([RW, US, RW | US, 0]) | chance.choice([0, 0, XD])
        if chance.random() < 0.3:
            flags |= chance.randrange(16) << 59
        if flags & XD and not guest.machine.nxe:
            flags ^= XD
        try:
            made.append(guest.map(va, pa, flags, level))
        except AssertionError:  # no frame left for another table
            continue
    for at in made:
        entry = guest.ram.value(at)
        odd = [0, 0, 0, RW, US, P, A, D, G, XD, PS, 1 << 51, 1 << guest.machine.maxphyaddr % 52]
        guest.ram.write(at, entry ^ chance.choice(odd))


def random_machine(seed: int) -> Machine:
    chance = random.Random(seed)
    on = {name: chance.random() < 0.5 for name in ("wp", "smep", "smap", "pke")}
    return machine(
        chance.choice([4, 5]),
        chance.choice([36, 40, 46, 52]),
        nxe=chance.random() < 0.8,
        gbpages=chance.random() < 0.8,
        pkru=chance.getrandbits(32),
        **on,
    )


@pytest.mark.parametrize("seed", range(25))
def test_it_agrees_on_random_tables_and_leaves_the_guest_as_it_was(seed: int) -> None:
    guest = Guest(random_machine(seed), accelerator="KVM, unknown" if seed % 2 else "TCG")
    random_tables(guest, seed)
    before = guest.state()
    plan = Plan(oracles=HERE, probes=400, seed=seed % 7)
    report = verify(guest.target(), guest.space(), plan)
    assert report.disagreements == []
    assert guest.state() == before
    assert check_of(report, "fault").checked > 0
    assert check_of(report, "frame", "debug-walker").checked > 0
    asked_and_answered(report, plan, 400 // len(plan.kinds))


def test_every_way_to_end_up_is_checked_once_at_least() -> None:
    guest = Guest(machine(levels=4))
    kernel_page(guest)
    guest.map(VA + 8 * FRAME, ROM_AT, PWU)
    guest.map(VA + 9 * FRAME, DEVICE_AT, PWU)
    guest.map(VA + 10 * FRAME, NOTHING_AT, PWU)
    va = u64(VA, VA + FRAME, VA + 2 * FRAME, VA + 8 * FRAME, VA + 9 * FRAME, VA + 10 * FRAME, 8)
    plan = replace(STEPPED, va=va)
    before = guest.state()
    report = verify(guest.target(), guest.space(), plan)
    assert guest.state() == before
    assert report.disagreements == []
    asked_and_answered(report, plan, va.size)
    fault, frame = check_of(report, "fault"), check_of(report, "frame")
    assert fault.unchecked["device memory: an access may have effects"] == 8
    assert fault.unchecked["ROM: a write may reach a device (flash)"] == 3
    assert fault.unchecked["not RAM: a fetch would execute what is there"] == 4
    assert frame.unchecked["nothing at that physical address keeps a value"] > 0
    assert report.never_checked == []
    for aspect in ("fault", "cr2", "frame", "accessed", "dirty"):
        assert check_of(report, aspect).checked > 0


def test_under_kvm_a_and_d_are_not_told_because_nothing_flushes() -> None:
    guest = Guest(machine(levels=4), accelerator="KVM, unknown")
    kernel_page(guest)
    report = verify(guest.target(), guest.space(), replace(STEPPED, va=u64(VA)))
    for aspect in ("accessed", "dirty"):
        check = check_of(report, aspect)
        assert (check.checked, dict(check.unchecked)) == (0, {"TLB not flushed": 5})
        assert check.answered_by == "KVM, unknown"
        assert check in report.never_checked


def test_what_no_access_shows_is_always_listed() -> None:
    guest = Guest(machine(levels=4))
    kernel_page(guest)
    report = verify(guest.target(), guest.space(), STEPPED)
    for aspect in ("PWT", "PCD", "PAT", "G"):
        check = check_of(report, aspect)
        assert not check.asked
        assert dict(check.unchecked) == {"no effect on an access under TCG": report.reached}


def test_pkru_is_read_by_the_guest_itself() -> None:
    guest = Guest(machine(levels=4, pke=True, pkru=0x5555_5550))
    guest.map(VA, DATA * FRAME, PWU | 1 << 59)
    guest.map(VA + FRAME, DATA * FRAME, PWU | 5 << 59)
    assert guest.space().controls.pkru is None
    before = guest.state()
    report = verify(guest.target(), guest.space(), replace(STEPPED, va=u64(VA, VA + FRAME)))
    assert report.disagreements == []
    assert "PKRU is not known" not in check_of(report, "fault").unchecked
    assert guest.state() == before


def test_a_step_in_which_nothing_was_executed_is_made_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As of QEMU on a busy computer; the first of all steps is the one that reads PKRU."""
    guest = Guest(machine(levels=4, pke=True, pkru=0x5555_5550))
    guest.map(VA, DATA * FRAME, PWU | 1 << 59)
    step, calls = guest.step, iter(range(1 << 20))

    def busy(vcpu: int, values: Mapping[str, int] | None = None) -> dict[str, int]:
        if next(calls) % 3:
            return step(vcpu, values)
        guest.write_registers(vcpu, values or {})
        return dict(guest.registers_now)

    monkeypatch.setattr(guest, "step", busy)
    before = guest.state()
    report = verify(guest.target(), guest.space(), replace(STEPPED, va=u64(VA)))
    assert report.disagreements == []
    assert dict(check_of(report, "fault").unchecked) == {}
    assert guest.state() == before


@pytest.mark.parametrize(
    ("name", "bit", "affected"),
    [("CET", 23, 0), ("PKS", 24, 5), ("LAM", 28, 8)],
)
def test_control_bits_that_are_not_modelled_leave_only_their_checks_open(
    name: str, bit: int, affected: int
) -> None:
    guest = Guest(machine(levels=4))
    guest.map(VA, DATA * FRAME, P | RW)
    guest.registers_now["cr4"] |= 1 << bit
    space = guest.space()
    assert set(space.not_modelled) == {name}
    va = u64(VA, 1 << 60)  # the second address is not canonical, which LAM may change
    report = verify(guest.target(), space, replace(STEPPED, va=va))
    fault = check_of(report, "fault")
    reasons = {k: n for k, n in fault.unchecked.items() if "not modelled" in k}
    expected = {f"{name} is on and not modelled": affected + (1 if name == "PKS" else 0)}
    assert reasons == (expected if affected else {})
    assert fault.checked == 16 - sum(fault.unchecked.values())
    assert report.disagreements == []


def test_cet_leaves_shadow_stack_pages_open() -> None:
    guest = Guest(machine(levels=4))
    guest.map(VA, DATA * FRAME, P)  # R/W=0 and D=1
    guest.registers_now["cr4"] |= 1 << 23
    report = verify(guest.target(), guest.space(), replace(STEPPED, va=u64(VA)))
    assert check_of(report, "fault").unchecked["CET is on and not modelled"] == 6


def test_a_halted_vcpu_is_not_asked() -> None:
    guest = Guest(machine(levels=4), halts=True)
    with pytest.raises(PtliveError, match="vCPU 1 is halted and executes nothing"):
        verify(guest.target(), guest.space(), STEPPED)


def test_other_tables_than_the_vcpus_are_refused() -> None:
    guest = Guest(machine(levels=4))
    for oracle in HERE:
        plan = Plan(oracles=(oracle,))
        with pytest.raises(PtliveError, match="oracles answer for the root that vCPU 1 uses, 0x0"):
            verify(guest.target(), guest.space(root=FRAME), plan)
        with pytest.raises(PtliveError, match="oracles answer for 4-level paging, which the vCPU"):
            verify(guest.target(), guest.space(format_name="x86-64-5level"), plan)
    assert guest.steps == 0


def test_a_range_without_a_canonical_address_is_refused() -> None:
    guest = Guest(machine(levels=4))
    with pytest.raises(PtliveError, match="no address in these ranges is canonical"):
        verify(
            guest.target(), guest.space(), Plan(("stepped",), ranges=(u64(1 << 60), u64(1 << 61)))
        )


@pytest.mark.parametrize("offset", [0xFF9, 0xFFF, 0x7F9])
def test_an_access_stays_in_the_page_that_is_asked_about(offset: int) -> None:
    guest = Guest(machine(levels=4))
    guest.map(VA, DATA * FRAME, P | RW)
    guest.map(VA + FRAME, (DATA + 9) * FRAME, P | RW)
    before = guest.state()
    touched: list[int] = []
    guest.touch = lambda outcome, asked: touched.append(outcome.pa or 0)
    report = verify(guest.target(), guest.space(), replace(STEPPED, va=u64(VA + offset)))
    assert report.disagreements == []
    assert {pa >> 12 for pa in touched if pa} == {DATA}
    assert guest.state() == before


def test_the_debug_walkers_own_ways_are_quirks_by_name() -> None:
    guest = Guest(machine(levels=4))
    guest.map(VA, DATA * FRAME, PWU | 1 << 51)
    guest.map(VA + FRAME, DATA * FRAME, PWU)
    va = u64(VA, VA + FRAME, VA | 1 << 60)
    report = verify(guest.target(), guest.space(), Plan(("debug-walker",), va=va))
    assert {quirk.name: n for quirk, n in report.quirks.items()} == {
        "debug-walker-ignores-reserved": 1
    }
    frame = check_of(report, "frame", "debug-walker")
    assert (frame.agreed, frame.disagreed, frame.unchecked.total()) == (2, 0, 1)


def test_progress_and_witness_are_told_everything() -> None:
    guest = Guest(machine(levels=4))
    kernel_page(guest)
    told: list[tuple[str, int, int]] = []
    seen: list[tuple[int, str]] = []
    va = u64(VA, VA + FRAME)
    verify(
        guest.target(),
        guest.space(),
        replace(STEPPED, va=va),
        lambda *what: told.append(what),
        lambda question, answer: seen.append((question.row, question.kind.name)),
    )
    assert told[-1][:2] == ("stepped", told[-1][2])
    assert sorted(seen) == sorted((row, name) for row in range(2) for name in ACCESS_KINDS)


def test_the_same_seed_asks_the_same() -> None:
    def asked(seed: int) -> list[int]:
        guest = Guest(machine(levels=5))
        random_tables(guest, 5)
        seen: list[int] = []
        guest.touch = lambda outcome, asked: seen.append(hash((outcome, asked)))
        verify(guest.target(), guest.space(), Plan(("stepped",), probes=80, seed=seed))
        return seen

    assert asked(1) == asked(1)
    assert asked(1) != asked(2)


def test_an_interrupted_verification_puts_everything_back() -> None:
    guest = Guest(machine(levels=4))
    kernel_page(guest)
    before = guest.state()
    for after in (0, 1, 5, 17):
        left = [after]

        def touch(outcome: Outcome, asked: Access, left: list[int] = left) -> None:
            left[0] -= 1
            if left[0] < 0:
                raise KeyboardInterrupt

        guest.touch = touch
        with pytest.raises(KeyboardInterrupt):
            verify(guest.target(), guest.space(), STEPPED)
        assert guest.state() == before


def test_nothing_is_planted_in_tables() -> None:
    guest = Guest(machine(levels=4))
    kernel_page(guest)
    for page, frame in enumerate((0, 1, CODE, STACK, GDT)):
        guest.map(VA + (16 + page) * FRAME, frame * FRAME, PWU)
    assert guest.used <= TABLES
    before = guest.state()
    plan = replace(STEPPED, va=u64(*(VA + (16 + page) * FRAME for page in range(5))))
    report = verify(guest.target(), guest.space(), plan)
    assert report.disagreements == []
    assert guest.state() == before
    reasons = check_of(report, "frame").unchecked
    assert reasons["page table, ROM or the probe's own ground: compared, nothing planted"] > 0
    assert np.array_equal(guest.ram.data, np.frombuffer(before[0], np.uint8))
