"""The linear address of a memory operand (SDM vol. 1 3.7.5, vol. 2A 2.2.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ptlive.analysis.instruction.decode import Decoded, Memory
    from ptlive.analysis.instruction.touch import State

_ON_STACK = ("rsp", "rbp", "esp", "ebp", "sp", "bp")


def offset(decoded: Decoded, memory: Memory, state: State, *, index: int | None = None) -> int:
    """Return a memory operand's offset in its segment, as wide as the address size says.

    index: in place of the index register's value
    """
    if memory.base in ("rip", "eip"):
        base = decoded.next_va
    else:
        base = state.register(memory.base) if memory.base else 0
    if index is None:
        index = state.register(memory.index) if memory.index else 0
    return (base + index * memory.scale + memory.disp) % (1 << 8 * decoded.address_bytes)


def linear(decoded: Decoded, memory: Memory, state: State) -> int:
    """Return a memory operand's linear address."""
    return state.linear(segment(memory), offset(decoded, memory, state))


def segment(memory: Memory) -> str:
    """Return the segment that a memory operand is in."""
    return memory.segment or ("ss" if memory.base in _ON_STACK else "ds")


def on_stack(memory: Memory, bits: int) -> bool:
    """Tell whether a bad address is #SS: the segment is SS.

    In 64-bit mode an override with another segment than FS and GS is ignored.
    """
    if bits == 64 and memory.segment not in ("fs", "gs"):
        return memory.base in _ON_STACK
    return segment(memory) == "ss"
