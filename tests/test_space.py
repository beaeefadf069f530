"""An address space: format and root from registers, accesses that cross into another page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ptlive.access_kind import ACCESS_KINDS, Access
from ptlive.arrays import u64
from ptlive.errors import PtliveError
from ptlive.memory.ram_map import Kind, RamMap, Region
from ptlive.paging.access import Controls
from ptlive.space import MIXED, TARGET_NAMES, AddressSpace, open_space
from ptlive.target.cpu import CpuState
from tests.paging.plain_ram import FRAME, PlainRam
from tests.paging.tables import PS, PWU, RAM_SIZE, US, Case, P, cases, controls_of
from tests.reference import sdm

if TYPE_CHECKING:
    from ptlive.access_kind import AccessKind
    from ptlive.analysis.translation import Outcome

LAST = (1 << 64) - 1
PE, WP, PG = 1 << 0, 1 << 16, 1 << 31
PAE, LA57, PKE, SMEP, SMAP = 1 << 5, 1 << 12, 1 << 22, 1 << 20, 1 << 21
CET, PKS, LAM_SUP = 1 << 23, 1 << 24, 1 << 28
LME, LMA, NXE = 1 << 8, 1 << 10, 1 << 11
MAP = RamMap(
    [
        Region(0, 0x9_FFFF, Kind.RAM, "ram", 0),
        Region(0xA_0000, 0xB_FFFF, Kind.DEVICE, "vga", 0),
        Region(0xC_0000, 0xF_FFFF, Kind.ROM, "rom", 0),
        Region(0x10_0000, 0xFFF_FFFF, Kind.RAM, "ram", 0x10_0000),
    ]
)


def cpu(**changes: Any) -> CpuState:
    """Return a vCPU with 5-level paging; registers by name."""
    values: dict[str, Any] = {"vcpu": 1, "cr0": PE | WP | PG, "cr2": 0, "cr3": 0}
    values |= {"cr4": PAE | LA57, "efer": LME | LMA | NXE, "rip": 0, "rflags": 2}
    values |= {"cs": 8, "ss": 16, "maxphyaddr": 46, "gbpages": True, "halted": False}
    return CpuState(**(values | changes))


def memory() -> PlainRam:
    return PlainRam(RAM_SIZE)


def test_format_and_root_come_from_the_registers() -> None:
    space = open_space(cpu(cr3=0x1234_5FFF), memory(), MAP)
    assert (space.format.name, space.format.top) == ("x86-64-5level", 5)
    assert (space.root.tolist(), space.origin, space.vcpu) == ([0x1234_5000], "cr3", 1)
    four = open_space(cpu(cr4=PAE, cr3=0x2018), memory(), MAP)
    assert (four.format.name, four.root.tolist()) == ("x86-64-4level", [0x2000])


def test_lam_and_no_flush_bits_of_cr3_are_no_address() -> None:
    space = open_space(cpu(cr3=0x5000 | 1 << 62 | 1 << 61 | 1 << 63), memory(), MAP)
    assert space.root.tolist() == [0x5000]


def test_control_bits_come_from_the_registers() -> None:
    space = open_space(cpu(cr4=PAE | SMEP | SMAP | PKE), memory(), MAP, pkru=0x55)
    assert space.controls == Controls(smep=True, smap=True, pke=True, pkru=0x55)
    bare = open_space(cpu(cr0=PE | PG, efer=LME | LMA), memory(), MAP).controls
    assert bare == Controls(wp=False, nxe=False, pkru=None)


@pytest.mark.parametrize(
    ("registers", "sentence"),
    [
        ({"cr0": PE}, "paging is off (CR0=0x1): linear addresses are physical addresses"),
        ({"cr0": 0x6000_0010}, "paging is off"),
    ],
)
def test_a_mode_without_tables_is_named(registers: dict[str, int], sentence: str) -> None:
    with pytest.raises(PtliveError) as caught:
        open_space(cpu(**registers), memory(), MAP)
    assert sentence in str(caught.value)
    # A format that somebody insists on does not help: what CR3 holds is no root.
    with pytest.raises(PtliveError, match="paging"):
        open_space(cpu(**registers), memory(), MAP, format_name="x86-64-4level")


@pytest.mark.parametrize(
    ("cr4", "efer", "name", "root"),
    [
        (0, 0, "32-bit", 0x1000),
        (1 << 4, 0, "32-bit", 0x1000),
        (PAE, 0, "pae", 0x1020),
        (PAE, LME | NXE, "pae", 0x1020),
    ],
)
def test_the_modes_of_32_bits_are_recognised(cr4: int, efer: int, name: str, root: int) -> None:
    space = open_space(cpu(cr4=cr4, efer=efer, cr3=0x1020), memory(), MAP)
    assert (space.format.name, space.root.tolist()) == (name, [root])
    # A byte beyond the last address of 32 bits is the first one.
    [rest] = space.beyond(u64(0xFFFF_FFFE), 4)
    assert rest is not None
    assert rest.va.tolist() == [0]


def test_a_format_may_be_insisted_on() -> None:
    space = open_space(cpu(), memory(), MAP, format_name="x86-64-4level")
    assert space.format.top == 4
    with pytest.raises(PtliveError, match="there is no format 'arm'; there are x86-64-4level, "):
        open_space(cpu(), memory(), MAP, format_name="arm")


def test_another_root_is_named_after_its_address_or_as_told() -> None:
    space = open_space(cpu(cr3=0x1000), memory(), MAP, root=0x2000)
    assert (space.root.tolist(), space.origin) == ([0x2000], "0x2000")
    assert open_space(cpu(), memory(), MAP, root=0x3000, origin="vcpu:2").origin == "vcpu:2"


@pytest.mark.parametrize("root", [1 << 46, 0x7777_7777_7777_7000, 1 << 52, 1 << 60])
def test_a_root_beyond_physical_addresses_is_refused(root: int) -> None:
    with pytest.raises(PtliveError, match=f"{root:#x} is not the address of a root table"):
        open_space(cpu(), memory(), MAP, root=root)


def test_a_root_outside_ram_is_refused_when_it_is_walked() -> None:
    space = open_space(cpu(), memory(), MAP, root=0x77_7777_7000)
    sentence = "the root table 0x7777777000 lies in no RAM and no ROM of the guest"
    with pytest.raises(PtliveError, match=sentence):
        space.walk()
    with pytest.raises(PtliveError, match=sentence):
        space.translate(u64(0))


@pytest.mark.parametrize(
    ("registers", "names"),
    [
        ({}, set()),
        ({"cr4": PAE | CET}, {"CET"}),
        ({"cr4": PAE | PKS}, {"PKS"}),
        ({"cr4": PAE | LAM_SUP}, {"LAM"}),
        ({"cr3": 1 << 61}, {"LAM"}),
        ({"cr3": 1 << 62}, {"LAM"}),
        ({"cr4": PAE | CET | PKS | LAM_SUP}, {"CET", "PKS", "LAM"}),
    ],
)
def test_control_bits_that_are_not_modelled_are_named_and_translation_works(
    registers: dict[str, int], names: set[str]
) -> None:
    space = open_space(cpu(**registers), memory(), MAP)
    assert set(space.not_modelled) == names
    assert space.walk().tables == 1
    assert not space.translate(u64(0)).mapped.any()


def test_unknown_width_and_1g_pages_call_nothing_malformed() -> None:
    ram = memory()
    for n in range(2):
        ram.write(n * FRAME, (n + 1) * FRAME | PWU)
    ram.write(2 * FRAME, 1 << 51 | PWU | PS)
    space = open_space(cpu(cr4=PAE, maxphyaddr=None, gbpages=None), ram, MAP)
    ram.write(FRAME, 2 * FRAME | PWU)
    ram.write(2 * FRAME, PWU | PS)
    found = space.translate(u64(0x1234))
    assert found.mapped.all()


@pytest.mark.parametrize(
    ("pa", "bits", "name"),
    [
        (0, 12, "RAM"),
        (0x9_F000, 12, "RAM"),
        (0xA_0000, 12, "device"),
        (0xC_0000, 12, "ROM"),
        (0x9_0000, 16, "RAM"),
        (0, 21, "mixed"),
        (0x20_0000, 21, "RAM"),
        (0x1000_0000, 12, "nothing"),
        (0xFE0_0000, 21, "RAM"),
        (0xC00_0000, 26, "RAM"),
        (0, 30, "mixed"),
        (1 << 51, 30, "nothing"),
    ],
)
def test_what_a_page_lies_in(pa: int, bits: int, name: str) -> None:
    space = open_space(cpu(), memory(), MAP)
    assert TARGET_NAMES[space.target_of(u64(pa), u64(bits))[0]] == name
    assert TARGET_NAMES.index("mixed") == MIXED


def space_of(case: Case) -> AddressSpace:
    """Return the space of random tables, by the registers that the machine would have."""
    machine = case.machine
    cr4 = PAE | (LA57 if machine.levels == 5 else 0)
    cr4 |= (SMEP if machine.smep else 0) | (SMAP if machine.smap else 0)
    cr4 |= PKE if machine.pke else 0
    state = cpu(
        cr0=PE | PG | (WP if machine.wp else 0),
        cr3=case.root,
        cr4=cr4,
        efer=LME | LMA | (NXE if machine.nxe else 0),
        maxphyaddr=machine.maxphyaddr,
        gbpages=machine.gbpages,
    )
    space = open_space(state, case.ram, MAP, pkru=machine.pkru)
    assert space.controls == controls_of(machine)
    return space


def reference(case: Case, va: int, length: int, kind: AccessKind) -> sdm.Outcome:
    asked = sdm.Access(kind.access.value, kind.user, kind.ac, length)
    return sdm.access(case.machine, case.ram.qword, case.root, va, asked)


def check(outcome: Outcome, expected: sdm.Outcome) -> None:
    """Hold an outcome against the reference's."""
    if expected.vector is None:
        assert outcome.allowed == (expected.pa is not None)
        assert outcome.vector in (0, None)
    else:
        assert (outcome.vector, outcome.error_code) == (expected.vector, expected.error_code)
        assert outcome.cr2 == expected.cr2
    if expected.level is not None:
        assert outcome.level == expected.level


@settings(max_examples=20, deadline=None)
@given(cases(), st.data())
def test_accesses_of_any_length_are_as_the_reference_says(case: Case, data: st.DataObject) -> None:
    space = space_of(case)
    edges = [end for row in (*case.leaves[:200], *case.holes[-200:]) for end in row[:2]]
    places = st.one_of(st.sampled_from(edges), st.sampled_from([0, LAST, 1 << 47, 1 << 56]))
    near = st.builds(lambda at, by: (at + by) % (1 << 64), places, st.integers(-20, 20))
    for _ in range(4):
        va, length = data.draw(near), data.draw(st.sampled_from([1, 2, 8, 16, 64, 4096]))
        found = space.translate(u64(va))
        told = space.describe(found, 0, list(ACCESS_KINDS.values()), space.beyond(found.va, length))
        for kind, outcome in zip(ACCESS_KINDS.values(), told.outcomes, strict=True):
            assert outcome.kind == kind
            check(outcome, reference(case, va, length, kind))


def straddling() -> AddressSpace:
    """Return a space whose page 1 is user R/W, page 2 user read-only, page 3 absent."""
    ram = memory()
    for n in range(4):
        for slot in (0, 255, 511):
            ram.write(n * FRAME + 8 * slot, (n + 1) * FRAME | PWU)
    for slot, entry in ((1, 0x7000 | PWU), (2, 0x9000 | P | US), (3, 0), (0, 0x3000 | PWU)):
        ram.write(4 * FRAME + 8 * slot, entry)
    ram.write(4 * FRAME + 8 * 511, 0x5000 | PWU)
    return open_space(cpu(), ram, MAP)


@pytest.mark.parametrize(
    ("va", "length", "kind", "expected"),
    [
        (0x1FFC, 4, "user-write", (0, 0, None)),
        (0x1FFC, 5, "user-write", (14, 7, 0x2000)),
        (0x1FFC, 5, "user-read", (0, 0, None)),
        (0x2FF9, 8, "user-read", (14, 4, 0x3000)),
        (0x2FF8, 8, "user-read", (0, 0, None)),
        # Both pages fail: the first one in address order is told.
        (0x2FFF, 2, "user-write", (14, 7, 0x2FFF)),
        # Three pages.
        (0x1FFF, 4098, "user-read", (14, 4, 0x3000)),
        # The end of the address space is followed by its beginning.
        (LAST, 1, "user-read", (0, 0, None)),
        (LAST - 7, 16, "user-write", (0, 0, None)),
        (LAST, 0x1002, "user-write", (0, 0, None)),
        (LAST, 0x2003, "user-write", (14, 7, 0x2000)),
        # A byte that is not canonical fails the access before anything is translated.
        ((1 << 56) - 1, 1, "user-read", (14, 4, (1 << 56) - 1)),
        ((1 << 56) - 1, 2, "user-read", (13, 0, None)),
        (LAST - (1 << 56), 2, "user-read", (13, 0, None)),
    ],
)
def test_an_access_over_two_pages_fails_where_its_first_failing_piece_does(
    va: int, length: int, kind: str, expected: tuple[int, int, int | None]
) -> None:
    space = straddling()
    if va == (1 << 56) - 1:
        space.memory.write(FRAME + 8 * 511, 0)  # type: ignore[attr-defined]  # it is PlainRam
    beyond = space.beyond(u64(va), length)
    told = space.describe(space.translate(u64(va)), 0, [ACCESS_KINDS[kind]], beyond)
    (outcome,) = told.outcomes
    assert (outcome.vector, outcome.error_code, outcome.cr2) == expected


def test_a_piece_that_fails_says_which_access_it_was() -> None:
    space = straddling()
    kinds = [ACCESS_KINDS["user-write"], ACCESS_KINDS["supervisor-write"]]
    beyond = space.beyond(u64(0x1FFF), 2)
    told = space.describe(space.translate(u64(0x1FFF)), 0, kinds, beyond)
    assert [outcome.kind for outcome in told.outcomes] == kinds
    assert {outcome.kind.access for outcome in told.outcomes} == {Access.WRITE}
    assert (told.pa, told.va) == (0x7FFF, 0x1FFF)


def test_regions_part_where_pages_lie_in_something_else() -> None:
    ram = memory()
    for n in range(3):
        ram.write(n * FRAME, (n + 1) * FRAME | PWU)
    for slot, frame in enumerate((0x9_F000, 0xA_0000, 0xC_0000, 0x1000_0000)):
        ram.write(3 * FRAME + 8 * slot, frame | PWU)
    space = open_space(cpu(cr4=PAE), ram, MAP)
    found = space.regions(space.walk())
    assert found.va.tolist() == [0, 0x1000, 0x2000, 0x3000]
    assert [TARGET_NAMES[code] for code in found.target] == ["RAM", "device", "ROM", "nothing"]
