"""Accesses page by page: which page decides, where it fails, what fails before paging."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from ptlive.analysis.explain.judge import MOST_PAGES, Judged, first_to_fault, judge
from ptlive.analysis.instruction.touch import Does, State, Touch
from ptlive.analysis.instruction.touches import Instruction
from ptlive.paging.access import Controls
from ptlive.paging.translate import Translations, translate
from tests.paging.builder import Builder
from tests.paging.plain_ram import FRAME
from tests.paging.tables import PWU, RW, P

if TYPE_CHECKING:
    from ptlive.arrays import U64
    from ptlive.paging.format import Format

VA = 0x7000_0000
READ, WRITE, MODIFY = Does.READ, Does.WRITE, Does.MODIFY
STATE = State({"eflags": 2})


@dataclass
class Tables:
    """An address space of which pages are mapped by number, from VA on."""

    builder: Builder

    @property
    def format(self) -> Format:
        return self.builder.fmt

    def translate(self, va: U64) -> Translations:
        return translate(self.builder.fmt, self.builder.ram, self.builder.roots, va)


def tables(**pages: int) -> Tables:
    """Map pages: p0=flags, p1=flags, ..."""
    builder = Builder(levels=4)
    for name, flags in pages.items():
        builder.map(VA + int(name[1:]) * FRAME, 0x5_0000 | flags)
    return Tables(builder)


def judged(
    space: Tables, *touches: Touch, controls: Controls | None = None, reads_first: bool = False
) -> list[Judged]:
    instruction = Instruction(0, b"\x90", "nop", touches, ())
    rules = controls or Controls()
    return judge(instruction, STATE, space, rules, reads_first=reads_first)


def the(space: Tables, va: int, length: int, does: Does, **more: object) -> Judged:
    (one,) = judged(space, Touch(va, length, does, "it", **more))  # type: ignore[arg-type]  # fields by name
    return one


@pytest.mark.parametrize(
    ("pages", "address", "code"),
    [
        ({"p0": P, "p1": P}, None, None),
        ({"p0": P}, VA + FRAME, 0),  # the second page: its first byte
        ({"p1": P}, VA + FRAME - 4, 0),  # the first: where the access begins
        ({}, VA + FRAME - 4, 0),
    ],
)
def test_an_access_that_crosses_a_page(
    pages: dict[str, int], address: int | None, code: int | None
) -> None:
    one = the(tables(**pages), VA + FRAME - 4, 8, READ)
    assert one.count == 2
    if address is None:
        assert one.fate.allowed
    else:
        assert (one.fate.vector, one.fate.address, one.fate.error_code) == (14, address, code)


def test_a_string_fails_at_the_first_element_that_does() -> None:
    space = tables(p0=P | RW, p2=P | RW)
    up = the(space, VA + 8, 3 * FRAME - 8, WRITE, element=8)
    assert up.fate.address == VA + FRAME
    down = the(space, VA, 3 * FRAME, WRITE, element=8, descending=True)
    assert (down.first.va, down.fate.address) == (VA + 3 * FRAME - 8, VA + 2 * FRAME - 8)


def test_a_string_that_goes_downwards_across_a_page() -> None:
    """The element that lies in both pages begins in the lower one, and fails there."""
    one = the(tables(p1=P | RW), VA + 4, 2 * FRAME - 8, WRITE, element=8, descending=True)
    assert one.fate.address == VA + FRAME - 4


def test_a_string_without_end_is_looked_at_as_far_as_a_limit_says() -> None:
    one = the(tables(), VA, 1 << 60, READ, element=1)
    assert (one.count, one.unseen) == (MOST_PAGES, (1 << 60) - MOST_PAGES * FRAME)


def test_what_is_not_canonical_fails_before_paging() -> None:
    edge = (1 << 47) - 4
    assert the(tables(), edge, 8, READ).fate.vector == 13
    assert the(tables(), edge, 8, READ, stack=True).fate.vector == 12
    assert the(tables(), edge, 8, READ, element=1).fate.vector == 14  # byte by byte


def test_what_is_not_aligned_fails_before_paging() -> None:
    one = the(tables(), VA + 8, 16, READ, alignment=16)
    assert (one.fate.vector, one.fate.reason) == (13, "it is not aligned to 16 bytes")


def test_read_modify_write_is_a_write_unless_it_reads_first() -> None:
    touch = Touch(VA, 8, MODIFY, "it")
    for reads_first, code in ((False, 2), (True, 0)):
        (one,) = judged(tables(), touch, reads_first=reads_first)
        assert one.fate.error_code == code
        (one,) = judged(tables(p0=P), touch, reads_first=reads_first)
        assert one.fate.error_code == 3


def test_an_implicit_supervisor_access_is_not_let_through_by_ac() -> None:
    space, controls = tables(p0=PWU), Controls(smap=True)
    state = State({"eflags": 2 | 1 << 18})
    for implicit, allowed in ((False, True), (True, False)):
        touch = Touch(VA, 8, READ, "it", supervisor=implicit)
        found = judge(Instruction(0, b"", None, (touch,), ()), state, space, controls)
        assert found[0].fate.allowed is allowed


def test_what_pkru_decides_is_told_by_its_key() -> None:
    space = tables(p0=PWU | 5 << 59)
    touch = Touch(VA, 8, READ, "it")
    (one,) = judged(space, touch, controls=Controls(pke=True, pkru=None))
    assert (one.fate.vector, one.fate.key) == (None, 5)
    (one,) = judged(space, touch, controls=Controls(pke=True, pkru=1 << 10))
    assert one.fate.bit is not None
    assert (one.fate.error_code, one.fate.bit.text) == (0x21, "PK=5")


def test_what_is_not_known_does_not_hide_what_faults() -> None:
    controls = Controls(pke=True, pkru=None)
    known, open_ = Touch(VA + FRAME, 8, READ, "it"), Touch(VA, 8, READ, "it")
    found = judged(tables(p0=PWU), open_, known, controls=controls)
    assert first_to_fault(found) == 1
    (one,) = judged(tables(p0=PWU & ~RW), Touch(VA, 8, MODIFY, "it"), controls=controls)
    assert one.fate.faults


@pytest.mark.parametrize(
    ("entry", "does", "text"),
    [
        (0, READ, "P=0"),
        (P, WRITE, "R/W=0"),
        (P | 1 << 63, Does.FETCH, "XD=1"),
        (P | 1 << 51, READ, "bit 51=1"),
    ],
)
def test_the_bit_that_decides(entry: int, does: Does, text: str) -> None:
    space = tables(p0=entry)
    if entry & 1 << 51:
        from ptlive.paging.formats.x86_64 import make_levels

        space.builder.fmt = make_levels(4, maxphyaddr=40)
    bit = the(space, VA, 1, does).fate.bit
    assert bit is not None
    assert (bit.level, bit.name, bit.text) == (1, "PTE", text)
