"""A small ELF file made by hand (System V ABI, gabi): sections, symbols, contents."""

from __future__ import annotations

import struct
from typing import NamedTuple

ALLOC, PROGBITS, SYMTAB, STRTAB, NOBITS = 2, 1, 2, 3, 8
X86_64, AARCH64 = 62, 183


class Part(NamedTuple):
    """A section: name, type, flags, address, contents, link, size of an entry."""

    name: str
    kind: int
    flags: int
    va: int
    data: bytes
    link: int = 0
    entry: int = 0


def elf(symbols: dict[str, int], parts: tuple[Part, ...] = (), machine: int = X86_64) -> bytes:
    """Return the file; symbols are absolute, names share their ends as linkers make them."""
    names, places = b"\0", {}
    for name in sorted(symbols, key=len, reverse=True):
        at = names.find(name.encode() + b"\0")
        if at < 0:
            at, names = len(names), names + name.encode() + b"\0"
        places[name] = at
    table = bytes(24) + b"".join(
        struct.pack("<IBBHQQ", places[name], 1, 0, 0xFFF1, value, 0)
        for name, value in symbols.items()
    )
    link = len(parts) + 2
    sections = [Part("", 0, 0, 0, b""), *parts]
    if symbols:
        sections.append(Part(".symtab", SYMTAB, 0, 0, table, link, 24))
        sections.append(Part(".strtab", STRTAB, 0, 0, names))
    heads = b"\0"
    where = []
    sections.append(Part(".shstrtab", STRTAB, 0, 0, b""))
    for part in sections:
        where.append(len(heads))
        heads += part.name.encode() + b"\0"
    sections[-1] = sections[-1]._replace(data=heads)
    body, headers = b"", b""
    for part, at in zip(sections, where, strict=True):
        headers += struct.pack(
            "<IIQQQQIIQQ", at, part.kind, part.flags, part.va, 64 + len(body), len(part.data),
            part.link, 0, 1, part.entry,
        )  # fmt: skip
        body += b"" if part.kind == NOBITS else part.data
    head = b"\x7fELF\x02\x01\x01" + bytes(9) + struct.pack(
        "<HHIQQQIHHHHHH", 2, machine, 1, 0, 0, 64 + len(body), 0, 64, 0, 0, 64, len(sections),
        len(sections) - 1,
    )  # fmt: skip
    return head + body + headers
