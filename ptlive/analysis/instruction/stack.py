"""What instructions push and pop."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ptlive.analysis.instruction.operands import operand_bytes
from ptlive.analysis.instruction.touch import Does, Touch, sized

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ptlive.analysis.instruction.decode import Decoded
    from ptlive.analysis.instruction.touch import State

_PUSHES = frozenset({"push", "pushf", "pushfd", "pushfq"})
_POPS = frozenset({"pop", "popf", "popfd", "popfq"})
_IRET = frozenset({"iret", "iretd", "iretq"})
_RETF = frozenset({"retf", "retfq"})
#: General registers of PUSHA and POPA.
_ALL = 8
#: RIP, CS, RFLAGS, RSP and SS, all of which IRET pops in 64-bit mode (SDM vol. 3A 6.14.3).
_FRAME_64 = 5
_FRAME = 3


def touches(decoded: Decoded, state: State) -> Iterator[Touch]:
    """Yield what is pushed or popped, in order."""
    name, slot = decoded.name, slot_bytes(decoded, state)
    top = state.register(_pointer(state, "sp"))
    if name in _PUSHES or name == "call":
        yield _push(state, top, slot, "return address" if name == "call" else "push")
    elif name in _POPS or name == "ret":
        yield _pop(state, top, slot, "return address" if name == "ret" else "pop")
    elif name == "leave":
        yield _pop(state, state.register(_pointer(state, "bp")), slot, "pop at the frame pointer")
    elif name == "enter":
        yield from _enter(decoded, state, top, slot)
    elif name in ("pushal", "pushaw"):
        whole = _push(state, top, _ALL * slot, "push of all registers")
        yield Touch(whole.va, whole.length, Does.WRITE, whole.what, slot, True, stack=True)
    elif name in ("popal", "popaw"):
        whole = _pop(state, top, _ALL * slot, "pop of all registers")
        yield Touch(whole.va, whole.length, Does.READ, whole.what, slot, stack=True)
    elif name == "lcall":
        yield _push(state, top, slot, "push of CS")
        yield _push(state, top - slot, slot, "return address")
    elif name in _RETF:
        yield _pop(state, top, slot, "return address")
        yield _pop(state, top + slot, slot, "pop of CS")
    elif name in _IRET:
        words = ("RIP", "CS", "RFLAGS", "RSP", "SS")[: _FRAME_64 if state.bits == 64 else _FRAME]
        for number, word in enumerate(words):
            yield _pop(state, top + number * slot, slot, f"pop of {word}")


def slot_bytes(decoded: Decoded, state: State) -> int:
    """Return how many bytes it pushes or pops at a time."""
    name = decoded.name
    if name in _IRET | _RETF or name == "lcall":
        return operand_bytes(decoded, state)
    if state.bits == 64:
        # CALL and RET have 64 bits, whatever the prefixes say (SDM vol. 2A, CALL).
        return 2 if decoded.word and name not in ("call", "ret") else 8
    return 4 if (state.bits == 16) == decoded.word else 2


def _enter(decoded: Decoded, state: State, top: int, slot: int) -> Iterator[Touch]:
    """ENTER: the frame pointer, those of the enclosing procedures, and room (SDM vol. 2A)."""
    room, level = (one.immediate or 0 for one in decoded.operands)
    level %= 32
    frame = state.register(_pointer(state, "bp"))
    yield _push(state, top, slot, "push of the frame pointer")
    for number in range(1, level):
        yield _pop(state, frame - number * slot, slot, "enclosing frame pointer")
        yield _push(state, top - number * slot, slot, "push of an enclosing frame pointer")
    if level:
        yield _push(state, top - level * slot, slot, "push of the new frame pointer")
    end = top - slot * (1 + level) - room
    checked = _pop(state, end, slot, "new top of the stack")
    yield Touch(
        checked.va,
        checked.length,
        Does.WRITE,
        checked.what,
        maybe="the manual has it checked for a write; QEMU's TCG does not",
        stack=True,
    )


def _push(state: State, top: int, length: int, what: str) -> Touch:
    return Touch(_on_stack(state, top - length), length, Does.WRITE, what, stack=True)


def _pop(state: State, at: int, length: int, what: str) -> Touch:
    return Touch(_on_stack(state, at), length, Does.READ, what, stack=True)


def _on_stack(state: State, offset: int) -> int:
    return state.linear("ss", offset % (1 << state.bits))


def _pointer(state: State, name: str) -> str:
    # Of another code segment the stack's own size would count, which is nearly always the same.
    return sized(name, state.bits // 8)
