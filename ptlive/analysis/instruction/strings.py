"""String instructions: [rsi], [rdi], and all that a repeat prefix still has to do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ptlive.analysis.instruction import tables
from ptlive.analysis.instruction.touch import Does, Touch, sized

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ptlive.analysis.instruction.decode import Decoded
    from ptlive.analysis.instruction.touch import State

_COMPARES = frozenset({"cmps", "scas"})


def is_string(decoded: Decoded) -> bool:
    """Tell a string instruction from those of SSE that are called MOVSD and CMPSD, too."""
    name, size = decoded.name[:-1], decoded.name[-1:]
    registers = (one.register for one in decoded.operands)
    sse = any(register.startswith("xmm") for register in registers)
    return name in tables.STRINGS and size in tables.STRING_SIZES and not sse


def touches(decoded: Decoded, state: State) -> Iterator[Touch]:
    """Yield what is touched from now on until the last repetition, if nothing stops it."""
    name = decoded.name[:-1]
    size = tables.STRING_SIZES[decoded.name[-1]]
    count = repetitions(decoded, state)
    if not count:
        return
    source, destination = tables.STRINGS[name]
    for does, register, segment in (
        (source, "si", decoded.override or "ds"),
        (destination, "di", "es"),  # which no prefix overrides
    ):
        if does:
            yield _range(decoded, state, Does(does), register, segment, size, count)


def repetitions(decoded: Decoded, state: State) -> int:
    """Return how often it is still done: once without a prefix, else as (R)CX counts."""
    if not decoded.repeat:
        return 1
    return state.register(sized("cx", decoded.address_bytes))


def _range(
    decoded: Decoded,
    state: State,
    does: Does,
    register: str,
    segment: str,
    size: int,
    count: int,
) -> Touch:
    name = sized(register, decoded.address_bytes)
    first = state.register(name)
    # An offset wraps at the address size; what is beyond is left to the next stop.
    room = first + size if state.down else (1 << 8 * decoded.address_bytes) - first
    count = min(count, max(room // size, 1))
    lowest = first - (count - 1) * size if state.down else first
    compares = decoded.name[:-1] in _COMPARES
    early = "it ends earlier at a difference" if decoded.repeat == "rep" else "or at a match"
    where = f"{segment}:[{name}]" if segment in ("fs", "gs") else f"[{name}]"
    return Touch(
        va=state.linear(segment, lowest % (1 << 8 * decoded.address_bytes)),
        length=count * size,
        does=does,
        what=where if count == 1 else f"{where} x {count:,}",
        element=size,
        descending=state.down,
        maybe=early if compares and count > 1 else "",
    )
