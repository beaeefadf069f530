"""Faults in words."""

from __future__ import annotations

from ptlive.paging.access import ALLOWED, GENERAL_PROTECTION, PAGE_FAULT, UNPREDICTABLE
from ptlive.paging.formats import pae, x86_64
from ptlive.paging.words import describe_fault, fault_bits, none_inside, outcome_words


def test_outcomes_are_named() -> None:
    assert outcome_words(ALLOWED, 0) == "allowed"
    assert outcome_words(UNPREDICTABLE, 0) == "unpredictable"
    assert outcome_words(GENERAL_PROTECTION, 0) == "#GP(0x0)"
    assert outcome_words(PAGE_FAULT, 0) == "#PF(0x0)"
    assert outcome_words(PAGE_FAULT, 7) == "#PF(0x7: P W/R U/S)"


def test_bits_are_named_as_the_manual_writes_them() -> None:
    assert fault_bits(0x80FF) == "P W/R U/S RSVD I/D PK SS HLAT SGX"
    assert fault_bits(0) == ""
    assert fault_bits(0x1D) == "P U/S RSVD I/D"


def test_all_codes_are_described() -> None:
    for code in [*range(256), 0x8000, 0xFFFF_FFFF]:
        words = describe_fault(code)
        assert words[0].startswith(f"P={code & 1}")
        assert words[1].startswith(f"W/R={code >> 1 & 1}")
        assert words[2].startswith(f"U/S={code >> 2 & 1}")
        assert len(words) == 3 + (code & 0x80F8).bit_count()


def test_tcgs_reserved_bit_fault_is_not_told_as_an_absent_entry() -> None:
    words = describe_fault(0x8)
    assert "P=0, which QEMU's TCG says of a reserved bit where the manual says P=1" in words
    assert not any("not present" in word for word in words)


def test_why_nothing_is_inside_is_the_formats_matter() -> None:
    said = none_inside(x86_64.make_levels(5))
    assert said == "no address in these ranges is canonical in x86-64-5level"
    said = none_inside(pae.make())
    assert said == (
        "every address in these ranges has more than the 32 bits of a linear address in pae"
    )
