"""Names as an ELF file, for debuggers that read no System.map (elf(5); System V ABI, "ELF")."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from ptlive.analysis.symbols.table import Symbols

_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
_SECTION = struct.Struct("<IIQQQQIIQQ")
_SYMBOL = np.dtype(
    {
        "names": ["name", "info", "other", "section", "va", "size"],
        "formats": ["<u4", "u1", "u1", "<u2", "<u8", "<u8"],
    }
)
_IDENT = b"\x7fELF\x02\x01\x01".ljust(16, b"\0")  # 64-bit, little-endian, version 1
_EXEC, _X86_64 = 2, 62
_NOBITS, _SYMTAB, _STRTAB = 8, 2, 3
_ALLOC_EXECUTE = 2 | 4
_GLOBAL_FUNC = 1 << 4 | 2
_NAMES = b"\0.text\0.symtab\0.strtab\0"
_TEXT, _ALL = 1, 4


def as_elf(symbols: Symbols) -> bytes:
    """Return an ELF file that has these names, as they were linked, and nothing at their addresses.

    All of them lie in one section of code, so that a debugger takes each for a function. Of a
    module's name ("f [m]") the first word is kept.
    """
    names = [symbols.name(row).partition(" ")[0] for row in range(symbols.va.size)]
    words = [name.encode("ascii", "replace") + b"\0" for name in names]
    strings = b"\0" + b"".join(words)
    table = np.zeros(len(words) + 1, dtype=_SYMBOL)
    lengths = np.array([len(word) for word in words], dtype=np.uint32)
    table["name"][1:] = 1 + np.cumsum(lengths) - lengths
    table["info"][1:] = _GLOBAL_FUNC
    table["section"][1:] = _TEXT
    table["va"][1:] = symbols.va
    first, last = (int(symbols.va[0]), int(symbols.va[-1])) if words else (0, 0)
    parts = (table.tobytes(), strings, _NAMES)
    at = _HEADER.size
    offsets = [at, at + len(parts[0]), at + len(parts[0]) + len(parts[1])]
    headers = (
        bytes(_SECTION.size),
        _section(".text", _NOBITS, _ALLOC_EXECUTE, first, at, last - first + 1, 0, 0),
        _section(".symtab", _SYMTAB, 0, 0, offsets[0], len(parts[0]), 3, _SYMBOL.itemsize),
        _section(".strtab", _STRTAB, 0, 0, offsets[1], len(parts[1]), 0, 0),
        _section("", _STRTAB, 0, 0, offsets[2], len(parts[2]), 0, 0),
    )
    table_at = offsets[2] + len(parts[2])
    header = _HEADER.pack(
        *(_IDENT, _EXEC, _X86_64, 1, 0, 0, table_at, 0, _HEADER.size, 0, 0),
        *(_SECTION.size, len(headers), _ALL),
    )
    return b"".join((header, *parts, *headers))


def _section(
    name: str, kind: int, flags: int, va: int, offset: int, size: int, link: int, entry: int
) -> bytes:
    # sh_info of a symbol table: how many symbols are local, which is the empty first one.
    info = int(kind == _SYMTAB)
    where = _NAMES.index(name.encode() + b"\0")
    return _SECTION.pack(where, kind, flags, va, offset, size, link, info, 1, entry)
