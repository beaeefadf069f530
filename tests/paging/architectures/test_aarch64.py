"""What TCR_EL1 and its like mean; accesses, held against the manual, read one at a time."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ptlive.access_kind import ACCESS_KINDS
from ptlive.arrays import u64
from ptlive.errors import PtliveError
from ptlive.paging.access import check
from ptlive.paging.architectures.aarch64 import (
    DS,
    E0PD0,
    E0PD1,
    EE,
    HA,
    HD,
    PAN,
    WXN,
    Rules,
    paging,
)
from ptlive.paging.architectures.facts import Facts, Wanted
from ptlive.paging.formats.aarch64 import Shape, make
from ptlive.paging.translate import translate
from tests.paging.formats.test_aarch64 import Case, cases
from tests.paging.plain_ram import PlainRam
from tests.reference.aarch64 import fault

# T0SZ and T1SZ of 16, granules of 4K, IPS of 40 bits.
TCR = 16 | 16 << 16 | 2 << 30 | 2 << 32
STATUS = {"address size": 0x00, "translation": 0x04, "access flag": 0x08, "permission": 0x0C}


def facts(**registers: int | None) -> Facts:
    values: dict[str, int | None] = {
        "TTBR0_EL1": 0x4040_0000,
        "TTBR1_EL1": 0x7_0000_4040_1000,
        "TCR_EL1": TCR,
        "SCTLR": 1,
        "ID_AA64MMFR0_EL1": 6,
        "cpsr": 1 << 2,
    }
    return Facts(values | registers, {}, PlainRam(4096))


@settings(max_examples=150)
@given(cases(), st.booleans(), st.booleans(), st.booleans(), st.sampled_from(sorted(ACCESS_KINDS)))
def test_faults_are_those_of_the_manual(
    case: Case, pan: bool, wxn: bool, ha: bool, name: str
) -> None:
    kind = ACCESS_KINDS[name]
    found = translate(case.fmt, case.ram, u64(*case.roots), u64(*case.va))
    verdicts = check(found, Rules(pan, wxn, ha), kind)
    access: Any = kind.access.value
    for row, va in enumerate(case.va):
        expected = case.expected(va)
        vector, code = int(verdicts.vector[row]), int(verdicts.error_code[row])
        if expected.kind == "unreadable":
            assert vector == 255
        if expected.kind in ("unreadable", "unpredictable"):
            continue
        why = fault(expected, access, user=kind.user, pan=pan, wxn=wxn, ha=ha)
        if why is None:
            assert (vector, code) == (0, 0)
            continue
        # D17.2.37: EC 0x20 and 0x21 are instruction aborts, 0x24 and 0x25 data aborts, from a
        # lower level and from the same.
        assert vector == (0x20 if access == "fetch" else 0x24) + (not kind.user)
        level = expected.path[-1].level if expected.path else 0
        status = STATUS[why] + level
        if level == -1:
            status = {"address size": 0b101001, "translation": 0b101011}[why]
        assert code == status | (1 << 6 if access == "write" else 0)


@pytest.mark.parametrize(
    ("registers", "name", "roots"),
    [
        ({}, "aarch64-4k-48", (0x4040_0000, 0x4040_1000)),
        ({"TCR_EL1": 25 | 25 << 16 | 2 << 30}, "aarch64-4k-39", (0x4040_0000, 0x4040_1000)),
        (
            {"TCR_EL1": 17 | 17 << 16 | 2 << 14 | 1 << 30, "TTBR1_EL1": 0x4040_4000},
            "aarch64-16k-47",
            (0x4040_0000, 0x4040_4000),
        ),
        (
            # A table of 64 entries, and bits 51:48 of its address in bits 5:2.
            {"TCR_EL1": 16 | 16 << 16 | 1 << 14 | 3 << 30 | 6 << 32, "TTBR1_EL1": 0x4040_2200 | 20},
            "aarch64-64k-48",
            (0x4040_0000, 5 << 48 | 0x4040_2200),
        ),
        (
            {"TCR_EL1": 12 | 12 << 16 | 2 << 30 | 6 << 32 | DS},
            "aarch64-4k-52-lpa2",
            (0x4040_0000, 0x4040_1000),
        ),
        # The halves differ: the lower one, and the other is told of.
        ({"TCR_EL1": 16 | 25 << 16 | 2 << 30 | 2 << 32}, "aarch64-4k-48-lower", (0x4040_0000,)),
        ({"TCR_EL1": TCR | 1 << 7}, "aarch64-4k-48-upper", (0x4040_1000,)),
        ({"TCR_EL1": TCR | 1 << 23}, "aarch64-4k-48-lower", (0x4040_0000,)),
        # A kernel that only knows of TTBR0_EL1: the other half has the reserved granule 0, and
        # more bits than there are.
        ({"TCR_EL1": 25}, "aarch64-4k-39-lower", (0x4040_0000,)),
        ({"TCR_EL1": 25 | 25 << 16}, "aarch64-4k-39", (0x4040_0000, 0x4040_1000)),
    ],
)
def test_registers_name_the_format_and_the_roots(
    registers: dict[str, Any], name: str, roots: tuple[int, ...]
) -> None:
    found = paging(facts(**registers), Wanted())
    assert (found.format.name, found.roots) == (name, roots)
    assert len(found.origin.split()) == len(roots)


@pytest.mark.parametrize(
    ("registers", "why"),
    [
        ({"SCTLR": 0}, r"paging is off \(SCTLR_EL1=0x0\)"),
        ({"TCR_EL1": TCR | 1 << 7 | 1 << 23}, "has neither half translated"),
        ({"TCR_EL1": 0}, "has neither half translated"),
        ({"SCTLR": 1 | EE}, "the tables are big-endian"),
        ({"TTBR1_EL1": None}, "does not tell TTBR1_EL1"),
    ],
)
def test_refuses_what_pages_not(registers: dict[str, Any], why: str) -> None:
    with pytest.raises(PtliveError, match=why):
        paging(facts(**registers), Wanted())


def test_the_user_may_insist() -> None:
    other = {"TCR_EL1": 16 | 25 << 16 | 2 << 30 | 2 << 32}
    found = paging(facts(**other), Wanted(format="aarch64-4k-39-upper"))
    assert found.roots == (0x4040_1000,)
    assert found.format.levels[0].reserved_leaf == ((1 << 48) - (1 << 40))
    found = paging(facts(), Wanted(root=0x4123_4000))
    assert found.roots == (0x4123_4000, 0x4040_1000)
    found = paging(facts(), Wanted(root=0x7_0000_4123_4001))
    assert found.roots == (0x4123_4000, 0x4040_1000)
    found = paging(facts(SCTLR=0), Wanted(format="aarch64-16k-36", root=0x8000))
    assert (found.format.name, found.roots[0]) == ("aarch64-16k-36", 0x8000)
    for name in ("aarch64-4k", "aarch64-4k-52", "aarch64-8k-48", "aarch64-4k-15"):
        with pytest.raises(PtliveError, match=name):
            paging(facts(), Wanted(format=name))


@pytest.mark.parametrize(
    ("registers", "rules"),
    [
        ({}, Rules()),
        ({"cpsr": PAN}, Rules(pan=True)),
        ({"SCTLR": 1 | WXN}, Rules(wxn=True)),
        ({"TCR_EL1": TCR | HA}, Rules(sets_flag=True)),
        ({"TCR_EL1": TCR | E0PD0}, Rules(e0pd0=True)),
        ({"TCR_EL1": TCR | E0PD1}, Rules(e0pd1=True)),
    ],
)
def test_rules(registers: dict[str, Any], rules: Rules) -> None:
    assert paging(facts(**registers), Wanted()).rules == rules


def test_bits_that_make_another_format() -> None:
    def rights(found: Any) -> list[int]:
        # A table that forbids all, a page that is clean and may be made dirty.
        entries = u64(0xF << 59 | 3, 1 << 51 | 1 << 7 | 3)
        return [int(found.level(2).rights(entries)[0]), int(found.level(1).rights(entries)[1])]

    for tcr, shape in (
        (0, Shape("4k", 48, 40)),
        (HA | HD, Shape("4k", 48, 40, sets_dirty=True)),
        (1 << 41 | 1 << 42, Shape("4k", 48, 40, hierarchical=False)),
    ):
        found = paging(facts(TCR_EL1=TCR | tcr), Wanted()).format
        assert rights(found) == rights(make(shape))
    assert rights(make(Shape("4k", 48))) != rights(make(Shape("4k", 48, hierarchical=False)))


def test_el0_is_kept_from_a_half() -> None:
    case = PlainRam(4096, 0x1000, {0x1000: 0x1000 | 3, 0x1008: 0x1000 | 1 << 10 | 1 << 6 | 3})
    fmt = make(Shape("4k", 21))  # one table, whose second entry maps a page for EL0
    found = translate(fmt, case, u64(0x1000, 0x1000), u64(0x1000, -0x1F_F000 % 2**64, 0x5000))
    read, own = ACCESS_KINDS["user-read"], ACCESS_KINDS["supervisor-read"]
    verdicts = check(found, Rules(e0pd1=True), read)
    assert verdicts.vector.tolist() == [0, 0x24, 0x24]
    assert verdicts.error_code.tolist() == [0, 4, 7]
    assert check(found, Rules(e0pd0=True, e0pd1=True), own).vector.tolist() == [0, 0, 0x25]
    assert check(found, Rules(e0pd0=True), read).error_code.tolist() == [4, 0, 4]
    said = Rules(e0pd1=True).denied(found.take(np.array([1])), read, 4)
    assert said == (None, "EL0 is kept from this half, TCR_EL1.E0PD1=1")


def test_what_is_not_modelled_is_told() -> None:
    assert paging(facts(), Wanted()).not_modelled == {}
    found = paging(facts(TCR_EL1=TCR ^ 1 << 16 | 1 << 37, cpsr=2 << 2), Wanted()).not_modelled
    assert list(found) == ["other half", "TBI", "exception level"]
    assert "--format aarch64-4k-47-upper walks it" in found["other half"]
    assert list(paging(facts(HCR_EL2=1), Wanted()).not_modelled) == ["stage 2"]


def test_faults_have_the_manuals_names() -> None:
    words = Rules().words
    assert words(0x24, 0x4F) == "data abort (EC 0x24, FSC 0x0f: permission fault, level 3)"
    assert words(0x21, 0x2B) == "instruction abort (EC 0x21, FSC 0x2b: translation fault, level -1)"
    assert words(0, 0) == "allowed"
