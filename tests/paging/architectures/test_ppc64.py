"""What PTCR leads to; accesses to radix trees, held against the manual."""

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
from ptlive.paging.architectures.ppc64 import RELOCATED, Rules, paging
from ptlive.paging.translate import translate
from tests.paging.formats.test_power import FMT, KERNEL, Case, L, V, cases
from tests.paging.plain_ram import PlainRam
from tests.reference.power import allowed

HR, HV = 1 << 20, 1 << 60
RTS_52 = 2 << 61 | 5 << 5
KEYS = (0, 1 << 62, 1 << 63, 3 << 62)


@settings(max_examples=100)
@given(cases(), st.sampled_from(KEYS), st.sampled_from(KEYS), st.sampled_from(sorted(ACCESS_KINDS)))
def test_interrupts_are_those_of_the_manual(case: Case, amr: int, iamr: int, name: str) -> None:
    kind = ACCESS_KINDS[name]
    access: Any = kind.access.value
    found = translate(FMT, case.ram, u64(*case.roots), u64(*case.va))
    verdicts = check(found, Rules(amr, iamr), kind)
    fetch = access == "fetch"
    for row, va in enumerate(case.va):
        expected = case.expected(va)
        told = int(verdicts.vector[row]), int(verdicts.error_code[row])
        if expected.kind == "unreadable":
            assert told == (255, 0)
        elif expected.kind == "outside":
            # EA bits 2:11: a segment interrupt. The quadrants of a guest are not walked.
            segment = 0x48 if fetch else 0x38
            assert told == ((segment if va << 2 & (1 << 64) - (1 << 54) else 255), 0)
        else:
            bits = {"absent": 1 << 30, "unsupported": 1 << 19}.get(expected.kind, 0)
            if expected.kind == "leaf" and not allowed(
                expected, access, problem_state=kind.user, amr=amr, iamr=iamr
            ):
                bits = 1 << 28 if fetch else 1 << 27
            if bits and access == "write":
                bits |= 1 << 25
            assert told == ((0x40 if fetch else 0x30) if bits else 0, bits)


def tables(**changes: int) -> PlainRam:
    """Return RAM with a partition table, its tree, and its process table 1G below its address."""
    ram = PlainRam(0x60000)
    words = {
        0x10000: V | 0x20000 | RTS_52 | 13,  # partition 0: its tree
        0x10008: V | 0x4003_0000,  # its processes
        0x20000: V | 0x31000 | 9,
        0x31000 + 8: V | L | 6,  # 1G and up are 0 and up
        0x30000: 0x40000 | RTS_52 | 13,  # PID 0
        0x30000 + 16 * 5: 0x50000 | RTS_52 | 13,
    }
    for address, value in (words | {int(at, 16): value for at, value in changes.items()}).items():
        ram.write(address, value, ">u8")
    return ram


def facts(ram: PlainRam | None = None, **registers: int | None) -> Facts:
    values: dict[str, int | None] = {
        "ptcr": 0x10000 | 4,
        "lpcr": HR,
        "lpidr": 0,
        "pid": 5,
        "amr": 0,
        "iamr": 0,
        "msr": HV | RELOCATED,
    }
    return Facts(values | registers, {}, ram or tables())


def test_the_tables_lead_to_both_trees() -> None:
    found = paging(facts(amr=3 << 62, iamr=1 << 62), Wanted())
    assert (found.format.name, found.roots) == ("power-radix", (0x50000, 0x40000))
    assert found.origin == "pid 5 pid 0"
    assert found.rules == Rules(3 << 62, 1 << 62)
    assert found.not_modelled == {}


def test_a_process_without_a_tree_leaves_the_kernels() -> None:
    found = paging(facts(pid=6), Wanted())
    assert (found.format.name, found.roots) == ("power-radix-kernel", (0x40000,))
    assert found.format.windows[0].va == KERNEL


@pytest.mark.parametrize(
    ("ram", "registers", "why"),
    [
        ({}, {"lpcr": 0}, "this is no radix tree, but a hash table"),
        ({}, {"ptcr": 0}, "PTCR is 0"),
        ({}, {"ptcr": None}, "does not tell ptcr"),
        ({}, {"lpidr": 1 << 20}, "the partition table has no entry 1048576"),
        ({}, {"ptcr": 1 << 30}, "the partition table at 0x40000000 lies in no RAM"),
        ({}, {"pid": 1 << 12}, "the process table has no entry 4096"),
        ({"10000": 0}, {}, "entry 0 is of no radix tree"),
        ({"31008": 0}, {}, "is not in its partition's tree"),
        ({"30050": 0x50000 | RTS_52 | 9}, {}, r"PID 5 has .* 52 bits with a root table of 2\*\*9"),
        ({"30050": 0x50000 | 13}, {}, "PID 5 has a radix tree of 31 bits"),
        ({"30050": 0, "30000": 0}, {}, "no radix tree for this process, nor for PID 0"),
    ],
)
def test_refuses_what_pages_not(ram: dict[str, int], registers: dict[str, Any], why: str) -> None:
    with pytest.raises(PtliveError, match=why):
        paging(facts(tables(**ram), **registers), Wanted())


def test_the_user_may_insist() -> None:
    found = paging(facts(), Wanted(format="power-radix-kernel"))
    assert (found.format.name, found.roots) == ("power-radix-kernel", (0x40000,))
    found = paging(facts(ptcr=0, lpcr=0), Wanted(root=0x123_0000))
    assert (found.format.name, found.roots) == ("power-radix-user", (0x123_0000,))
    found = paging(facts(), Wanted(root=0x123_0000, format="power-radix"))
    assert (found.format.name, found.roots) == ("power-radix", (0x123_0000, 0x40000))
    with pytest.raises(PtliveError, match="no format 'hash'; there are power-radix, "):
        paging(facts(), Wanted(format="hash"))


def test_what_a_partition_does_besides_is_told() -> None:
    ram = tables(**{"10010": V | 0x20000 | RTS_52 | 13, "10018": V | 0x4003_0000})
    found = paging(facts(ram, lpidr=1, msr=RELOCATED), Wanted())
    assert list(found.not_modelled) == ["partition scope"]
    found = paging(facts(ram, msr=HV), Wanted())
    assert list(found.not_modelled) == ["real mode"]


def test_interrupts_have_the_manuals_names() -> None:
    words = Rules().words
    assert words(0x30, 0x0A00_0000) == "data storage interrupt (0x300: protection, store)"
    assert (
        words(0x40, 0x1000_0000) == "instruction storage interrupt (0x400: no-execute or guarded)"
    )
    assert words(0x38, 0) == "data segment interrupt (0x380)"
    assert words(0, 0) == "allowed"
