"""Symbols from text and from ELF files, whole, cut off, and made by somebody unfriendly."""

from __future__ import annotations

import io
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ptlive.analysis.symbols.elf import parse_elf
from ptlive.analysis.symbols.text import parse_text
from ptlive.errors import PtliveError
from tests.analysis.symbols.elf_file import AARCH64, ALLOC, NOBITS, PROGBITS, Part, elf

if TYPE_CHECKING:
    from ptlive.analysis.symbols.table import Symbols

TEXT = 0xFFFF_FFFF_8100_0000
SYMBOLS = {
    "_text": TEXT,
    "start_text": TEXT + 0x10,
    "text": TEXT + 0x20,
    "schedule": TEXT + 0x1000,
    "__per_cpu_end": 0x34000,
}
MAP = b"".join(f"{value:016x} T {name}\n".encode() for name, value in SYMBOLS.items())
BANNER = b"Linux version 6.1.0 (nobody)\n\0"
PARTS = (
    Part(".text", PROGBITS, ALLOC, TEXT, bytes(64)),
    Part(".rodata", PROGBITS, ALLOC, TEXT + 0x2000, BANNER),
    Part(".bss", NOBITS, ALLOC, TEXT + 0x4000, bytes(32)),
)


@pytest.fixture(params=["text", "elf"])
def symbols(request: pytest.FixtureRequest) -> Symbols:
    if request.param == "text":
        return parse_text(MAP, "a map")
    return parse_elf(io.BytesIO(elf(SYMBOLS, PARTS)), "a vmlinux")


def test_values_by_name(symbols: Symbols) -> None:
    assert {name: symbols.value(name) for name in SYMBOLS} == SYMBOLS
    assert symbols.value("tex") is None
    assert symbols.value("nothing") is None


def test_names_by_address(symbols: Symbols) -> None:
    assert symbols.at(TEXT) == ("_text", 0)
    assert symbols.at(TEXT + 0xFFF) == ("text", 0xFDF)
    assert symbols.at(TEXT + 0x1005) == ("schedule", 5)
    assert symbols.at(TEXT - 1) is None, "what is linked low is no address of the kernel"


def test_a_module_is_told_with_its_symbol() -> None:
    found = parse_text(b"ffffffffc0001000 t probe\t[virtio]\nffffffff81000000 T _text\n", "")
    assert found.at(0xFFFF_FFFF_C000_1004) == ("probe [virtio]", 4)


def test_a_vmlinux_has_sections_and_contents() -> None:
    found = parse_elf(io.BytesIO(elf(SYMBOLS, PARTS)), "a vmlinux")
    assert [(s.name, s.va, s.last_va) for s in found.sections] == [
        (".text", TEXT, TEXT + 63),
        (".rodata", TEXT + 0x2000, TEXT + 0x2000 + len(BANNER) - 1),
        (".bss", TEXT + 0x4000, TEXT + 0x401F),
    ]
    assert found.contents is not None
    assert found.contents(TEXT + 0x2000, 13) == b"Linux version"
    assert found.contents(TEXT + 0x4000, 4) == b"", "bss is in no file"


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "neither a vmlinux nor a list of symbols"),
        (b"ffffffffffffffff B The real System.map is in the linux-image-dbg package", "-dbg"),
        (b"0000000000000000 T _text\n0000000000000000 T _stext\n", "kptr_restrict"),
        (b"\0" * 4096, "neither"),
    ],
)
def test_a_text_that_is_none_is_refused_in_a_sentence(data: bytes, said: str) -> None:
    with pytest.raises(PtliveError, match=said):
        parse_text(data, "FILE")


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (elf({}, PARTS), "has no symbols"),
        (elf(SYMBOLS, PARTS, AARCH64), "no ELF file for x86-64"),
        (elf(SYMBOLS, PARTS)[:40], "damaged or cut off"),
    ],
)
def test_an_elf_file_that_is_no_kernels_is_refused(data: bytes, said: str) -> None:
    with pytest.raises(PtliveError, match=said):
        parse_elf(io.BytesIO(data), "FILE")


WHOLE = elf(SYMBOLS, PARTS)


@given(
    st.integers(0, len(WHOLE)),
    st.lists(st.tuples(st.integers(0, len(WHOLE) - 1), st.integers(0, 255)), max_size=4),
)
@example(len(WHOLE), [])
def test_damage_ends_in_a_sentence_or_in_symbols(end: int, changes: list[tuple[int, int]]) -> None:
    data = bytearray(WHOLE)
    for at, value in changes:
        data[at] = value
    with suppress(PtliveError):
        found = parse_elf(io.BytesIO(bytes(data[:end])), "FILE")
        found.at(TEXT)
        for name in SYMBOLS:
            found.value(name)


@given(st.binary(max_size=300))
def test_any_text_ends_in_a_sentence_or_in_symbols(data: bytes) -> None:
    with suppress(PtliveError):
        parse_text(data + b"\nffffffff81000000 T _text\n", "FILE").at(TEXT)
