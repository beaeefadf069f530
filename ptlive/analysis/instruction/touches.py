"""Everything that one instruction touches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ptlive.analysis.instruction import implicit, operands, stack, strings, tables, vectors
from ptlive.analysis.instruction.decode import LONGEST, Decoded, decode
from ptlive.analysis.instruction.touch import Does, Touch

if TYPE_CHECKING:
    from ptlive.analysis.instruction.touch import State

_POPS_INTO = frozenset({"pop"})


@dataclass(frozen=True)
class Instruction:
    """An instruction and what it touches.

    data: its bytes, or those that there are, where it cannot be decoded; text: as an
        assembler writes it, None then
    touches: in the order in which the manual names them, the fetch first
    notes: what it may touch besides
    """

    va: int
    data: bytes
    text: str | None
    touches: tuple[Touch, ...]
    notes: tuple[str, ...]


def touches(data: bytes, va: int, state: State) -> Instruction:
    """Return what the instruction at `va` touches.

    data: the bytes there, up to LONGEST; fewer where memory ends or cannot be read
    """
    decoded = decode(data, va, state.bits)
    if decoded is None:
        return _undecoded(data, va, state)
    found, notes = _data(decoded, state)
    fetch = _fetch(va, len(decoded.data), state)
    return Instruction(va, decoded.data, decoded.text, (fetch, *found), tuple(notes))


def _data(decoded: Decoded, state: State) -> tuple[list[Touch], list[str]]:
    """Return the data accesses of a decoded instruction."""
    notes = implicit.not_followed(decoded)
    if strings.is_string(decoded):
        if not strings.repetitions(decoded, state):
            notes.append("its count is 0: it touches nothing and is done")
        return list(strings.touches(decoded, state)), notes
    if vectors.is_elementwise(decoded):
        found, unknown = vectors.touches(decoded, state)
        return found, notes + unknown
    own = [*operands.explicit(decoded, state), *implicit.touches(decoded, state)]
    pushed = list(stack.touches(decoded, state))
    descriptors, unknown = implicit.descriptors(decoded, state)
    # A push reads its operand before it writes the stack; a pop the other way round.
    found = [*pushed, *own] if decoded.name in _POPS_INTO else [*own, *pushed]
    if decoded.name == "invlpg":
        notes.append("INVLPG uses an address and touches nothing there")
    elif decoded.name in tables.TOUCHES_NOTHING and decoded.name.startswith("prefetch"):
        notes.append("a prefetch never faults")
    return found + descriptors, notes + unknown


def _fetch(va: int, length: int, state: State) -> Touch:
    return Touch(va % (1 << state.bits), length, Does.FETCH, "the instruction")


def _undecoded(data: bytes, va: int, state: State) -> Instruction:
    """Return all that is known of what cannot be decoded: that it would be fetched."""
    if len(data) >= LONGEST:
        notes: tuple[str, ...] = ("no instruction that capstone knows begins with these bytes",)
    elif data:
        notes = ("of its bytes these can be read, and it does not end with them",)
    else:
        notes = ()
    # One byte more than there are: that is the one that cannot be fetched.
    length = len(data) + 1 if len(data) < LONGEST else 1
    return Instruction(va, data, None, (_fetch(va, length, state),), notes)
