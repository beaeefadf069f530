"""What instructions touch, as their authors' manual has it."""

from __future__ import annotations

import pytest

from ptlive.analysis.instruction.touch import Does, State, Vector
from ptlive.analysis.instruction.touches import Instruction, touches
from tests.analysis.instruction.assemble import assemble
from tests.analysis.instruction.cases import CASES, REGISTERS, Case, at

DOES = {"r": Does.READ, "w": Does.WRITE, "m": Does.MODIFY}


def state_of(case: Case) -> State:
    registers = {**REGISTERS, **case.registers, "rip": at(case.code)}
    bases = {name: registers[f"{name}_base"] for name in ("fs", "gs")}
    vectors = {
        number: Vector(int.from_bytes(value, "little"), len(value))
        for number, value in case.vectors.items()
    }
    return State(registers, bases=bases, vectors=vectors)


def run(case: Case) -> Instruction:
    code = assemble([one.text for one in CASES])[CASES.index(case)]
    return touches(code + bytes(15), at(case.code), state_of(case))


@pytest.mark.parametrize("case", CASES, ids=str)
def test_touches_what_the_manual_says_and_nothing_else(case: Case) -> None:
    found = run(case)
    assert found.text is not None
    fetch, *data = found.touches
    assert (fetch.does, fetch.va, fetch.length) == (Does.FETCH, at(case.code), len(found.data))
    expected = [(at(one.place), one.length, DOES[one.does]) for one in case.touches]
    assert [(one.va, one.length, one.does) for one in data] == expected
