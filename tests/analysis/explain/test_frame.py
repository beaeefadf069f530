"""Frames and gates of the IDT, from bytes; what is none is doubted."""

from __future__ import annotations

import struct
from dataclasses import replace

import pytest

from ptlive.analysis.explain.frame import Frame, doubts, parse_frame, parse_gate

GOOD = Frame(0x1000, 0b110, 0x40_1000, 0x33, 0x246, 0x7FFF_0000, 0x2B)


def test_a_frame_of_long_mode() -> None:
    data = struct.pack("<6Q", 6, 0x40_1000, 0x33, 0x246, 0x7FFF_0000, 0x2B)
    assert parse_frame(data, 0x1000) == GOOD
    assert GOOD.cpl == 3


def test_a_frame_of_32_bits_has_no_stack_without_a_change_of_privilege() -> None:
    words = (2, 0xC010_0000, 0x10, 0x46, 0xDEAD, 0xBEEF)
    inner = parse_frame(struct.pack("<6I", *words), 0x1000, wide=False)
    assert (inner.rip, inner.rsp, inner.ss) == (0xC010_0000, None, None)
    words = (6, 0x0804_8000, 0x73, 0x246, 0xBFFF_0000, 0x7B)
    outer = parse_frame(struct.pack("<6I", *words), 0x1000, wide=False)
    assert (outer.rsp, outer.ss) == (0xBFFF_0000, 0x7B)


def test_gates() -> None:
    """SDM vol. 3A figures 6-2 and 6-8."""
    wide = struct.pack("<HHBBHII", 0x0B30, 0x10, 3, 0x8E, 0x8200, 0xFFFF_FFFF, 0)
    assert parse_gate(wide) == 0xFFFF_FFFF_8200_0B30
    assert parse_gate(struct.pack("<HHBBH", 0x0B30, 8, 0, 0x8F, 0xC010), wide=False) == 0xC010_0B30
    absent, task, short = wide[:5] + b"\x0e" + wide[6:], wide[:5] + b"\x85" + wide[6:], wide[:15]
    assert [parse_gate(one) for one in (absent, task, short, b"")] == [None] * 4


def test_a_good_frame_is_not_doubted() -> None:
    assert doubts(GOOD, 0x7000) == []
    fetched = replace(GOOD, error_code=0b10100)
    assert doubts(fetched, GOOD.rip + 14) == []


@pytest.mark.parametrize(
    ("changed", "cr2", "why"),
    [
        ({"error_code": 0xFFFF_FFFF}, 0, "no error code"),
        ({"rflags": 0}, 0, "no RFLAGS"),
        ({"rflags": 0xFFFF_8880_0000_0002}, 0, "no RFLAGS"),
        ({"cs": 0}, 0, "no selectors"),
        ({"ss": 0x7FFF_0000}, 0, "no selectors"),
        ({"cs": 0x10}, 0, "user-mode access at privilege level 0"),
        ({"error_code": 0b10100}, 0x7000, "none of the instruction at 0x401000"),
        ({"error_code": 0b10110}, 0x40_1000, "a fetch that writes"),
    ],
)
def test_what_is_no_frame_is_doubted(changed: dict[str, int], cr2: int, why: str) -> None:
    said = doubts(replace(GOOD, **changed), cr2)
    assert any(why in one for one in said)
