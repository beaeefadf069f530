"""The memory operand that stands in an instruction: where it is, and what is done to it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ptlive.analysis.instruction import addresses, tables
from ptlive.analysis.instruction.touch import Does, Touch

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ptlive.analysis.instruction.decode import Decoded, Memory
    from ptlive.analysis.instruction.touch import State

_BIT_TESTS = frozenset({"bt", "bts", "btr", "btc"})
_SSE = 16  # bytes of an operand that the older SSE wants aligned


def explicit(decoded: Decoded, state: State) -> Iterator[Touch]:
    """Yield what is done to the memory operand, if it is touched as a whole."""
    memory = decoded.memory
    if memory is None or decoded.name in tables.TOUCHES_NOTHING:
        return
    length = size(decoded, memory, state)
    offset = addresses.offset(decoded, memory, state)
    if decoded.name == "pop" and memory.base in ("rsp", "esp", "sp"):
        # Its own address is computed with the stack pointer behind what it pops (SDM, POP).
        offset += length
    if decoded.name in _BIT_TESTS:
        offset += _bit_string(decoded, state, length)
    offset %= 1 << 8 * decoded.address_bytes
    yield Touch(
        va=state.linear(addresses.segment(memory), offset),
        length=length,
        does=_does(decoded, memory.at),
        what=memory.text,
        maybe=_maybe(decoded),
        alignment=_alignment(decoded, length),
        stack=addresses.on_stack(memory, state.bits),
        locked=decoded.locked or decoded.name == "xchg",
    )


def size(decoded: Decoded, memory: Memory, state: State) -> int:
    """Return how many bytes a memory operand has."""
    name = decoded.name
    if name in tables.X87_STATE:
        return tables.X87_STATE[name][decoded.word]
    if name in tables.FAR_POINTERS:
        return 2 + operand_bytes(decoded, state)
    if name in tables.BROADCASTS_8 and memory.size == 1:
        return 8
    return tables.AREAS.get(name) or tables.SIZES.get(name) or memory.size


def operand_bytes(decoded: Decoded, state: State) -> int:
    """Return the operand size that the prefixes make of the default one."""
    if decoded.wide:
        return 8
    return 4 if (state.bits == 16) == decoded.word else 2


def _does(decoded: Decoded, at: int) -> Does:
    if at > 0 or decoded.name in tables.READS_FIRST:
        return Does.READ
    return Does.MODIFY if decoded.name in tables.MODIFIES_FIRST else Does.WRITE


def _bit_string(decoded: Decoded, state: State, length: int) -> int:
    """Return how far a bit offset in a register moves the operand (SDM vol. 2A, BT)."""
    register = decoded.operands[1].register
    if not register:
        return 0  # an immediate bit offset counts within the operand
    bits = 8 * length
    value = state.register(register)
    signed = value - (1 << bits) if value >> (bits - 1) else value
    return (signed // bits) * length


def _maybe(decoded: Decoded) -> str:
    if decoded.name in tables.AREAS and tables.AREAS[decoded.name] == tables.XSAVE_AREA:
        return "how much of the area depends on XCR0 and EDX:EAX: its first 576 bytes are shown"
    if decoded.evex and any(one.register.startswith("k") for one in decoded.operands):
        return "only elements that the opmask selects"
    return ""


def _alignment(decoded: Decoded, length: int) -> int:
    name = decoded.name
    if name in tables.AREAS:
        return tables.AREA_ALIGNMENT[length]
    if name == "cmpxchg16b":
        return 16
    if decoded.legacy and length == _SSE:
        return 1 if name in tables.UNALIGNED else _SSE
    return length if name in tables.ALIGNED else 1
