"""Names as an ELF file, read again by pyelftools and by our own reader."""

from __future__ import annotations

import io
from typing import Any

from elftools.elf.elffile import ELFFile

from ptlive.analysis.symbols.as_elf import as_elf
from ptlive.analysis.symbols.elf import parse_elf
from ptlive.analysis.symbols.text import parse_text

TEXT = b"""\
ffffffff81000000 T _text
ffffffff81000000 T startup_64
0000000000000000 A fixed_percpu_data
ffffffffc0201000 t helper\t[ext4]
ffffffff81000123 t a_function
"""
NAMED = {
    "_text": 0xFFFFFFFF81000000,
    "startup_64": 0xFFFFFFFF81000000,
    "a_function": 0xFFFFFFFF81000123,
    "helper": 0xFFFFFFFFC0201000,
}


def section(elf: ELFFile, name: str) -> Any:
    found = elf.get_section_by_name(name)
    assert found is not None
    return found


def test_each_name_has_its_address_in_a_section_of_code() -> None:
    elf = ELFFile(io.BytesIO(as_elf(parse_text(TEXT, "map"))))
    table = section(elf, ".symtab")
    found = {symbol.name: symbol for symbol in table.iter_symbols() if symbol.name}
    assert {name: symbol["st_value"] for name, symbol in found.items()} == NAMED
    text = section(elf, ".text")
    assert text["sh_flags"] & 4  # executable
    assert text["sh_addr"] == min(NAMED.values())
    assert text["sh_addr"] + text["sh_size"] > max(NAMED.values())
    for symbol in found.values():
        assert elf.get_section(symbol["st_shndx"]).name == ".text"
        assert symbol["st_info"]["type"] == "STT_FUNC"


def test_it_is_read_as_a_vmlinux_is() -> None:
    symbols = parse_elf(io.BytesIO(as_elf(parse_text(TEXT, "map"))), "made")
    assert {name: symbols.value(name) for name in NAMED} == NAMED
    assert symbols.at(0xFFFFFFFF81000124) == ("a_function", 1)


def test_no_name_at_all_is_a_file_too() -> None:
    elf = ELFFile(io.BytesIO(as_elf(parse_text(b"0000000000000001 A one\n", "map"))))
    assert section(elf, ".symtab").num_symbols() == 1
