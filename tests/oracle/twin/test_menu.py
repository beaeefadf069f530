"""The twin of the menu guest, judged by the guest's own expectations, written by hand in C."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from ptlive.access_kind import ACCESS_KINDS, Access
from ptlive.arrays import u64
from ptlive.errors import PtliveError
from ptlive.guests import recipe
from ptlive.guests.menu import ELF
from ptlive.guests.said.menu import read_menu
from ptlive.oracle.twin.ask import Jobs, ask
from ptlive.oracle.twin.fork import FRAME
from ptlive.oracle.twin.script import NO_HOME
from ptlive.target import launch
from ptlive.target.machine import Machine
from ptlive.wire.qmp import Qmp
from tests.oracle.twin.forks import MENU_PKRU, fork_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ptlive.access_kind import AccessKind
    from ptlive.arrays import U64
    from ptlive.guests.said.menu import Answer, MenuLine
    from ptlive.oracle.twin.fork import Fork
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


def expected_code(expected: Answer, fork: Fork) -> int:
    """The error code, but that TCG leaves P out of it when RSVD is set."""
    quirk = fork.accel == "tcg" and expected.error_code & RSVD
    return expected.error_code & ~P if quirk else expected.error_code


def differences(
    lines: list[MenuLine], kind: AccessKind, answers: Answers, fork: Fork
) -> Iterator[str]:
    for row, line in enumerate(lines):
        expected = line.expected[kind]
        vector, code = int(answers.vector[row]), int(answers.error_code[row])
        if vector != expected.vector:
            yield f"{line.name}, {kind}: vector {vector}, not {expected.vector}"
        elif vector and code != expected_code(expected, fork):
            yield f"{line.name}, {kind}: error code {code:#x}, not {expected.error_code:#x}"
        elif vector == PAGE_FAULT and int(answers.cr2[row]) != line.va:
            yield f"{line.name}, {kind}: CR2 {int(answers.cr2[row]):#x}"
        elif home(line, kind, fork) == NO_HOME:
            continue
        elif kind.access is Access.WRITE and not answers.landed[row]:
            yield f"{line.name}, {kind}: did not arrive"
        elif kind.access is not Access.WRITE and answers.frame[row] != expected.frame & -FRAME:
            yield f"{line.name}, {kind}: frame {int(answers.frame[row]):#x}"


def home(line: MenuLine, kind: AccessKind, fork: Fork) -> int:
    """Where an access must arrive; frames outside RAM cannot name themselves: no home."""
    expected = line.expected[kind]
    arrives = expected.vector == 0 and expected.frame < fork.size
    return expected.frame if arrives else int(NO_HOME)


def judge(fork: Fork) -> tuple[int, list[str]]:
    """Ask about the whole menu; return how many accesses were made, and what differs."""
    assert isinstance(fork.ram, str)
    menu = read_menu(ELF, RamFile(fork.ram))
    assert menu.levels == fork.control.levels
    kinds = ACCESS_KINDS.values()
    asked = {kind: [line for line in menu.lines if line.expected[kind].asked] for kind in kinds}
    addresses = {kind: u64(*(line.va for line in asked[kind])) for kind in kinds}
    homes = {kind: u64(*(home(line, kind, fork) for line in asked[kind])) for kind in kinds}
    paint = np.unique(np.concatenate([homes[kind] for kind in OTHERS]))
    # Writes go to the very word that others read: each has a twin of its own.
    jobs = (
        Jobs({kind: addresses[kind] for kind in OTHERS}, paint=paint[paint != NO_HOME]),
        Jobs({kind: addresses[kind] for kind in WRITES}, {kind: homes[kind] for kind in WRITES}),
    )
    found: list[str] = []
    for job in jobs:
        for kind, answers in ask(fork, job).answers.items():
            found += differences(asked[kind], kind, answers, fork)
    return sum(map(len, addresses.values())), found


@pytest.mark.parametrize("levels", [5, 4])
def test_every_line_and_kind_is_answered_as_the_manual_says(
    levels: int, request: pytest.FixtureRequest
) -> None:
    guest: Guest = request.getfixturevalue(f"menu_guest_{levels}")
    before = hashlib.sha256(Path(guest.ram).read_bytes()).digest()
    asked, found = judge(fork_of(guest, MENU_PKRU))
    assert found == []
    assert asked > 1200
    assert hashlib.sha256(Path(guest.ram).read_bytes()).digest() == before


def test_another_pkru_is_noticed(menu_guest_5: Guest) -> None:
    _, found = judge(fork_of(menu_guest_5, 0))
    assert {name.split(",")[0] for name in found} >= {"4K user", "2M user", "1G user"}


@pytest.mark.timeout(60)
def test_kvm_answers_too_where_there_is_one() -> None:
    machine = Machine(levels=4, accel="kvm")
    try:
        machine.check_host()
    except PtliveError as error:
        pytest.skip(str(error))
    with launch.temporary(recipe("menu"), machine) as guest:
        with Qmp(guest.qmp) as qmp:
            qmp.command("stop")
        asked, found = judge(replace(fork_of(guest, MENU_PKRU), accel="kvm"))
    assert asked > 800
    # PVM, a KVM without VMX or SVM, keeps this range for itself (guest/README.md).
    assert {line.split(",")[0] for line in found} <= {"first page of the upper half (4 levels)"}
