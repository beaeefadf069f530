"""Whether an access may happen: held against the reference, and against SDM 4.6 and 4.7 by hand."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ptlive.arrays import u64
from ptlive.paging.access import (
    ACCESS_KINDS,
    ALLOWED,
    GENERAL_PROTECTION,
    PAGE_FAULT,
    UNPREDICTABLE,
    Controls,
    Fault,
    check,
    key_of,
    pieces,
)
from ptlive.paging.format import Kind
from ptlive.paging.nested import EptControls
from ptlive.paging.translate import translate
from tests.paging.builder import Builder
from tests.paging.tables import (
    PS,
    PWU,
    RW,
    US,
    XD,
    Case,
    P,
    cases,
    controls_of,
    format_of,
    machine,
)
from tests.paging.test_translate import addresses
from tests.reference import sdm

TOP = 0xFFFF_FFFF_8000_0000
VA = 0x7000_1000_2000
machine_bits = st.fixed_dictionaries(
    {
        "wp": st.booleans(),
        "smep": st.booleans(),
        "smap": st.booleans(),
        "pke": st.booleans(),
        "pkru": st.integers(0, (1 << 32) - 1),
    }
)


@settings(max_examples=60)
@given(cases(), st.data(), st.lists(machine_bits, min_size=1, max_size=6))
def test_all_kinds_of_access_end_as_in_the_reference(
    case: Case, data: st.DataObject, bits: list[dict[str, int]]
) -> None:
    va = u64(*data.draw(addresses(case)))
    result = translate(case.fmt, case.ram, case.roots, va)
    for each in bits:
        cpu = dataclasses.replace(case.machine, **each)  # type: ignore[arg-type]  # by name
        for kind in ACCESS_KINDS.values():
            verdict = check(result, controls_of(cpu), kind)
            asked = sdm.Access(kind.access.value, kind.user, kind.ac)
            for row, address in enumerate(va.tolist()):
                outcome = sdm.access(cpu, case.ram.qword, case.root, address, asked)
                vector, code = int(verdict.vector[row]), int(verdict.error_code[row])
                if outcome.vector is not None:
                    assert (vector, code) == (outcome.vector, outcome.error_code), outcome
                else:
                    assert vector == (UNPREDICTABLE if outcome.pa is None else ALLOWED), outcome
                    assert code == 0


def test_every_combination_of_rights_and_controls_ends_as_in_the_reference() -> None:
    """Exhaust a page's R/W, U/S, XD and key rights with all control bits, for all kinds."""
    built = Builder(4)
    pages = [
        rw | us | xd | key << 59
        for rw in (0, RW)
        for us in (0, US)
        for xd in (0, XD)
        for key in (0, 5)
    ]
    for n, flags in enumerate(pages):
        built.map(VA + (n << 12), 0x5000_0000 | n << 12 | flags | P)
    va = u64(*(VA + (n << 12) for n in range(len(pages))))
    for bits in range(16):
        for pkru in (0, 1 << 10, 1 << 11, 3 << 10, 0x5555_5555, 0xFFFF_FFFF):
            names = ("wp", "smep", "smap", "pke")
            cpu = machine(
                4, pkru=pkru, **{name: bool(bits >> n & 1) for n, name in enumerate(names)}
            )
            result = translate(format_of(cpu), built.ram, built.roots, va)
            for kind in ACCESS_KINDS.values():
                verdict = check(result, controls_of(cpu), kind)
                asked = sdm.Access(kind.access.value, kind.user, kind.ac)
                for row, address in enumerate(va.tolist()):
                    outcome = sdm.access(cpu, built.ram.qword, built.root, address, asked)
                    expected = (outcome.vector or ALLOWED, outcome.error_code or 0)
                    found = (int(verdict.vector[row]), int(verdict.error_code[row]))
                    assert found == expected, (kind, cpu, hex(pages[row]))


def codes(entry: int, controls: Controls, level: int = 1) -> dict[str, int | None]:
    """Return each kind's page-fault error code for a page of this entry, None if allowed."""
    built = Builder()
    built.map(VA & ~0x1F_FFFF if level > 1 else VA, entry, level=level)
    result = translate(built.fmt, built.ram, built.roots, u64(VA & ~0x1F_FFFF if level > 1 else VA))
    found: dict[str, int | None] = {}
    for name, kind in ACCESS_KINDS.items():
        verdict = check(result, controls, kind)
        assert verdict.vector[0] in (ALLOWED, PAGE_FAULT)
        found[name] = int(verdict.error_code[0]) if verdict.vector[0] else None
    return found


def expect(*values: int | None) -> dict[str, int | None]:
    return dict(zip(ACCESS_KINDS, values, strict=True))


# The order of kinds: supervisor read, write, fetch; with AC read, write; user read, write, fetch.
# Error codes by hand from SDM figure 4-12: P 1, W/R 2, U/S 4, RSVD 8, I/D 0x10, PK 0x20.
@pytest.mark.parametrize(
    ("entry", "controls", "expected"),
    [
        (0x5000_0000 | PWU, Controls(), expect(*[None] * 8)),
        (0x5000_0000 | PWU & ~P, Controls(), expect(0, 2, 0x10, 0, 2, 4, 6, 0x14)),
        (0x5000_0000 | P | US, Controls(), expect(None, 3, None, None, 3, None, 7, None)),
        (0x5000_0000 | P | US, Controls(wp=False), expect(*[None] * 6, 7, None)),
        (0x5000_0000 | P | RW, Controls(), expect(*[None] * 5, 5, 7, 0x15)),
        (
            0x5000_0000 | PWU | XD,
            Controls(),
            expect(None, None, 0x11, *[None] * 4, 0x15),
        ),
        (0x5000_0000 | PWU, Controls(smap=True), expect(1, 3, *[None] * 6)),
        (0x5000_0000 | PWU, Controls(smep=True), expect(None, None, 0x11, *[None] * 5)),
        (0x5000_0000, Controls(nxe=False), expect(0, 2, 0, 0, 2, 4, 6, 4)),
        (0x5000_0000, Controls(nxe=False, smep=True), expect(0, 2, 0x10, 0, 2, 4, 6, 0x14)),
        (
            0x5000_0000 | PWU | 3 << 59,
            Controls(pke=True, pkru=1 << 6),
            expect(0x21, 0x23, None, 0x21, 0x23, 0x25, 0x27, None),
        ),
        (
            0x5000_0000 | PWU | 3 << 59,
            Controls(pke=True, pkru=1 << 7),
            expect(None, 0x23, None, None, 0x23, None, 0x27, None),
        ),
        (
            0x5000_0000 | PWU | 3 << 59,
            Controls(pke=True, pkru=1 << 7, wp=False),
            expect(*[None] * 6, 0x27, None),
        ),
        (0x5000_0000 | PWU | 3 << 59, Controls(pke=False, pkru=0xFFFF_FFFF), expect(*[None] * 8)),
        # A supervisor page has no key; what else is missing does not hide that a key forbids.
        (
            0x5000_0000 | P | RW | 3 << 59,
            Controls(pke=True, pkru=0xFFFF_FFFF),
            expect(*[None] * 5, 5, 7, 0x15),
        ),
        (
            0x5000_0000 | P | US | 3 << 59,
            Controls(pke=True, pkru=3 << 6, smap=True),
            expect(0x21, 0x23, None, 0x21, 0x23, 0x25, 0x27, None),
        ),
    ],
)
def test_codes_by_hand(entry: int, controls: Controls, expected: dict[str, int | None]) -> None:
    assert codes(entry, controls) == expected


def test_a_reserved_bit_gives_rsvd_with_p_for_every_kind() -> None:
    rsvd = expect(9, 0xB, 0x19, 9, 0xB, 0xD, 0xF, 0x1D)
    assert codes(0x5000_2000 | PWU | PS, Controls(), level=2) == rsvd
    assert codes(0x5000_0000 | PWU | PS, Controls(), level=4) == rsvd
    assert codes(0x5000_0000 | PWU | PS, Controls(), level=5) == rsvd


def test_without_pkru_only_what_a_key_may_decide_is_unpredictable() -> None:
    built = Builder()
    built.map(VA, 0x5000_0000 | PWU | 3 << 59)
    built.map(VA + 4096, 0x5000_1000 | P | RW)
    result = translate(built.fmt, built.ram, built.roots, u64(VA, VA + 4096, VA + 8192))
    unknown = Controls(pke=True, pkru=None)
    assert unknown.key_matters
    for kind in ACCESS_KINDS.values():
        vectors = check(result, unknown, kind).vector.tolist()
        fetch = kind.access.value == "fetch"
        assert vectors[0] == (ALLOWED if fetch else UNPREDICTABLE)
        assert vectors[1] == (PAGE_FAULT if kind.user else ALLOWED)
        assert vectors[2] == PAGE_FAULT
    assert not Controls(pke=False, pkru=None).key_matters


def test_an_unreadable_table_decides_nothing_and_the_gap_is_gp() -> None:
    built = Builder()
    built.map(VA, 1 << 50 | PWU, level=2)
    result = translate(built.fmt, built.ram, built.roots, u64(VA, 1 << 60))
    assert result.kind[0] == Kind.UNREADABLE
    for kind in ACCESS_KINDS.values():
        verdict = check(result, Controls(), kind)
        assert verdict.vector.tolist() == [UNPREDICTABLE, GENERAL_PROTECTION]
        assert verdict.error_code.tolist() == [0, 0]
        assert verdict.vector.dtype == np.uint8
        assert verdict.error_code.dtype == np.uint32


def test_a_key_is_that_of_the_leaf_whatever_its_size() -> None:
    built = Builder()
    built.map(0, 0x5000_0000 | PWU | 15 << 59)
    built.map(0x4000_0000, 0x4000_0000 | PWU | PS | 9 << 59, level=2)
    built.map(0x8000_0000, 0x8000_0000 | PWU | PS | 6 << 59, level=3)
    built.map(0xC000_0000, 0x5000_0000 | P << 1 | 7 << 59)
    va = u64(0, 0x4000_0000, 0x8000_0000, 0xC000_0000, 1 << 60)
    key = key_of(translate(built.fmt, built.ram, built.roots, va))
    assert key.tolist() == [15, 9, 6, 0, 0]
    assert key.dtype == np.uint64


@given(st.integers(0, (1 << 64) - 1), st.integers(0, 3 * 4096))
def test_pieces_cover_the_bytes_and_cross_no_page(va: int, length: int) -> None:
    found = pieces(va, length)
    bytes_of = [(at + n) % (1 << 64) for at, size in found for n in range(size)]
    assert bytes_of == [(va + n) % (1 << 64) for n in range(length)]
    assert all(at >> 12 == at + size - 1 >> 12 for at, size in found)
    assert all((at + size) % 4096 == 0 for at, size in found[:-1])


@settings(max_examples=40)
@given(cases(), st.data())
def test_a_long_access_faults_with_its_first_piece_that_does(
    case: Case, data: st.DataObject
) -> None:
    start = data.draw(st.sampled_from(data.draw(addresses(case))))
    va = (start - data.draw(st.integers(0, 16))) % (1 << 64)
    length = data.draw(st.integers(1, 4096))
    kind = data.draw(st.sampled_from(list(ACCESS_KINDS.values())))
    asked = sdm.Access(kind.access.value, kind.user, kind.ac, length)
    outcome = sdm.access(case.machine, case.ram.qword, case.root, va, asked)
    parts = pieces(va, length)
    result = translate(case.fmt, case.ram, case.roots, u64(*(at for at, _ in parts)))
    verdict = check(result, controls_of(case.machine), kind)
    failing = np.flatnonzero(verdict.vector)
    if outcome.vector == 13:
        # Of the pieces any may be the one that is not canonical: it is told before all paging.
        assert GENERAL_PROTECTION in verdict.vector
    elif outcome.vector is None and outcome.pa is not None:
        assert not failing.size
    else:
        first = int(failing[0])
        assert verdict.vector[first] == (outcome.vector or UNPREDICTABLE)
        assert verdict.error_code[first] == (outcome.error_code or 0)
        assert outcome.cr2 in (None, parts[first][0])


def test_in_32_bits_an_access_wraps_at_4g() -> None:
    assert pieces(0xFFFF_FFFE, 4, bits=32) == [(0xFFFF_FFFE, 2), (0, 2)]


def test_other_pkru_are_only_for_rules_that_have_keys() -> None:
    assert Controls(pke=True, pkru=None).with_pkru(7) == Controls(pke=True, pkru=7)
    rules = EptControls()
    assert rules.with_pkru(7) is rules
    assert not rules.key_matters
    assert (rules.pke, rules.pkru) == (False, 0)


def test_the_bits_of_the_error_code_are_those_of_figure_4_12() -> None:
    assert {fault.name: int(fault).bit_length() - 1 for fault in Fault} == {
        "P": 0,
        "WR": 1,
        "US": 2,
        "RSVD": 3,
        "ID": 4,
        "PK": 5,
        "SS": 6,
        "HLAT": 7,
        "SGX": 15,
    }
