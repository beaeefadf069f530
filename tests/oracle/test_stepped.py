"""The stepped probe on a real guest: what it tells, and that nothing of it stays behind."""

from __future__ import annotations

import hashlib
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from ptlive.access_kind import ACCESS_KINDS
from ptlive.arrays import u64
from ptlive.guests.said.menu import read_menu
from ptlive.paging import paths
from ptlive.space import open_space
from ptlive.target.attach import attach, awake
from ptlive.verify import question
from ptlive.verify.run import Plan, verify
from ptlive.wire.qmp import Qmp

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ptlive.analysis.report import Report
    from ptlive.guests.said.menu import MenuLine
    from ptlive.space import AddressSpace
    from ptlive.target.attach import Target
    from ptlive.target.running import Guest

pytestmark = pytest.mark.qemu

# Verify, tell when so many accesses are done, and go on.
VERIFIER = """\
import sys
from ptlive.space import open_space
from ptlive.target.attach import attach
from ptlive.target.process import orderly_signals
from ptlive.verify.run import Plan, verify
def tell(what, done, total):
    if done == int(sys.argv[2]):
        print("now", flush=True)
with orderly_signals(), attach(sys.argv[1]) as target:
    space = open_space(target.cpus[0], target.memory, target.ram_map)
    verify(target, space, Plan(("stepped",), probes=4000), tell)
"""


@dataclass
class Watched:
    """A guest and what of it must not change: RAM, all registers, whether it runs."""

    guest: Guest
    qmp: Qmp
    stopped: bool

    def running(self) -> bool:
        status = self.qmp.command("query-status")
        assert isinstance(status, dict)
        return bool(status["running"])

    def state(self) -> tuple[str, str, bool]:
        digest = hashlib.sha256(Path(self.guest.ram).read_bytes()).hexdigest()
        registers = self.qmp.human("info registers -a")
        # TCG keeps the flags' origin until somebody wants the flags; RFL has them in any case.
        registers = re.sub(r"CC[SDO]=\S+ *", "", registers)
        if not self.stopped:
            # It parks in a loop of two instructions, and where in it is chance.
            registers = re.sub(r"RIP=[0-9a-f]+ RFL=\S+", "", registers)
        return digest, registers, self.running()


@pytest.fixture(params=["stopped", "running"])
def watched(menu_guest_5: Guest, request: pytest.FixtureRequest) -> Iterator[Watched]:
    qmp = Qmp(menu_guest_5.qmp)
    stopped = request.param == "stopped"
    qmp.command("stop" if stopped else "cont")
    yield Watched(menu_guest_5, qmp, stopped)
    qmp.command("stop")
    qmp.close()


def space_of(target: Target) -> AddressSpace:
    return open_space(target.cpus[0], target.memory, target.ram_map)


def lines_of(guest: Guest, target: Target) -> dict[str, MenuLine]:
    assert guest.symbols is not None
    return {line.name: line for line in read_menu(Path(guest.symbols), target.memory).lines}


def test_everything_is_as_it_was_afterwards(watched: Watched) -> None:
    before = watched.state()
    with attach(watched.guest.gdb) as target:
        report = verify(target, space_of(target), Plan(("stepped",), probes=800))
    assert report.disagreements == []
    assert sum(check.checked for check in report.checks) > 800
    assert watched.state() == before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_everything_is_as_it_was_when_it_is_interrupted(
    watched: Watched, number: signal.Signals
) -> None:
    before = watched.state()
    done = 1 if watched.stopped else 150  # at the very beginning, and well inside
    child = subprocess.Popen(
        [sys.executable, "-c", VERIFIER, watched.guest.gdb, str(done)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    assert child.stdout is not None
    with child.stdout:
        assert child.stdout.readline() == b"now\n"
    os.killpg(child.pid, number)
    assert child.wait(30) != 0
    deadline = time.monotonic() + 15
    while watched.state() != before and time.monotonic() < deadline:
        time.sleep(0.05)  # after SIGKILL the guard does it, and takes its time
    assert watched.state() == before


def test_a_failure_in_the_middle_leaves_nothing_behind(watched: Watched) -> None:
    def fail(what: str, done: int, total: int) -> None:
        if done == 20:
            raise ZeroDivisionError

    before = watched.state()

    def probe() -> None:
        with attach(watched.guest.gdb) as target:
            verify(target, space_of(target), Plan(("stepped",), probes=800), fail)

    with pytest.raises(ZeroDivisionError):
        probe()
    assert watched.state() == before


def changed_meanwhile(
    guest: Guest, monkeypatch: pytest.MonkeyPatch, name: str, kind: str, flip: int
) -> tuple[Report, MenuLine]:
    """Change bits of a line's entry after it was predicted from, before it is asked about."""
    whole = question.questions
    with attach(guest.gdb) as target:
        line = lines_of(guest, target)[name]

        def late(*arguments: Any) -> Iterator[question.Question]:
            yield from list(whole(*arguments))
            old = target.stub.read_physical(u64(line.entry_pa), 8)[0].tobytes()
            target.journal.record_memory(line.entry_pa, old)
            new = int.from_bytes(old, "little") ^ flip
            target.stub.write_physical([(line.entry_pa, new.to_bytes(8, "little"))])

        monkeypatch.setattr("ptlive.verify.run.questions", late)
        plan = Plan(("stepped",), kinds=[ACCESS_KINDS[kind]], va=u64(line.va))
        return verify(target, space_of(target), plan), line


@pytest.mark.parametrize(
    ("name", "kind", "flip", "aspects", "observed"),
    [
        ("4K user, R/W=1 XD=0", "user-write", 1 << 1, {"fault"}, "#PF(0x7: P W/R U/S)"),
        ("4K user, R/W=1 XD=0", "user-read", 1 << 2, {"fault"}, "#PF(0x5: P U/S)"),
        ("4K user, R/W=1 XD=0", "user-fetch", 1 << 63, {"fault"}, "#PF(0x15: P U/S I/D)"),
        ("4K user, R/W=1 XD=0", "user-read", 1 << 0, {"fault"}, "#PF(0x4: U/S)"),
        ("4K user, R/W=0 XD=0", "user-write", 1 << 1, {"fault"}, "allowed"),
        ("4K user, R/W=1 XD=0", "user-read", 1 << 12, {"frame", "accessed"}, None),
        ("PTE zero", "user-read", 0x0400_0007, {"fault"}, "allowed"),
        ("PML4E U/S=0", "user-read", 1 << 2, {"fault"}, "allowed"),
    ],
)
def test_an_entry_that_changed_meanwhile_is_caught(
    menu_guest_5: Guest,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    kind: str,
    flip: int,
    aspects: set[str],
    observed: str | None,
) -> None:
    ram = Path(menu_guest_5.ram)
    before = hashlib.sha256(ram.read_bytes()).digest()
    report, line = changed_meanwhile(menu_guest_5, monkeypatch, name, kind, flip)
    assert {found.aspect for found in report.disagreements} == aspects
    assert {(found.va, found.access) for found in report.disagreements} == {(line.va, kind)}
    if observed:
        assert report.disagreements[0].observed == observed
    assert hashlib.sha256(ram.read_bytes()).digest() == before


def test_it_asks_for_the_address_itself_and_not_for_its_page(menu_guest_5: Guest) -> None:
    """A large page: any of its words may be asked for, and is the one that is reached."""
    with attach(menu_guest_5.gdb) as target:
        line = lines_of(menu_guest_5, target)["2M user, R/W=1 XD=0"]
        base = line.va & -(1 << 21)
        va = u64(base, base + (1 << 20) + 0x128, base + (1 << 21) - 8)
        report = verify(target, space_of(target), Plan(("stepped",), va=va))
    assert report.disagreements == []
    (frame,) = (check for check in report.checks if check.aspect == "frame")
    assert frame.agreed >= 3


def test_an_address_at_a_page_end_does_not_reach_the_next_page(menu_guest_5: Guest) -> None:
    with attach(menu_guest_5.gdb) as target:
        line = lines_of(menu_guest_5, target)["4K supervisor, R/W=1 XD=0"]
        va = u64((line.va & -4096) + 0xFFF)  # the next page is read-only
        report = verify(target, space_of(target), Plan(("stepped",), va=va))
    assert report.disagreements == []


def test_pkru_is_the_guests(menu_guest_5: Guest) -> None:
    with attach(menu_guest_5.gdb) as target:
        space = space_of(target)
        assert space.controls.pke
        assert space.controls.pkru is None
        line = lines_of(menu_guest_5, target)["4K user, key 1 (AD)"]
        report = verify(target, space, Plan(("stepped",), va=u64(line.va)))
    (fault,) = (check for check in report.checks if check.aspect == "fault")
    assert (fault.agreed, fault.unchecked.total()) == (8, 0)


def test_a_linux_guest_agrees_and_stays_as_it_was(linux_guest: Guest) -> None:
    with Qmp(linux_guest.qmp) as qmp:
        qmp.command("stop")
        try:
            _probe_linux(linux_guest, qmp)
        finally:
            qmp.command("cont")


def _probe_linux(guest: Guest, qmp: Qmp) -> None:
    with attach(guest.gdb) as held:
        target = awake(held, 1)  # at the prompt the vCPU sleeps in HLT
        ram = Path(guest.ram)
        before = hashlib.sha256(ram.read_bytes()).digest()
        registers = _architectural(qmp.human("info registers"))
        report = verify(target, space_of(target), Plan(("stepped",), probes=1200))
        assert hashlib.sha256(ram.read_bytes()).digest() == before
        assert _architectural(qmp.human("info registers")) == registers
    assert report.disagreements == []
    assert report.never_checked == []
    assert sum(check.checked for check in report.checks) > 1000


def _architectural(text: str) -> str:
    """Leave out bits 19:16 of the limit in the descriptors that QEMU holds for CS and SS.

    SYSCALL and interrupts load it without them; a write through the stub takes them
    from the GDT (target/i386/gdbstub.c). Nothing reads them in 64-bit mode.
    """
    return re.sub(r"^((?:CS|SS) =.* 00[0-9a-f])[0-9a-f]", r"\1.", text, flags=re.MULTILINE)


def test_leaves_agree_with_info_tlb_one_by_one(linux_guest: Guest) -> None:
    """QEMU's monitor lists every leaf by a walk of its own (target/i386/monitor.c, info tlb).

    It tells the leaf's own bits, not the folded rights, and drops address bits 50 and 51.
    """
    with attach(linux_guest.gdb) as target, Qmp(linux_guest.qmp, timeout=60) as qmp:
        space = space_of(target)
        assert space.format.top == 5
        theirs = qmp.human("info tlb")
        found = paths.Paths.concatenate(list(paths.leaves(space.walk())))
    pattern = re.compile(r"^([0-9a-f]{16}): ([0-9a-f]{16}) ([-X][-G][-P][-D][-A][-C][-T][-U][-W])")
    matches = [pattern.match(line) for line in theirs.splitlines() if line.strip()]
    assert all(matches)
    rows = [match.groups() for match in matches if match]
    assert len(rows) == len(found) > 5000
    va = np.array([int(row[0], 16) for row in rows], dtype=np.uint64)
    pa = np.array([int(row[1], 16) for row in rows], dtype=np.uint64)
    assert np.array_equal(va, found.va)
    assert np.array_equal(pa, found.pa & np.uint64((1 << 50) - 1))
    # The letters' bits in an entry; PSE is bit 7 above level 1, where PAT is no PSE.
    bits = {"X": 63, "G": 8, "P": 7, "D": 6, "A": 5, "C": 4, "T": 3, "U": 2, "W": 1}
    letters = np.array([[c != "-" for c in row[2]] for row in rows])
    for column, bit in enumerate(bits.values()):
        ours = (found.entry >> np.uint64(bit) & np.uint64(1)).astype(bool)
        assert np.array_equal(letters[:, column], ours), list(bits)[column]
