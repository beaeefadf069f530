"""What QEMU's monitor says of a vCPU and its gdb stub does not: descriptor tables, vectors.

target/i386/cpu-dump.c, x86_cpu_dump_state. It prints all digits of the address of a segment,
of the LDT and the TSS only while the vCPU executes 64-bit code, those of GDT and IDT in long
mode.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ptlive.errors import PtliveError

if TYPE_CHECKING:
    from ptlive.wire.stub import Stub

COMMAND = "info registers -a"

_CPU = re.compile(r"^\s*CPU#(\d+)\s*$", re.MULTILINE)
# "CS =0008 0000000000000000 ffffffff 00af9b00 DPL=0 CS64 [-RA]"
_SEGMENT = re.compile(
    r"^(ES|CS|SS|DS|FS|GS|LDT|TR) ?=([0-9a-f]{4}) ([0-9a-f]{8}|[0-9a-f]{16}) ([0-9a-f]{8}) ",
    re.MULTILINE,
)
_MODE = re.compile(r"^CS =.* CS(16|32|64)\b", re.MULTILINE)
_TABLE = re.compile(r"^(GDT|IDT) ?= +([0-9a-f]{8}|[0-9a-f]{16}) ([0-9a-f]{8})\b", re.MULTILINE)
# Highest digits first, in groups: "XMM00=0000000000000000 0000000000000000", and likewise YMM
# and ZMM where the guest has switched them on.
_VECTOR = re.compile(r"\b[XYZ]MM(\d\d)=([0-9a-f]+(?: [0-9a-f]+)*)")
_OPMASK = re.compile(r"\bOpmask(\d\d)=([0-9a-f]+)")
_LAST_LIMIT = 0xFFFF  # a limit is 16 bits; what a guest says must not cost time
_WHOLE = 16  # digits of an address that was not cut off


@dataclass(frozen=True)
class Processor:
    """What the monitor says of one vCPU.

    bits: 64, 32 or 16, of the code segment; None if that is not said
    bases: of segments, "gdt", "ldt" and "tr"; idt: base and limit
    vectors: value and bytes known of vector registers, by number; masks: of opmasks
    """

    bits: int | None
    bases: dict[str, int]
    idt: tuple[int, int] | None
    vectors: dict[int, tuple[int, int]] = field(default_factory=dict)
    masks: dict[int, int] = field(default_factory=dict)


def processor(stub: Stub, vcpu: int) -> Processor | None:
    """Ask the monitor for a vCPU; None where there is none to ask, or it says nothing of it."""
    try:
        text = stub.monitor(COMMAND)
    except PtliveError:
        return None  # a file that does not have the answer
    return parse(text).get(vcpu)


def parse(text: str) -> dict[int, Processor]:
    """Return what `info registers -a` says, by vCPU from 1."""
    _, *parts = _CPU.split(text.replace("\r", ""))
    return {
        int(number) + 1: _processor(dump)
        for number, dump in zip(parts[::2], parts[1::2], strict=True)
    }


def _processor(dump: str) -> Processor:
    bases = {}
    for name, _, base, _ in _SEGMENT.findall(dump):
        if name not in ("LDT", "TR") or len(base) == _WHOLE:
            bases[name.lower()] = int(base, 16)
    tables = {name: (int(base, 16), int(limit, 16)) for name, base, limit in _TABLE.findall(dump)}
    if "GDT" in tables:
        bases["gdt"] = tables["GDT"][0]
    idt = tables.get("IDT")
    mode = _MODE.search(dump)
    vectors = {}
    for number, digits in _VECTOR.findall(dump):
        whole = digits.replace(" ", "")
        vectors[int(number)] = (int(whole, 16), len(whole) // 2)
    return Processor(
        bits=int(mode[1]) if mode else None,
        bases=bases,
        idt=(idt[0], min(idt[1], _LAST_LIMIT)) if idt else None,
        vectors=vectors,
        masks={int(number): int(digits, 16) for number, digits in _OPMASK.findall(dump)},
    )
