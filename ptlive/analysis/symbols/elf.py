"""The symbols of a vmlinux, without reading its gigabyte of debugging information.

pyelftools finds the sections; the symbols are looked at as one array, and their names
only when they are asked for.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from ptlive.analysis.symbols.table import LOWEST, Section, Symbols
from ptlive.errors import PtliveError

if TYPE_CHECKING:
    from collections.abc import Callable

    from ptlive.arrays import U64

MAGIC = b"\x7fELF"
# A vmlinux with debugging information has 200,000 symbols in 8M of names.
SYMBOLS_LIMIT = 1 << 29

_SYMBOL = np.dtype(
    [("name", "<u4"), ("info", "u1"), ("other", "u1"), ("section", "<u2"), ("value", "<u8"),
     ("size", "<u8")]
)  # fmt: skip
_X86_64, _ALLOCATED, _NO_BITS = "EM_X86_64", 2, "SHT_NOBITS"
_NO_SECTION, _FILE, _SECTION = 0, 4, 3


def parse_elf(file: BinaryIO, what: str) -> Symbols:
    """Read an ELF file. Raises PtliveError, naming it `what`, for one that is none of a kernel."""
    from elftools.common.exceptions import ELFError  # a tenth of a second, for this alone
    from elftools.elf.elffile import ELFFile

    try:
        return _parse(ELFFile(file), file, what)
    except (ELFError, ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
        raise PtliveError(f"{what} is damaged or cut off: {error}") from error
    except (struct.error, OverflowError, MemoryError, RecursionError, AssertionError) as error:
        raise PtliveError(f"{what} is damaged or cut off") from error


def _parse(elf: Any, file: BinaryIO, what: str) -> Symbols:
    if elf["e_machine"] != _X86_64 or elf.elfclass != 64 or not elf.little_endian:
        raise PtliveError(f"{what} is no ELF file for x86-64")
    table = names = None
    allocated = []
    for section in elf.iter_sections():
        header = section.header
        if header["sh_type"] == "SHT_SYMTAB":
            table, names = header, elf.get_section(header["sh_link"]).header
        if header["sh_flags"] & _ALLOCATED and header["sh_size"]:
            allocated.append((section.name, header))
    if table is None or names is None:
        raise PtliveError(f"{what} has no symbols: the vmlinux of a -dbg package has them")
    raw, text = _read(file, table, what), _read(file, names, what)
    symbols = np.frombuffer(raw[: len(raw) // _SYMBOL.itemsize * _SYMBOL.itemsize], _SYMBOL)
    kind = symbols["info"] & 0xF
    wanted = (symbols["section"] != _NO_SECTION) & (kind != _FILE) & (kind != _SECTION)
    symbols = symbols[wanted & (symbols["name"] != 0)]
    kernel = symbols[symbols["value"] >= np.uint64(LOWEST)]
    kernel = kernel[np.argsort(kernel["value"], kind="stable")]
    values: U64 = kernel["value"].astype(np.uint64)
    return Symbols(
        "vmlinux",
        values,
        lambda row: _name(text, int(kernel["name"][row])),
        lambda name: _find(symbols, text, name),
        0,
        tuple(
            Section(name, int(h["sh_addr"]), int(h["sh_addr"]) + int(h["sh_size"]) - 1)
            for name, h in sorted(allocated, key=lambda one: int(one[1]["sh_addr"]))
            if int(h["sh_addr"]) >= LOWEST
        ),
        _contents(file, [h for _, h in allocated if h["sh_type"] != _NO_BITS]),
    )


def _read(file: BinaryIO, header: Any, what: str) -> bytes:
    """Read the bytes of a section."""
    size = int(header["sh_size"])
    if size > SYMBOLS_LIMIT:
        raise PtliveError(
            f"{what} claims {size >> 20}M of symbols; {SYMBOLS_LIMIT >> 20}M are read"
        )
    file.seek(int(header["sh_offset"]))
    data = file.read(size)
    if len(data) < size:
        raise PtliveError(f"{what} is cut off: its symbols end before they should")
    return data


def _name(text: bytes, offset: int) -> str:
    end = text.find(b"\0", offset)
    return text[offset : end if end >= 0 else len(text)].decode("ascii", "backslashreplace")


def _find(symbols: Any, text: bytes, name: str) -> list[int]:
    """Return the values of the symbols of a name; one name may be the end of another's."""
    wanted = name.encode() + b"\0"
    offsets, at = [], text.find(wanted)
    while at >= 0:
        offsets.append(at)
        at = text.find(wanted, at + 1)
    found = np.isin(symbols["name"], np.array(offsets, dtype=np.uint32))
    values: list[int] = symbols["value"][found].tolist()
    return values


def _contents(file: BinaryIO, headers: list[Any]) -> Callable[[int, int], bytes]:
    """Return a function that reads what the file holds for an address."""

    def contents(va: int, length: int) -> bytes:
        for header in headers:
            offset = va - int(header["sh_addr"])
            if offset >= 0 and offset + length <= int(header["sh_size"]):
                file.seek(int(header["sh_offset"]) + offset)
                return file.read(length)
        return b""

    return contents
