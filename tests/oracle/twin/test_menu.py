"""The twin of the menu guest, judged by the guest's own expectations, written by hand in C."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from ptlive.access_kind import ACCESS_KINDS, Access
from ptlive.guests.menu import ELF
from ptlive.guests.menu_lines import read_menu
from ptlive.oracle.twin.ask import Jobs, ask
from ptlive.oracle.twin.fork import FRAME
from ptlive.oracle.twin.script import NO_HOME
from tests.oracle.twin.forks import MENU_PKRU, fork_of

if TYPE_CHECKING:
    from ptlive.access_kind import AccessKind
    from ptlive.arrays import U64
    from ptlive.guests.menu_lines import Answer, MenuLine
    from ptlive.oracle.twin.script import Answers
    from ptlive.target.running import Guest

pytestmark = pytest.mark.qemu

WRITES = [kind for kind in ACCESS_KINDS.values() if kind.access is Access.WRITE]
OTHERS = [kind for kind in ACCESS_KINDS.values() if kind.access is not Access.WRITE]
P, RSVD = 1 << 0, 1 << 3
PAGE_FAULT = 14


class RamFile:
    """Physical memory that is a file, all of it below 4 GB."""

    def __init__(self, path: str) -> None:
        self.bytes = np.frombuffer(Path(path).read_bytes(), dtype=np.uint8)

    def read(self, addresses: U64, length: int) -> tuple[np.ndarray, np.ndarray]:
        rows = [self.bytes[int(at) : int(at) + length] for at in addresses]
        return np.stack(rows), np.ones(len(rows), dtype=bool)


def tcg(expected: Answer) -> int:
    """The error code, but that TCG leaves P out of it when RSVD is set."""
    return expected.error_code & ~P if expected.error_code & RSVD else expected.error_code


def differences(
    lines: list[MenuLine], kind: AccessKind, answers: Answers, memory: int
) -> list[str]:
    found = []
    for row, line in enumerate(lines):
        expected = line.expected[kind]
        vector, code = int(answers.vector[row]), int(answers.error_code[row])
        if vector != expected.vector:
            found.append(f"{line.name}, {kind}: vector {vector}, not {expected.vector}")
        elif vector and code != tcg(expected):
            found.append(f"{line.name}, {kind}: error code {code:#x}, not {tcg(expected):#x}")
        elif vector == PAGE_FAULT and int(answers.cr2[row]) != line.va:
            found.append(f"{line.name}, {kind}: CR2 {int(answers.cr2[row]):#x}")
        elif vector == 0 and expected.frame < memory:
            # Frames outside RAM cannot name themselves: there only the rights are checked.
            if kind.access is Access.WRITE:
                if not answers.landed[row]:
                    found.append(f"{line.name}, {kind}: did not arrive")
            elif int(answers.frame[row]) != expected.frame & -FRAME:
                found.append(f"{line.name}, {kind}: frame {int(answers.frame[row]):#x}")
    return found


@pytest.mark.parametrize("levels", [5, 4])
def test_every_line_and_kind_is_answered_as_the_manual_says(
    levels: int, request: pytest.FixtureRequest
) -> None:
    guest: Guest = request.getfixturevalue(f"menu_guest_{levels}")
    fork = fork_of(guest, MENU_PKRU)
    before = hashlib.sha256(Path(guest.ram).read_bytes()).digest()
    menu = read_menu(ELF, RamFile(guest.ram))
    assert menu.levels == levels
    assert len(menu.lines) > 150
    asked = {
        kind: [line for line in menu.lines if line.expected[kind].asked]
        for kind in ACCESS_KINDS.values()
    }
    addresses = {
        kind: np.array([line.va for line in lines], dtype=np.uint64)
        for kind, lines in asked.items()
    }
    reached = {
        kind: np.array(
            [
                line.expected[kind].frame
                if line.expected[kind].vector == 0 and line.expected[kind].frame < guest.memory
                else int(NO_HOME)
                for line in lines
            ],
            dtype=np.uint64,
        )
        for kind, lines in asked.items()
    }
    paint = np.unique(np.concatenate([reached[kind] for kind in OTHERS]))
    # Writes go to the very word that others read: each has a twin of its own.
    reading = ask(fork, Jobs({kind: addresses[kind] for kind in OTHERS}, paint=paint[:-1]))
    writing = ask(
        fork,
        Jobs({kind: addresses[kind] for kind in WRITES}, {kind: reached[kind] for kind in WRITES}),
    )
    found: list[str] = []
    for kind, answers in {**reading.answers, **writing.answers}.items():
        found += differences(asked[kind], kind, answers, guest.memory)
    assert found == []
    assert hashlib.sha256(Path(guest.ram).read_bytes()).digest() == before
