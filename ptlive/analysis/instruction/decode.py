"""One instruction, as capstone decodes it, in types of our own.

What capstone says of accesses is not taken over (it calls the store of MOVUPS a read, and
has nothing for many others); `operands` decides that.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

#: The longest instruction (SDM vol. 2A 2.3.11).
LONGEST = 15

_SEGMENTS = {0x26: "es", 0x2E: "cs", 0x36: "ss", 0x3E: "ds", 0x64: "fs", 0x65: "gs"}
_REPEATS = {0xF2: "repne", 0xF3: "rep"}
_OPERAND, _ADDRESS, _LOCK = 0x66, 0x67, 0xF0
_PREFIXES = frozenset({*_SEGMENTS, *_REPEATS, _OPERAND, _ADDRESS, _LOCK})
_GROUP_5, _GROUP_5_FAR = 0xFF, {3: "lcall", 5: "ljmp"}


@dataclass(frozen=True)
class Memory:
    """base + index * scale + disp in a segment; "" for what is not there.

    at: which of the operands it is; size: in bytes, as capstone has it
    """

    at: int
    size: int
    segment: str
    base: str
    index: str
    scale: int
    disp: int

    @property
    def text(self) -> str:
        """As an assembler writes it."""
        scaled = self.index and (f"{self.index}*{self.scale}" if self.scale > 1 else self.index)
        terms = " + ".join(term for term in (self.base, scaled) if term)
        sign = " - " if self.disp < 0 else " + "
        if not terms:
            terms = f"{self.disp % (1 << 64):#x}"
        elif self.disp:
            terms += f"{sign}{abs(self.disp):#x}"
        return f"{self.segment}:[{terms}]" if self.segment else f"[{terms}]"


@dataclass(frozen=True)
class Operand:
    """A register, an immediate, or memory."""

    register: str = ""
    immediate: int | None = None
    memory: Memory | None = None


@dataclass(frozen=True)
class Decoded:
    """An instruction.

    name: without prefixes; text: as an assembler writes it
    repeat: the last such prefix, "", "rep" or "repne"; override: the segment that a prefix names
    word, wide: whether there is an operand-size prefix that counts, or REX.W
    address_bytes: of the addresses that it computes
    legacy: neither VEX nor EVEX; evex: EVEX
    """

    va: int
    data: bytes
    name: str
    text: str
    operands: tuple[Operand, ...]
    repeat: str
    override: str
    locked: bool
    word: bool
    wide: bool
    address_bytes: int
    legacy: bool
    evex: bool

    @property
    def next_va(self) -> int:
        """The address behind it."""
        return self.va + len(self.data)

    @property
    def memory(self) -> Memory | None:
        """Its first memory operand."""
        return next((one.memory for one in self.operands if one.memory), None)


def decode(data: bytes, va: int, bits: int = 64) -> Decoded | None:
    """Decode the instruction at the beginning of `data`; None if there is none that is known."""
    found = next(_disassembler(bits).disasm(data[:LONGEST], va, 1), None)
    if found is None:
        return None
    raw = bytes(found.bytes)
    prefixes, opcode = _prefixes(raw, bits)
    vex = _is_vex(raw, opcode, bits)
    wide = bool(found.rex & 8)
    return Decoded(
        va=va,
        data=raw,
        name=_far(raw, opcode) or str(found.insn_name()),
        text=f"{found.mnemonic} {found.op_str}".strip(),
        operands=tuple(_operand(found, at) for at in range(len(found.operands))),
        repeat=next((_REPEATS[one] for one in reversed(prefixes) if one in _REPEATS), ""),
        override=next((_SEGMENTS[one] for one in reversed(prefixes) if one in _SEGMENTS), ""),
        locked=_LOCK in prefixes,
        word=_OPERAND in prefixes and not wide,
        wide=wide,
        address_bytes=found.addr_size,
        legacy=not vex,
        evex=vex and raw[opcode] == 0x62,
    )


def _prefixes(raw: bytes, bits: int) -> tuple[bytes, int]:
    """Return the legacy prefixes, and where the opcode begins, behind a REX prefix."""
    at = 0
    while at < len(raw) - 1 and raw[at] in _PREFIXES:
        at += 1
    rex = bits == 64 and raw[at] & 0xF0 == 0x40 and at < len(raw) - 1
    return raw[:at], at + rex


def _far(raw: bytes, at: int) -> str:
    """Name a far call or jump through memory: capstone calls both as the near ones."""
    if raw[at] != _GROUP_5 or len(raw) == at + 1:
        return ""
    return _GROUP_5_FAR.get(raw[at + 1] >> 3 & 7, "")


def _is_vex(raw: bytes, at: int, bits: int) -> bool:
    """Tell whether there is a VEX or EVEX prefix; elsewhere these bytes are LES, LDS, BOUND."""
    if raw[at] not in (0xC4, 0xC5, 0x62):
        return False
    return bits == 64 or (len(raw) > at + 1 and raw[at + 1] >= 0xC0)


def _operand(found: Any, at: int) -> Operand:
    from capstone import x86

    one = found.operands[at]
    if one.type == x86.X86_OP_REG:
        return Operand(register=found.reg_name(one.reg))
    if one.type != x86.X86_OP_MEM:
        return Operand(immediate=one.imm)
    segment, base, index = (
        found.reg_name(number) if number else ""
        for number in (one.mem.segment, one.mem.base, one.mem.index)
    )
    # An index that is none may have a name of its own.
    index = "" if index in ("eiz", "riz") else index
    memory = Memory(at, one.size, segment, base, index, one.mem.scale, one.mem.disp)
    return Operand(memory=memory)


@functools.cache
def _disassembler(bits: int) -> Any:
    import capstone  # costs 20 ms, and only this needs it

    modes = {64: capstone.CS_MODE_64, 32: capstone.CS_MODE_32, 16: capstone.CS_MODE_16}
    disassembler = capstone.Cs(capstone.CS_ARCH_X86, modes[bits])
    disassembler.detail = True
    return disassembler
