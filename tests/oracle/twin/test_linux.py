"""The twin of a live Linux with five levels, judged by the reference (tests/reference)."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import numpy as np
import pytest

from ptlive.access_kind import ACCESS_KINDS, Access
from ptlive.oracle.twin.ask import Jobs, ask
from ptlive.oracle.twin.fork import FRAME
from ptlive.oracle.twin.script import NO_HOME
from ptlive.wire.qmp import Qmp
from tests.oracle.twin.forks import fork_of
from tests.reference import sdm

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ptlive.access_kind import AccessKind
    from ptlive.arrays import U64
    from ptlive.oracle.twin.fork import Fork
    from ptlive.oracle.twin.script import Answers
    from ptlive.target.running import Guest

pytestmark = pytest.mark.qemu

# QEMU's TCG with -cpu max.
MAXPHYADDR = 40
# Below two root entries of espfix alone, one table is reached 65,536 times.
LEAVES, HOLES = 6_000, 6_000
P, RSVD, A, D = 1, 8, 1 << 5, 1 << 6


@pytest.fixture
def stopped(linux_guest: Guest) -> Iterator[Guest]:
    with Qmp(linux_guest.qmp) as qmp:
        qmp.command("stop")
    yield linux_guest
    with Qmp(linux_guest.qmp) as qmp:
        qmp.command("cont")


class Reference:
    """The manual's answers about one root."""

    def __init__(self, fork: Fork) -> None:
        self.fork = fork
        assert isinstance(fork.ram, str)
        self.ram = np.memmap(fork.ram, dtype="<u8", mode="r")
        control = fork.control
        self.machine = sdm.Machine(
            levels=control.levels,
            maxphyaddr=MAXPHYADDR,
            nxe=bool(control.efer >> 11 & 1),
            gbpages=True,
            wp=bool(control.cr0 >> 16 & 1),
            smep=bool(control.cr4 >> 20 & 1),
            smap=bool(control.cr4 >> 21 & 1),
            pke=bool(control.cr4 >> 22 & 1),
            pkru=control.pkru,
        )

    def read(self, address: int) -> int | None:
        return int(self.ram[address // 8]) if address < self.fork.size else None

    def tables(self, leaves: list[sdm.Leaf], holes: list[sdm.Hole]) -> set[int]:
        """Return all tables: each has an entry that is a leaf, a hole, or refers to another."""
        found = {leaf.entry_pa & -FRAME for leaf in leaves}
        found |= {hole.entry_pa & -FRAME for hole in holes}
        for leaf in {leaf.entry_pa & -FRAME: leaf for leaf in leaves}.values():
            walk = sdm.translate(self.machine, self.read, self.fork.root, leaf.va)
            found |= {step.entry_pa & -FRAME for step in walk.path}
        return found

    def outcome(self, va: int, kind: AccessKind) -> sdm.Outcome:
        asked = sdm.Access(kind.access.value, kind.user, kind.ac, 8)
        return sdm.access(self.machine, self.read, self.fork.root, va, asked)


def words(reference: Reference, frame: int, tables: set[int]) -> list[int]:
    """Return offsets in a frame that may be painted and written: in a table, unused entries."""
    if frame not in tables:
        return [0, 8]
    entries = reference.ram[frame // 8 : frame // 8 + 512]
    return [int(at) * 8 for at in np.flatnonzero(entries & np.uint64(P) == 0)[:2]]


def test_leaves_and_holes_are_answered_as_the_manual_says(stopped: Guest) -> None:
    fork = fork_of(stopped, pkru=0x5555_5554)
    reference = Reference(fork)
    leaves = sdm.enumerate_leaves(reference.machine, reference.read, fork.root)
    holes = sdm.enumerate_holes(reference.machine, reference.read, fork.root)
    tables = reference.tables(leaves, holes)
    chosen = random.Random(3)
    leaves = chosen.sample(leaves, min(LEAVES, len(leaves)))
    holes = chosen.sample(holes, min(HOLES, len(holes)))
    reads, writes, homes, paint = [], [], [], set()
    for leaf in leaves:
        inside = chosen.randrange(leaf.last_va - leaf.va + 1) & -FRAME
        va, frame = leaf.va + inside, leaf.pa + inside
        if not (usable := words(reference, frame, tables)) or frame >= fork.size:
            continue
        reads.append(va + usable[0])
        writes.append(va + usable[-1])
        homes.append(frame + usable[-1])
        if len(usable) > 1:
            paint.add(frame + usable[0])
    absent = [chosen.choice([hole.va, hole.last_va & -8]) for hole in holes]
    assert len(reads) > LEAVES // 2

    addresses = {
        kind: array((writes if kind.access is Access.WRITE else reads) + absent)
        for kind in ACCESS_KINDS.values()
    }
    home = array(homes + [int(NO_HOME)] * len(absent))
    arrives = {kind: home for kind in addresses if kind.access is Access.WRITE}
    frames = array(sorted(tables))
    replies = ask(fork, Jobs(addresses, arrives, array(sorted(paint)), frames))
    found: list[str] = []
    for kind, answers in replies.answers.items():
        found += compare(reference, kind, addresses[kind], answers, paint)
    assert found == []

    # The tables are what they were, but for A and D, and for what was painted and written.
    before = np.stack([reference.ram[at // 8 : at // 8 + 512] for at in frames.tolist()])
    changed = (replies.tables ^ before) & ~np.uint64(A | D) != 0
    where = frames[:, None] + np.arange(0, FRAME, 8, dtype=np.uint64)
    assert {int(at) for at in where[changed]} <= paint | set(homes)
    assert not (before & ~replies.tables)[~changed].any(), "neither flag is ever cleared"


def array(values: list[int]) -> U64:
    return np.array(values, dtype=np.uint64)


def compare(
    reference: Reference, kind: AccessKind, addresses: U64, answers: Answers, paint: set[int]
) -> list[str]:
    found = []
    frames, landed = answers.frame, answers.landed
    for row, va in enumerate(addresses.tolist()):
        expected = reference.outcome(va, kind)
        code = expected.error_code or 0
        code &= ~P if code & RSVD else ~0  # TCG leaves P out
        observed = (int(answers.vector[row]), int(answers.error_code[row]))
        if observed != (expected.vector or 0, code):
            found.append(f"{kind} at {va:#x}: {observed}, not {expected}")
        elif expected.vector == 14 and int(answers.value[row]) != va:
            found.append(f"{kind} at {va:#x}: CR2 {int(answers.value[row]):#x}")
        elif expected.pa is not None and kind.access is Access.WRITE and not landed[row]:
            found.append(f"{kind} at {va:#x}: did not arrive")
        elif expected.pa not in paint or kind.access is Access.WRITE:
            continue
        elif int(frames[row]) != expected.pa & -FRAME:
            found.append(f"{kind} at {va:#x}: frame {int(frames[row]):#x}")
    return found
