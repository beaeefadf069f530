"""Operands that do not stand in the instruction, and the supervisor's own tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ptlive.analysis.instruction import tables
from ptlive.analysis.instruction.touch import Does, Touch, sized

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ptlive.analysis.instruction.decode import Decoded
    from ptlive.analysis.instruction.touch import State

_SEGMENT_REGISTERS = frozenset({"es", "ss", "ds", "fs", "gs"})
_LOADS_POINTER = {name: name[1:] for name in ("lss", "lfs", "lgs", "les", "lds")}
_CACHE_LINE = 64
_DESCRIPTOR = 8
_TI, _RPL = 1 << 2, 3  # of a selector (SDM vol. 3A 3.4.2)


def touches(decoded: Decoded, state: State) -> Iterator[Touch]:
    """Yield what is touched at a register's address that no operand names."""
    name = decoded.name
    accumulator = sized("ax", decoded.address_bytes)
    segment = decoded.override or "ds"
    if name == "xlatb":
        base = accumulator.replace("a", "b")
        offset = (state.register(base) + state.register("al")) % (1 << 8 * decoded.address_bytes)
        yield Touch(state.linear(segment, offset), 1, Does.READ, f"[{base} + al]")
    elif name in ("monitor", "monitorx", "umonitor"):
        if decoded.operands and decoded.operands[0].register:
            accumulator = decoded.operands[0].register
        va = state.linear(segment, state.register(accumulator))
        yield Touch(va, 1, Does.READ, f"[{accumulator}]")
    elif name == "clzero":
        va = state.linear(segment, state.register(accumulator)) & -_CACHE_LINE
        yield Touch(va, _CACHE_LINE, Does.WRITE, f"the line of [{accumulator}]")
    elif name == "movdir64b":
        register = decoded.operands[0].register
        va = state.linear("es", state.register(register))
        yield Touch(va, 64, Does.WRITE, f"[{register}]", alignment=64)


def descriptors(decoded: Decoded, state: State) -> tuple[list[Touch], list[str]]:
    """Return the descriptor that loading a segment register reads, or what is not known of it.

    It is an implicit supervisor access, whatever the CPL (SDM vol. 3A 4.6).
    """
    target, source = _loaded(decoded)
    if not target:
        return [], []
    if not source:
        return [], [f"the descriptor that the new {target.upper()} selects is read, too"]
    selector = state.register(source)
    if not selector & ~_RPL & 0xFFFF:
        return [], []  # a null selector has none
    table = "ldt" if selector & _TI else "gdt"
    if table not in state.bases:
        return [], [f"descriptor {selector:#x} is read, too, and the {table.upper()} is not known"]
    va = (state.bases[table] + (selector & 0xFFF8)) % (1 << state.bits)
    what = f"descriptor {selector & 0xFFFF:#x} in the {table.upper()}"
    return [Touch(va, _DESCRIPTOR, Does.READ, what, supervisor=True)], []


def not_followed(decoded: Decoded) -> list[str]:
    """Return what it does besides that is not followed."""
    name = decoded.name
    told = tables.NOT_FOLLOWED.get(name) or tables.NOT_FOLLOWED.get(name[:-1])
    return [f"not followed: {told}"] if told else []


def _loaded(decoded: Decoded) -> tuple[str, str]:
    """Return the segment register that is loaded, and the general register that it comes from."""
    name, operands = decoded.name, decoded.operands
    if name in _LOADS_POINTER:
        return _LOADS_POINTER[name], ""
    first = operands[0].register if operands else ""
    if name in ("mov", "pop") and first in _SEGMENT_REGISTERS:
        return first, operands[1].register if name == "mov" else ""
    return "", ""
