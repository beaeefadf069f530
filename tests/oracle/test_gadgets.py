"""Instructions found in code: only plain moves of 8 bytes, whatever the bytes look like."""

from __future__ import annotations

import pytest

from ptlive.oracle.gadgets import Gadget, find

VA = 0xFFFF_FFFF_8100_0000
LOAD = bytes.fromhex("488b07")  # mov (%rdi), %rax
STORE = bytes.fromhex("488907")  # mov %rax, (%rdi)
NOP = b"\x90"


def gadgets_in(code: bytes) -> tuple[Gadget, Gadget] | None:
    found = find([(VA, code)])
    return (found.load, found.store) if found else None


def test_finds_a_load_and_a_store_at_any_offset() -> None:
    found = gadgets_in(NOP * 5 + LOAD + NOP + STORE)
    assert found == (Gadget(VA + 5, "rdi", "rax"), Gadget(VA + 9, "rdi", "rax"))
    assert found[0].next_va == VA + 8


def test_they_may_be_in_different_pages_and_the_first_ones_count() -> None:
    found = find([(0x1000, NOP), (0x2000, STORE + LOAD), (0x3000, LOAD + STORE)])
    assert found is not None
    assert (found.store.va, found.load.va) == (0x2000, 0x2003)


def test_both_are_needed() -> None:
    assert gadgets_in(LOAD * 10) is None
    assert gadgets_in(STORE * 10) is None
    assert gadgets_in(b"") is None
    assert find([]) is None


def test_extended_registers_are_named() -> None:
    load, store = bytes.fromhex("4d8b08"), bytes.fromhex("4c8916")
    found = gadgets_in(load + store)  # mov (%r8), %r9; mov %r10, (%rsi)
    assert found == (Gadget(VA, "r8", "r9"), Gadget(VA + 3, "rsi", "r10"))


@pytest.mark.parametrize(
    ("code", "why"),
    [
        ("488b05", "rip-relative"),  # and four bytes of displacement follow
        ("488b04", "a SIB byte follows"),
        ("488b44", "not mod=00"),
        ("488b4708", "an 8-bit displacement"),
        ("488b8700000000", "a 32-bit displacement"),
        ("488b24", "through %rsp"),
        ("488b27", "into %rsp"),
        ("4a8b07", "REX.X has no meaning here, but it is a plain move"),
        ("488b00", "%rax through itself"),
        ("4d8b1b", "%r11 through itself"),
        ("8b07", "four bytes"),
        ("668b07", "two bytes"),
        ("64488b07", "with a segment prefix the plain one is still found in it"),
        ("488b", "cut off"),
    ],
)
def test_other_forms_are_refused_or_plain(code: str, why: str) -> None:
    plain = {"4a8b07", "64488b07"}
    found = gadgets_in(bytes.fromhex(code) + NOP * 8 + STORE)
    assert (found is not None) == (code in plain), why


@pytest.mark.parametrize("code", ["488904", "488905", "488927", "488924", "488900", "488940"])
def test_other_forms_of_a_store_are_refused(code: str) -> None:
    assert gadgets_in(LOAD + NOP * 8 + bytes.fromhex(code) + NOP * 8) is None


# In the order of their numbers (SDM vol. 2A table 3-1).
REGISTERS = (
    *("rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi"),
    *(f"r{number}" for number in range(8, 16)),
)


def test_every_rex_and_modrm_gives_a_plain_move_or_none() -> None:
    """All 1024 encodings that the search looks for, each judged by its meaning."""
    for rex in range(0x48, 0x50):
        for modrm in range(0x40):
            code = bytes((rex, 0x8B, modrm))
            found = gadgets_in(code + b"\xcc" * 8 + STORE)
            register = REGISTERS[(modrm >> 3 & 7) | (rex & 4) << 1]
            base = REGISTERS[(modrm & 7) | (rex & 1) << 3]
            # rm=4 is a SIB byte, rm=5 is rip-relative (SDM vol. 2A table 2-2).
            refused = modrm & 7 in (4, 5) or register == "rsp" or register == base
            assert (found is None) == refused, code.hex()
            if found:
                assert (found[0].address, found[0].value) == (base, register)
