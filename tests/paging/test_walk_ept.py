"""EPT: the walk of random tables, held against a scalar reference from the SDM.

No MMU judges it here: TCG has no VMX, and the KVM at hand runs no hypervisor.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ptlive.access_kind import ACCESS_KINDS
from ptlive.arrays import u64
from ptlive.paging.access import ALLOWED, UNPREDICTABLE, check
from ptlive.paging.fields import why_malformed
from ptlive.paging.format import Kind
from ptlive.paging.formats import ept
from ptlive.paging.graph import HOLES
from ptlive.paging.nested import EPT_MISCONFIGURATION, EPT_VIOLATION, EptControls
from ptlive.paging.translate import translate
from ptlive.paging.walk import walk
from tests.paging import listing
from tests.paging.plain_ram import FRAME, PlainRam
from tests.reference import ept as reference
from tests.reference.ept import EptSlot, Vmx

if TYPE_CHECKING:
    from ptlive.paging.format import Format

FRAMES = 6
RWX = 7
WB = 6 << 3


def format_of(machine: Vmx) -> Format:
    features = ept.Features(machine.gbpages, machine.execute_only, machine.mode_based)
    return ept.make(machine.levels, features, maxphyaddr=machine.maxphyaddr)


@dataclass(frozen=True)
class EptCase:
    machine: Vmx
    ram: PlainRam

    @property
    def fmt(self) -> Format:
        return format_of(self.machine)

    @property
    def root(self) -> int:
        return self.ram.base

    @cached_property
    def slots(self) -> list[EptSlot]:
        """What the reference says."""
        return list(reference.enumerate_slots(self.machine, self.ram.qword, self.root))

    def rows(self, *, leaves: bool) -> list[listing.Row]:
        """Return leaves or holes in the form of the listing."""
        count = len(self.fmt.rights)
        return [
            (*slot[:3], slot.pa, slot.entry_pa, slot.entry, *slot.rights[:count])
            if leaves
            else (*slot[:3], slot.entry_pa, slot.entry, slot.kind)
            for slot in self.slots
            if (slot.kind == "leaf") == leaves
        ]


def machines() -> st.SearchStrategy[Vmx]:
    return st.builds(
        Vmx,
        levels=st.sampled_from([4, 5]),
        maxphyaddr=st.sampled_from([36, 39, 46, 52]),
        gbpages=st.sampled_from([True, True, False]),
        execute_only=st.booleans(),
        mode_based=st.booleans(),
    )


@st.composite
def cases(draw: st.DrawFn) -> EptCase:
    machine = draw(machines())
    base = draw(st.sampled_from([0, FRAME, (1 << 32) - FRAME]))
    ram = PlainRam(FRAMES * FRAME, base)
    index = st.one_of(st.sampled_from([0, 1, 511]), st.integers(0, 511))
    for _ in range(draw(st.integers(0, 3))):
        place = base + 8 * draw(index)
        for n in range(machine.levels - 1):
            target = base + (n + 1) % FRAMES * FRAME
            ram.write(place, target | draw(st.sampled_from([RWX, RWX, RWX | 1 << 10, 5, 3, 1])))
            place = target + 8 * draw(index)
        ram.write(place, draw(st.integers(0, 0xFF)) << 20 | draw(st.sampled_from([RWX | WB, 0x35])))
    frames = st.integers(0, FRAMES - 1).map(lambda n: base + n * FRAME)
    addresses = st.one_of(frames, st.integers(0, (1 << 22) - 1).map(lambda n: n << 30))
    usual = st.sampled_from([RWX, RWX | WB, RWX | WB | 1 << 7, 1 | WB, 4, 0x404, 0])
    flag = st.one_of(usual, st.integers(0, 0xFFF), st.sampled_from([2, 6, 0x400, 1 << 63 | 7]))
    for _ in range(draw(st.integers(1, 8))):
        place = draw(frames) + 8 * draw(index)
        ram.write(place, draw(addresses) | draw(flag))
        if _paths(machine, ram) > 40:
            ram.write(place, 0)
    return EptCase(machine, ram)


def _paths(machine: Vmx, ram: PlainRam) -> int:
    """Count the tables that an enumeration visits, at most."""
    visits, total = {ram.base: 1}, 0
    for _ in range(machine.levels):
        below: dict[int, int] = {}
        for table, times in visits.items():
            total += times
            for entry in ram.table(table).tolist():
                target = entry & 0x000F_FFFF_FFFF_F000
                if entry & 0x407 and ram.qword(target) is not None:
                    below[target] = below.get(target, 0) + times
        visits = below
    return total


@settings(max_examples=40)
@given(cases())
def test_leaves_and_holes_are_the_references_in_order(case: EptCase) -> None:
    graph = walk(case.fmt, case.ram, u64(case.root))
    names = [right.name for right in case.fmt.rights]
    leaves, holes = case.rows(leaves=True), case.rows(leaves=False)
    assert listing.leaves(case.fmt, graph, names) == leaves
    assert listing.holes(graph) == holes
    assert graph.reached(Kind.LEAF) == len(leaves)
    assert graph.reached(*HOLES) == len(holes)


@settings(max_examples=40)
@given(cases(), st.data())
def test_all_kinds_of_access_end_as_in_the_reference(case: EptCase, data: st.DataObject) -> None:
    some = [s for s in case.slots if s.kind != "absent"] or case.slots
    slots = data.draw(st.lists(st.sampled_from(some), min_size=1, max_size=12))
    addresses = [gpa for slot in slots for gpa in (slot.va, slot.last_va)]
    result = translate(case.fmt, case.ram, u64(case.root), u64(*addresses))
    for kind in ACCESS_KINDS.values():
        verdict = check(result, EptControls(case.machine.mode_based), kind)
        for row, gpa in enumerate(addresses):
            path = reference.translate(case.machine, case.ram.qword, case.root, gpa)
            outcome = reference.judge(case.machine, path, kind.access.value, kind.user)
            assert int(result.pa[row]) == (path.pa or 0)
            found = (int(verdict.vector[row]), int(verdict.error_code[row]))
            if not outcome.told:
                assert found == (UNPREDICTABLE, 0)
            else:
                assert found == (outcome.reason or ALLOWED, outcome.qualification), (path, kind)


@pytest.mark.parametrize(
    ("lvl", "entry", "why"),
    [
        (1, 0x1000 | 2 | WB, "allows writing, but not reading"),
        (1, 0x1000 | 6 | WB, "allows writing, but not reading"),
        (4, 0x1000 | 2, "allows writing, but not reading"),
        (1, 0x1000 | RWX | 2 << 3, "has the memory type 2, which is reserved"),
        (2, 0x20_0000 | RWX | 7 << 3 | 1 << 7, "has the memory type 7, which is reserved"),
        (2, 0x1000 | RWX | 7 << 3, "has reserved bits 3, 4, 5 set"),
        (2, 0x20_1000 | RWX | WB | 1 << 7, "has reserved bit 12 set"),
        (4, 0x1000 | RWX | 1 << 7, "has reserved bit 7 set"),
    ],
)
def test_a_misconfiguration_is_told_in_words(lvl: int, entry: int, why: str) -> None:
    assert why_malformed(ept.make(4), lvl, entry) == why


def test_outcomes_are_named_as_the_manual_does() -> None:
    rules = EptControls()
    assert rules.words(EPT_VIOLATION, 0x9) == "EPT violation(0x9: read of what is r--)"
    assert rules.words(EPT_VIOLATION, 0x2) == "EPT violation(0x2: write of what is ---)"
    divided = EptControls(mode_based=True)
    assert divided.words(EPT_VIOLATION, 0x2C) == "EPT violation(0x2c: fetch of what is r-x-)"
    assert divided.words(EPT_VIOLATION, 0x44) == "EPT violation(0x44: fetch of what is ---X)"
    assert rules.words(EPT_MISCONFIGURATION, 0) == "EPT misconfiguration"
    assert rules.words(ALLOWED, 0) == "allowed"


def test_what_the_tables_do_not_span_is_a_violation() -> None:
    ram = PlainRam(FRAME)
    result = translate(ept.make(4), ram, u64(0), u64(1 << 48))
    verdict = check(result, EptControls(), ACCESS_KINDS["user-write"])
    assert (int(verdict.vector[0]), int(verdict.error_code[0])) == (EPT_VIOLATION, 2)
