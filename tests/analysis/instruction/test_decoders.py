"""Every form of every instruction, held against another decoder that knows memory operands.

iced-x86 is a decoder of its own, in Rust, with tables of what each instruction accesses.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from ptlive.analysis.instruction.touch import State, Vector
from ptlive.analysis.instruction.touches import touches

if TYPE_CHECKING:
    from collections.abc import Iterator

iced = pytest.importorskip("iced_x86", reason="iced-x86 is missing: pip install ptlive[test]")

RIP = 0x7000
MODRM = [reg << 3 | 7 for reg in range(8)]  # [rdi] and each register or extension of the opcode
PREFIXES = {*b"\x26\x2e\x36\x3e\x64\x65\x66\x67\xf0\xf2\xf3", *range(0x40, 0x50)}
ELSEWHERE = {0x0F, 0x62, 0xC4, 0xC5}  # further maps, EVEX, VEX
NAMES = (
    *("rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi"),
    *(f"r{number}" for number in range(8, 16)),
)
# Far from each other; RAX, which is also a bit offset and an index here, is 0.
REGISTERS = {name: at << 32 for at, name in enumerate(NAMES)} | {"eflags": 2, "rip": RIP}
STATE = State(
    REGISTERS,
    bases={"gdt": 1 << 40},
    vectors={number: Vector((1 << 512) - 1, 64) for number in range(32)},
)

#: What differs, by the name of iced's form, and why it is right so.
KNOWN = {
    "^ENTER": "the manual has the new top of the stack checked, too (SDM vol. 2A, ENTER)",
    "^X(SAVE|RSTOR)": "iced has no size of these areas",
    "^(INS|OUTS|MOVS|CMPS|STOS|LODS|SCAS)(B|W|D|Q)_.*": "repeated ones have no size in iced",
    "^MOVSXD_R16": "capstone reads 4 bytes; no assembler writes it",
    "^(RESERVEDNOP|UD0|UD1)": "on CPUs without MPX, and lengths that only matter to #UD",
    "^J\\w+_REL32_64$": "capstone has AMD's length of a branch with an operand-size prefix",
}
#: An operand-size prefix before REX.W has no effect; capstone heeds it, no assembler writes it.
IDLE_PREFIX = "6648"

ACCESS = {
    "READ": "read",
    "COND_READ": "read",
    "WRITE": "write",
    "COND_WRITE": "write",
    "READ_WRITE": "read-modify-write",
    "READ_COND_WRITE": "read-modify-write",
}


class Bytes(NamedTuple):
    """Where, how many, and what is done to them."""

    va: int
    length: int
    does: str


def names_of(kind: Any) -> dict[int, str]:
    return {getattr(kind, name): name for name in dir(kind) if name.isupper()}


REGISTER, OP_ACCESS, CODE = (names_of(one) for one in (iced.Register, iced.OpAccess, iced.Code))


def legacy() -> Iterator[bytes]:
    for opcodes in (b"", b"\x0f", b"\x0f\x38", b"\x0f\x3a"):
        for prefix in (b"", b"\x66", b"\xf2", b"\xf3"):
            for rex in (b"", b"\x48"):
                for opcode in range(256):
                    if opcodes or opcode not in PREFIXES | ELSEWHERE:
                        for modrm in MODRM:
                            yield prefix + rex + opcodes + bytes([opcode, modrm])


def vex() -> Iterator[bytes]:
    for opcodes in (1, 2, 3):
        for last in range(32):  # W, L and the prefix, and whether there is a second source
            w, wide, pp, source = last >> 4, last >> 3 & 1, last & 3, (0x0F, 0x0E)[last >> 2 & 1]
            third = w << 7 | source << 3 | wide << 2 | pp
            for opcode in range(256):
                for modrm in MODRM:
                    yield bytes([0xC4, 0xE0 | opcodes, third, opcode, modrm])


def evex() -> Iterator[bytes]:
    for opcodes in (1, 2, 3):
        for last in range(96):
            w, vector, broadcast, opmask, pp = (
                *(last & 1, (last >> 1) % 3, last // 6 & 1, last // 12 & 1),
                last // 24,
            )
            third = w << 7 | 0x0F << 3 | 4 | pp
            fourth = vector << 5 | broadcast << 4 | 8 | opmask
            for opcode in range(256):
                yield bytes([0x62, 0xF0 | opcodes, third, fourth, opcode, 0x0F])


def theirs(info: Any) -> list[Bytes]:
    found = []
    for memory in info.used_memory():
        access = ACCESS.get(OP_ACCESS[memory.access])
        if access is None:
            continue
        base, index = (REGISTER[one].lower() for one in (memory.base, memory.index))
        va = memory.displacement + REGISTERS.get(base, 0)
        va += REGISTERS.get(index, 0) * memory.scale
        size = iced.MemorySizeExt.size(memory.memory_size)
        found.append(Bytes(va % (1 << 64), size, access))
    return sorted(found)


@pytest.mark.parametrize("forms", [legacy, vex, evex])
def test_agrees_with_another_decoder(forms: Any) -> None:
    factory, seen, compared, differ = iced.InstructionInfoFactory(), set(), 0, {}
    options = iced.DecoderOptions.MPX
    for start in forms():
        code = start + bytes(15 - len(start))
        one = iced.Decoder(64, code, options, RIP).decode()
        form = (one.code, one.is_broadcast, one.op_mask, one.has_rep_prefix)
        if one.is_invalid or form in seen:
            continue
        seen.add(form)
        found = touches(code, RIP, STATE)
        if found.text is None:
            continue  # newer than capstone
        compared += 1
        ours = sorted(Bytes(t.va, t.length, t.does.value) for t in found.touches[1:])
        expected = theirs(factory.info(one))
        name = CODE[one.code]
        known = code.hex().startswith(IDLE_PREFIX) or any(re.match(k, name) for k in KNOWN)
        if (ours, len(found.data)) != (expected, one.len) and not known:
            differ[name] = (code[: one.len].hex(), str(one), found.text, expected, ours)
    assert differ == {}
    assert compared > 500
