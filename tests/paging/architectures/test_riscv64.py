"""What satp, mstatus and menvcfg mean; accesses, held against the manual's algorithm."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ptlive.access_kind import ACCESS_KINDS
from ptlive.arrays import u64
from ptlive.errors import PtliveError
from ptlive.paging.access import check
from ptlive.paging.architectures.facts import Facts, Wanted
from ptlive.paging.architectures.riscv64 import ADUE, MXR, PBMTE, SUM, Rules, paging
from ptlive.paging.formats import riscv
from ptlive.paging.translate import translate
from tests.paging.formats.test_riscv import Case, cases
from tests.paging.plain_ram import PlainRam
from tests.reference.riscv import cause

SV48 = 9 << 60
UNPREDICTABLE = 255


def facts(features: dict[str, int | None] | None = None, **registers: int | None) -> Facts:
    values: dict[str, int | None] = {"satp": SV48 | 0x80400, "mstatus": 0, "menvcfg": 0, "priv": 1}
    return Facts(values | registers, features or {}, PlainRam(4096))


@settings(max_examples=100)
@given(cases(), st.booleans(), st.booleans(), st.booleans(), st.sampled_from(sorted(ACCESS_KINDS)))
def test_faults_are_those_of_the_manual(
    case: Case, sum_: bool, mxr: bool, sets_bits: bool, name: str
) -> None:
    kind = ACCESS_KINDS[name]
    found = translate(case.fmt, case.ram, u64(case.ram.base), u64(*case.va))
    verdicts = check(found, Rules(sum_, mxr, sets_bits), kind)
    for row, va in enumerate(case.va):
        expected = case.expected(va)
        fault = cause(
            expected,
            kind.access.value,
            user=kind.user,
            sum_=sum_,
            mxr=mxr,
            hardware_sets=sets_bits,
        )
        told = int(verdicts.vector[row])
        assert told == (UNPREDICTABLE if expected.kind == "unreadable" else fault or 0)


@pytest.mark.parametrize(("mode", "name"), [(8, "sv39"), (9, "sv48"), (10, "sv57")])
def test_satp_names_the_format_and_the_root(mode: int, name: str) -> None:
    found = paging(facts(satp=mode << 60 | 0xABC << 44 | 0x12345), Wanted())
    assert found.format.name == name
    assert found.roots == (0x1234_5000,)
    assert found.origin == "satp"


@pytest.mark.parametrize(
    ("registers", "why"),
    [
        ({"satp": 0x80400}, r"paging is off \(satp=0x80400\)"),
        ({"satp": 11 << 60}, "MODE 11"),
        ({"satp": None}, "does not tell satp"),
    ],
)
def test_refuses_what_pages_not(registers: dict[str, Any], why: str) -> None:
    with pytest.raises(PtliveError, match=why):
        paging(facts(**registers), Wanted())


def test_the_user_may_insist() -> None:
    found = paging(facts(satp=0), Wanted(root=0x8000_3000, format="sv57"))
    assert (found.format.name, found.roots) == ("sv57", (0x8000_3000,))
    assert paging(facts(), Wanted(root=10 << 60 | 0x80005)).roots == (0x8000_5000,)
    with pytest.raises(PtliveError, match="no format 'sv32'; there are sv39, sv48, sv57"):
        paging(facts(), Wanted(format="sv32"))
    with pytest.raises(PtliveError, match="0x80003008 is not the address of a root table"):
        paging(facts(), Wanted(root=0x8000_3008))


@pytest.mark.parametrize(
    ("registers", "features", "rules"),
    [
        ({}, {}, Rules(False, False, True)),
        ({"mstatus": SUM}, {}, Rules(True, False, True)),
        ({"mstatus": MXR}, {}, Rules(False, True, True)),
        ({"menvcfg": 0}, {"svadu": 1}, Rules(False, False, False)),
        ({"menvcfg": ADUE}, {"svadu": 1}, Rules(False, False, True)),
        ({"menvcfg": 0}, {"svadu": 0}, Rules(False, False, True)),
    ],
)
def test_rules(registers: dict[str, Any], features: dict[str, Any], rules: Rules) -> None:
    assert paging(facts(features, **registers), Wanted()).rules == rules


@pytest.mark.parametrize(
    ("menvcfg", "features", "same"),
    [
        (PBMTE, {"svnapot": 1, "svpbmt": 1}, {}),
        (0, {"svnapot": 1, "svpbmt": 1}, {"svpbmt": False}),
        (PBMTE, {"svnapot": 0, "svpbmt": 1}, {"svnapot": False}),
        (PBMTE, {"svnapot": 1, "svpbmt": 0}, {"svpbmt": False}),
        (PBMTE, {}, {}),
        (PBMTE, {"svrsw60t59b": 1}, {"svrsw60t59b": True}),
    ],
)
def test_extensions(menvcfg: int, features: dict[str, Any], same: dict[str, bool]) -> None:
    found = paging(facts(features, menvcfg=menvcfg), Wanted()).format
    expected = riscv.make("sv48", **same)
    for level, other in zip(found.levels, expected.levels, strict=True):
        assert level.reserved_leaf == other.reserved_leaf
        assert len(level.wrong) == len(other.wrong)


def test_what_is_not_modelled_is_told() -> None:
    assert paging(facts(), Wanted()).not_modelled == {}
    assert list(paging(facts(priv=3, mstatus=1 << 17), Wanted()).not_modelled) == [
        "machine mode",
        "MPRV",
    ]
