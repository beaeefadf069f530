"""ELF cores as QEMU's dump-guest-memory writes them (dump/dump.c, target/i386/arch_dump.c)."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

LOAD, NOTE = 1, 4
GENERAL = ["rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rsp", "rbp"]
GENERAL += [*(f"r{number}" for number in range(8, 16)), "rip", "eflags"]
SEGMENTS = ["cs", "ds", "es", "fs", "gs", "ss", "ldt", "tr", "gdt", "idt"]


@dataclass(frozen=True)
class Load:
    """A segment; memsz: by default as much as there is data; at: of another one's data."""

    paddr: int
    data: bytes = b""
    vaddr: int = 0
    memsz: int | None = None
    at: tuple[int, int] | None = None


def note(name: bytes, kind: int, desc: bytes) -> bytes:
    head = struct.pack("<III", len(name), len(desc), kind)
    return head + name + bytes(-len(name) % 4) + desc + bytes(-len(desc) % 4)


def cpu_note(registers: Mapping[str, int], *, version: int = 1, gs_base: bool = True) -> bytes:
    """A vCPU's note: as of QEMU 3.0 and later with kernel_gs_base at its end, or as before."""
    state = struct.pack("<II", version, 440 if gs_base else 432)
    state += struct.pack("<18Q", *(registers.get(name, 0) for name in GENERAL))
    for name in SEGMENTS:
        state += struct.pack("<IIIIQ", registers.get(name, 0), 0xFFFFF, 0, 0, 0)
    state += struct.pack("<5Q", *(registers.get(f"cr{number}", 0) for number in range(5)))
    return note(b"QEMU\0", 0, state + struct.pack("<Q", 1 << 63) * gs_base)


def core(
    loads: Sequence[Load],
    notes: bytes = b"",
    *,
    machine: int = 62,
    kind: int = 4,
    elf_class: int = 2,
    many: bool = False,
) -> bytes:
    """Return a core's bytes; many: its number of segments is where large ones are."""
    count = len(loads) + 1
    section = 64 + 56 * count
    begin = section + 64 * many
    at = begin + len(notes)
    headers = struct.pack("<IIQQQQQQ", NOTE, 0, begin, 0, 0, len(notes), len(notes), 0)
    body = b""
    for load in loads:
        offset, size = load.at or (len(body), len(load.data))
        memsz = size if load.memsz is None else load.memsz
        place = (at + offset) % 2**64
        headers += struct.pack("<IIQQQQQQ", LOAD, 0, place, load.vaddr, load.paddr, size, memsz, 0)
        body += load.data
    header = b"\x7fELF" + bytes([elf_class, 1, 1]) + bytes(9)
    header += struct.pack("<HHIQQQI", kind, machine, 1, 0, 64, section * many, 0)
    header += struct.pack("<HHHHHH", 64, 56, 0xFFFF if many else count, 64 * many, many, 0)
    sections = (bytes(44) + struct.pack("<I", count) + bytes(16)) * many
    return header + headers + sections + notes + body
