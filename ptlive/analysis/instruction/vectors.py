"""Vector instructions that touch single elements: gathers, scatters, masked moves."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from ptlive.analysis.instruction import addresses, tables
from ptlive.analysis.instruction.touch import Does, Touch

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ptlive.analysis.instruction.decode import Decoded
    from ptlive.analysis.instruction.touch import State

# v(p)gatherDQ: indices of 4 bytes, elements of 8; V(P)SCATTER alike.
_GATHER = re.compile(r"^vp?(gather|scatter)([dq])(d|q|ps|pd)$")
_ELEMENT = {"d": 4, "ps": 4, "q": 8, "pd": 8}
_REGISTER = re.compile(r"^([xyz])mm(\d+)$")
_BYTES = {"x": 16, "y": 32, "z": 64}


class Shape(NamedTuple):
    """Of a gather or scatter: bytes of an index and of an element, and how many there are."""

    index_bytes: int
    element: int
    elements: int


def is_elementwise(decoded: Decoded) -> bool:
    """Tell whether its memory operand is not touched as a whole."""
    name = decoded.name
    masked = name in tables.MASKED_BY_VECTOR or name in tables.MASKED_BYTES
    return masked or _GATHER.match(name) is not None


def touches(decoded: Decoded, state: State) -> tuple[list[Touch], list[str]]:
    """Return what is touched, as far as the registers are known, and what is not known."""
    if _GATHER.match(decoded.name):
        return _elements(decoded, state)
    return _runs(decoded, state)


def _elements(decoded: Decoded, state: State) -> tuple[list[Touch], list[str]]:
    """GATHER and SCATTER: an address for each element (SDM vol. 2C, VPGATHERDD)."""
    memory = decoded.memory
    assert memory is not None
    shape = _shape(decoded, memory.index)
    writes = "scatter" in decoded.name
    chosen = _gather_mask(decoded, state, shape)
    indices = _values(state, memory.index, shape.index_bytes, shape.elements)
    result, unknown = [], []
    for number in range(shape.elements):
        selected, index = chosen[number], indices[number]
        if selected is False:
            continue
        if index is None:
            unknown.append(number)
            continue
        sign = 1 << (8 * shape.index_bytes - 1)
        index = (index ^ sign) - sign  # an index is signed
        offset = addresses.offset(decoded, memory, state, index=index)
        result.append(
            Touch(
                va=state.linear(addresses.segment(memory), offset),
                length=shape.element,
                does=Does.WRITE if writes else Does.READ,
                what=f"element {number}",
                maybe="" if selected else "its mask bit is not known",
                stack=addresses.on_stack(memory, state.bits),
            )
        )
    notes = []
    if unknown:
        which = ", ".join(map(str, unknown))
        plural = "s"[: len(unknown) > 1]
        notes.append(f"element{plural} {which}: that part of {memory.index} is not known")
    if not result and not unknown:
        notes.append("its mask selects no element: it touches nothing")
    return result, notes


def _shape(decoded: Decoded, index: str) -> Shape:
    match = _GATHER.match(decoded.name)
    assert match is not None
    index_bytes, element = _ELEMENT[match[2]], _ELEMENT[match[3]]
    data = next(
        one.register
        for one in (decoded.operands if match[1] == "gather" else reversed(decoded.operands))
        if _REGISTER.match(one.register)
    )
    return Shape(index_bytes, element, min(_size(index) // index_bytes, _size(data) // element))


def _gather_mask(decoded: Decoded, state: State, shape: Shape) -> list[bool | None]:
    """Return which elements are selected; None where that is not known."""
    opmask = next((one.register for one in decoded.operands if one.register[:1] == "k"), "")
    if opmask:
        value = state.masks.get(int(opmask[1:]))
        return [None if value is None else bool(value >> n & 1) for n in range(shape.elements)]
    mask = decoded.operands[-1].register  # the sign of each of its elements
    return _signs(state, mask, shape.element, shape.elements)


def _runs(decoded: Decoded, state: State) -> tuple[list[Touch], list[str]]:
    """Masked moves: neighbouring elements that are selected, as one."""
    memory = decoded.memory
    if memory is None:  # MASKMOVQ and MASKMOVDQU: bytes at [rdi], selected by the second operand
        name = {8: "rdi", 4: "edi", 2: "di"}[decoded.address_bytes]
        base = state.linear(decoded.override or "ds", state.register(name))
        mask, element, does, what = decoded.operands[1].register, 1, Does.WRITE, f"[{name}]"
        count = 8 if decoded.name == "maskmovq" else 16
    else:
        base = addresses.linear(decoded, memory, state)
        element = tables.MASKED_BY_VECTOR[decoded.name]
        mask = decoded.operands[1].register
        count = _size(mask) // element
        does, what = (Does.READ if memory.at else Does.WRITE), memory.text
    chosen = _signs(state, mask, element, count)
    if not any(one is not False for one in chosen):
        return [], ["its mask selects nothing: it touches nothing"]
    result = []
    for first, last, known in _stretches(chosen):
        whole = (first, last) == (0, count - 1)
        result.append(
            Touch(
                va=(base + first * element) % (1 << 64),
                length=(last - first + 1) * element,
                does=does,
                what=what if whole else f"{what}, elements {first} to {last}",
                element=element,
                maybe="" if known else f"the mask in {mask} is not known",
            )
        )
    return result, []


def _stretches(chosen: list[bool | None]) -> Iterator[tuple[int, int, bool]]:
    """Yield runs of elements that are (or may be) selected: first, last, whether it is known."""
    first = 0
    for at in range(1, len(chosen) + 1):
        if at == len(chosen) or chosen[at] is not chosen[first]:
            if chosen[first] is not False:
                yield first, at - 1, chosen[first] is True
            first = at


def _signs(state: State, register: str, element: int, count: int) -> list[bool | None]:
    values = _values(state, register, element, count)
    return [None if one is None else bool(one >> (8 * element - 1)) for one in values]


def _values(state: State, register: str, element: int, count: int) -> list[int | None]:
    """Return a vector register's elements, None where they are not known."""
    match = _REGISTER.match(register)
    known = state.vectors.get(int(match[2])) if match else None
    if known is None:
        return [None] * count
    mask = (1 << 8 * element) - 1
    return [
        known.value >> 8 * element * n & mask if (n + 1) * element <= known.bytes else None
        for n in range(count)
    ]


def _size(register: str) -> int:
    match = _REGISTER.match(register)
    return _BYTES[match[1]] if match else 8
