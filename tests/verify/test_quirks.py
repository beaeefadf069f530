"""Known deviations: each explains exactly what it says, and nothing else."""

from __future__ import annotations

import pytest

from ptlive.analysis.report import Quirk
from ptlive.oracle.observation import Observation
from ptlive.paging.format import Kind
from ptlive.paging.translate import NOT_TRANSLATED
from ptlive.verify import quirks

RSVD_READ, RSVD_USER_WRITE, RSVD_FETCH = 0x9, 0xF, 0x19


def fault(code: int) -> Observation:
    return Observation(vector=14, error_code=code)


@pytest.mark.parametrize("code", [RSVD_READ, RSVD_USER_WRITE, RSVD_FETCH])
def test_a_reserved_bit_without_p_is_tcgs(code: int) -> None:
    seen = fault(code & ~1)
    assert quirks.of_fault("TCG", 14, code, seen, False) is quirks.RESERVED_WITHOUT_P
    assert quirks.of_fault("TCG", 14, code, seen, True) is quirks.RESERVED_WITHOUT_P


@pytest.mark.parametrize("accelerator", ["KVM, unknown", "KVM+EPT", "unknown", "", "tcg"])
def test_it_is_nobody_elses(accelerator: str) -> None:
    for page1gb_only in (False, True):
        for seen in (fault(0x8), Observation(vector=0)):
            assert quirks.of_fault(accelerator, 14, 0x9, seen, page1gb_only) is None


@pytest.mark.parametrize(
    ("code", "seen"),
    [
        (0x9, fault(0x0)),  # RSVD lost as well
        (0x9, fault(0xA)),  # a write
        (0x9, fault(0xC)),  # from user mode
        (0x9, fault(0x1)),
        (0x9, Observation(vector=13, error_code=0x8)),
        (0x9, Observation(vector=0)),
        (0x5, fault(0x4)),  # P is missing, but no reserved bit was predicted
        (0x0, fault(0x1)),
    ],
)
def test_other_differences_are_not_excused(code: int, seen: Observation) -> None:
    assert quirks.of_fault("TCG", 14, code, seen, False) is None


def test_other_vectors_are_not_excused() -> None:
    assert quirks.of_fault("TCG", 13, 0x8, fault(0x8), True) is None
    assert quirks.of_fault("TCG", 0, 0, fault(0x8), True) is None


@pytest.mark.parametrize(
    ("seen", "excused"),
    [
        (Observation(vector=0), True),
        (fault(0x7), True),  # taken for a page, and then denied
        (fault(0x27), True),  # by its key
        (fault(0x6), False),
        (fault(0x5), False),  # of another access
        (fault(0x17), False),
        (Observation(vector=13), False),
        (Observation(vector=6), False),
    ],
)
def test_a_1g_page_is_excused_as_the_page_that_it_would_be(
    seen: Observation, excused: bool
) -> None:
    found = quirks.of_fault("TCG", 14, RSVD_USER_WRITE, seen, True)
    assert found is (quirks.TCG_PAGE1GB if excused else None)
    assert quirks.of_fault("TCG", 14, RSVD_USER_WRITE, seen, False) is None


def test_the_debug_walker_only_translates_too_much() -> None:
    for kind in (*Kind, NOT_TRANSLATED):
        assert quirks.of_debug_walk(int(kind), None) is None
    assert quirks.of_debug_walk(Kind.MALFORMED, 0x1000) is quirks.DEBUG_WALKER_RESERVED
    for kind in (Kind.ABSENT, Kind.LEAF, Kind.TABLE, Kind.UNREADABLE, NOT_TRANSLATED):
        assert quirks.of_debug_walk(int(kind), 0x1000) is None


def test_each_names_reason_and_source() -> None:
    known = [value for value in vars(quirks).values() if isinstance(value, Quirk)]
    assert len(known) >= 4
    assert len({quirk.name for quirk in known}) == len(known)
    for quirk in known:
        assert quirk.reason
        assert "QEMU" in quirk.cite or "SDM" in quirk.cite
        assert quirk.accelerator in ("TCG", "debug walker", "info tlb")
