"""The twin's answers compared: with an MMU played by the scalar reference, and on real guests."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from ptlive.access_kind import ACCESS_KINDS, Access, AccessKind
from ptlive.analysis.report import Report
from ptlive.guests.said.menu import read_menu
from ptlive.memory.ram_map import Kind, RamMap, Region
from ptlive.oracle.twin.ask import Jobs, Replies
from ptlive.oracle.twin.fork import Control, Fork
from ptlive.oracle.twin.paint import NO_FRAME, named, painted
from ptlive.oracle.twin.script import PAGE_FAULT, Answers, tokens
from ptlive.paging.access import Controls
from ptlive.paging.formats import x86_64
from ptlive.space import AddressSpace, open_space
from ptlive.target.attach import attach
from ptlive.verify.run import Plan, verify
from ptlive.verify.twins import pkru
from ptlive.verify.twins import run as twin
from tests.paging.plain_ram import FRAME, PlainRam
from tests.reference import sdm
from tests.reference.machines import FOUR

if TYPE_CHECKING:
    from collections.abc import Callable

    from ptlive.target.running import Guest

FRAMES = 32
P, W, U, A, D, PS, XD = 1, 2, 4, 1 << 5, 1 << 6, 1 << 7, 1 << 63
MACHINE = replace(FOUR, maxphyaddr=40, smep=True, smap=True, pke=True, pkru=0b1001_00)


def ram() -> PlainRam:
    """Tables in frames 0 to 5: every outcome, an aliased table, a self-map, RAM's end."""
    memory = PlainRam(FRAMES * FRAME)
    full = P | W | U

    def put(frame: int, index: int, entry: int) -> None:
        memory.write(frame * FRAME + 8 * index, entry)

    put(0, 0, 1 * FRAME | full)
    put(0, 1, 1 * FRAME | P | W)  # the same tables, supervisor only
    put(0, 300, 0 * FRAME | P | W | A)  # the root maps itself
    put(0, 400, 1 * FRAME | full | PS)  # PS where no page may be
    put(1, 0, 2 * FRAME | full)
    put(1, 7, 2 * FRAME | full | 1 << 51)
    put(2, 0, 3 * FRAME | full)
    put(2, 1, 4 * FRAME | full | XD)
    put(2, 5, 1 << 40 | full)
    for index, flags in enumerate(
        (full, P, P | W, P | U, full | XD, full | A | D, full | 1 << 59, full | 2 << 59, W | U)
    ):
        put(3, index, (10 + index) * FRAME | flags)
    put(3, 20, (FRAMES + 3) * FRAME | full)  # beyond RAM
    put(3, 21, 3 * FRAME | P | W | XD)  # a table, mapped
    put(4, 0, 25 * FRAME | full)
    return memory


def space_of(memory: PlainRam, value: int | None = None) -> AddressSpace:
    return AddressSpace(
        format=x86_64.make_levels(4, maxphyaddr=40),
        memory=memory,
        root=np.zeros(1, dtype=np.uint64),
        origin="cr3",
        controls=Controls(wp=True, smep=True, smap=True, nxe=True, pke=True, pkru=value),
        ram_map=RamMap([Region(0, FRAMES * FRAME - 1, Kind.RAM, "ram", 0)]),
        vcpu=1,
        not_modelled={},
    )


class ReferenceTwin:
    """Answers as the scalar reference does; `lie` may change the answers and the tables."""

    def __init__(
        self, memory: PlainRam, lie: Callable[[AccessKind, Answers, Any], None] | None = None
    ) -> None:
        self.memory, self.lie = memory, lie

    def ask(self, fork: Any, jobs: Jobs) -> Replies:
        words = {int(a): int(w) for a, w in zip(jobs.paint, painted(jobs.paint), strict=True)}
        words_now = self.memory.table(0, FRAMES * FRAME // 8)
        live = {8 * int(at): int(words_now[at]) for at in np.flatnonzero(words_now)}
        assert not any(live.get(at, 0) & P for at in words), "painted over a present entry"
        self.machine = replace(MACHINE, pkru=fork.control.pkru)
        answers = {}
        for kind, addresses in jobs.addresses.items():
            answers[kind] = self._answers(kind, addresses, jobs.homes.get(kind), words, live)
        rounds = []
        for more in jobs.rounds:
            self.machine = replace(MACHINE, pkru=more.control.pkru)
            rounds.append(
                {
                    kind: self._answers(kind, addresses, more.homes.get(kind), words, live)
                    for kind, addresses in more.addresses.items()
                }
            )
        tables = np.zeros((jobs.tables.size, 512), dtype=np.uint64)
        for row, table in enumerate(jobs.tables.tolist()):
            for index in range(512):
                tables[row, index] = live.get(table + 8 * index, 0)
        if self.lie:
            for kind, one in answers.items():
                self.lie(kind, one, tables)
        return Replies(answers, tables, 0.1, rounds)

    def _qword(self, address: int) -> int | None:
        return self.memory.value(address) if address < FRAMES * FRAME else None

    def _answers(
        self, kind: AccessKind, addresses: Any, homes: Any, words: dict[int, int], live: Any
    ) -> Answers:
        asked = sdm.Access(kind.access.value, user=kind.user, ac=kind.ac)
        n = addresses.size
        one = Answers(
            kind,
            np.zeros(n, dtype=np.uint8),
            np.zeros(n, dtype=np.uint32),
            np.zeros(n, dtype=np.uint64),
            tokens(0, n),
        )
        for at, va in enumerate(addresses.tolist()):
            seen = sdm.access(self.machine, self._qword, 0, va, asked)
            if seen.vector:
                one.vector[at], one.error_code[at] = seen.vector, seen.error_code or 0
                one.value[at] = va if seen.vector == PAGE_FAULT else 0
                continue
            assert seen.pa is not None
            for entry in seen.accessed:
                live[entry] = live[entry] | A
            for entry in seen.dirty:
                live[entry] = live[entry] | D
            if kind.access is Access.WRITE:
                one.value[at] = one.token[at] if int(homes[at]) == seen.pa else 0
            elif kind.access is Access.READ:
                one.value[at] = words.get(seen.pa, 0)
            else:
                one.value[at] = int(named(np.array([words[seen.pa]], dtype=np.uint64))[0]) >> 12
        return one


FORK = Fork(
    ram="none",
    size=FRAMES * FRAME,
    low_ram=FRAMES * FRAME,
    root=0,
    control=Control(cr0=1 << 31, cr4=1 << 22 | 1 << 5, efer=1 << 10),
)


def run(
    monkeypatch: pytest.MonkeyPatch,
    lie: Any = None,
    value: int | None = MACHINE.pkru,
    **wanted: Any,
) -> Report:
    memory = ram()
    space = space_of(memory, value)
    monkeypatch.setattr(twin, "ask", ReferenceTwin(memory, lie).ask)
    graph = space.walk()
    report = Report(tables=0, leaves=0, reached=0, holes=0, version="")
    kinds = list(ACCESS_KINDS.values())
    twin.verify_twin(report, space, graph, FORK, "TCG", twin.Wanted(kinds, **wanted))
    return report


def test_it_agrees_with_the_reference_about_every_leaf_and_hole(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    report = run(monkeypatch)
    assert report.disagreements == []
    assert report.disagreed == 0
    counts = {check.aspect: check.checked for check in report.checks}
    assert counts["fault"] > 4000
    assert all(counts[aspect] for aspect in ("cr2", "frame", "accessed", "dirty", "entries"))
    assert not report.quirks


def first(one: Answers, allowed: bool) -> int:
    return int(np.flatnonzero((one.vector == 0) == allowed)[0])


def wrong_vector(kind: AccessKind, one: Answers, tables: Any) -> None:
    if kind.name == "user-read":
        one.vector[first(one, allowed=True)] = PAGE_FAULT


def allowed_instead(kind: AccessKind, one: Answers, tables: Any) -> None:
    if kind.name == "user-write":
        one.vector[first(one, allowed=False)] = 0


def wrong_code(kind: AccessKind, one: Answers, tables: Any) -> None:
    if kind.name == "supervisor-fetch":
        one.error_code[first(one, allowed=False)] ^= 1 << 4


def wrong_cr2(kind: AccessKind, one: Answers, tables: Any) -> None:
    if kind.name == "supervisor-write":
        one.value[first(one, allowed=False)] ^= np.uint64(1 << 12)


def wrong_frame(kind: AccessKind, one: Answers, tables: Any) -> None:
    if kind.name == "supervisor-read-ac":
        one.value[first(one, allowed=True)] ^= np.uint64(1 << 8)


def unnamed_frame(kind: AccessKind, one: Answers, tables: Any) -> None:
    if kind.name == "supervisor-fetch":
        one.value[first(one, allowed=True)] = NO_FRAME


def lost_write(kind: AccessKind, one: Answers, tables: Any) -> None:
    if kind.name == "user-write":
        one.value[first(one, allowed=True)] = 0


def no_a(kind: AccessKind, one: Answers, tables: Any) -> None:
    tables[3, 0] &= ~np.uint64(A)


def no_d(kind: AccessKind, one: Answers, tables: Any) -> None:
    tables[3, 0] &= ~np.uint64(D)


def d_without_a_write(kind: AccessKind, one: Answers, tables: Any) -> None:
    tables[3, 1] |= np.uint64(D)


def a_right_changed(kind: AccessKind, one: Answers, tables: Any) -> None:
    if kind.name == "user-read":
        tables[2, 0] &= ~np.uint64(W)


@pytest.mark.parametrize(
    ("lie", "aspect"),
    [
        (wrong_vector, "fault"),
        (allowed_instead, "fault"),
        (wrong_code, "fault"),
        (wrong_cr2, "cr2"),
        (wrong_frame, "frame"),
        (unnamed_frame, "frame"),
        (lost_write, "frame"),
        (no_a, "accessed"),
        (no_d, "dirty"),
        (d_without_a_write, "dirty"),
        (a_right_changed, "entries"),
    ],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_each_lie_is_caught_and_told(
    monkeypatch: pytest.MonkeyPatch, lie: Any, aspect: str
) -> None:
    report = run(monkeypatch, lie)
    assert {one.aspect for one in report.disagreements} == {aspect}
    assert report.disagreed == len(report.disagreements) == 1


def test_where_pkru_is_not_known_each_key_is_told_under_every_combination(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    known = run(monkeypatch)
    report = run(monkeypatch, value=None)
    assert report.disagreements == []
    # Two pages with keys, and those with key 0, under three values more.
    assert sum(report.accesses.values()) > sum(known.accesses.values()) + 3 * 6


def test_an_answer_that_is_wrong_under_one_value_of_pkru_is_caught_and_names_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Deaf(ReferenceTwin):
        def ask(self, fork: Any, jobs: Jobs) -> Replies:
            deaf = [replace(more, control=fork.control) for more in jobs.rounds]
            return super().ask(fork, replace(jobs, rounds=deaf))

    memory = ram()
    space = space_of(memory)
    monkeypatch.setattr(twin, "ask", Deaf(memory).ask)
    report = Report(tables=0, leaves=0, reached=0, holes=0, version="")
    kinds = [ACCESS_KINDS["user-read"], ACCESS_KINDS["user-write"]]
    twin.verify_twin(report, space, space.walk(), FORK, "TCG", twin.Wanted(kinds))
    assert report.disagreements
    first, *others = pkru.values(space.controls)
    assert not any(f"--pkru {first:#x}" in one.reproduce for one in report.disagreements)
    for value in others:
        assert any(f"--pkru {value:#x}" in one.reproduce for one in report.disagreements)


@pytest.mark.qemu
@pytest.mark.parametrize("levels", [5, 4])
def test_the_menu_guests_own_mmu_agrees(levels: int, request: pytest.FixtureRequest) -> None:
    guest: Guest = request.getfixturevalue(f"menu_guest_{levels}")
    with attach(guest.gdb) as target:
        space = open_space(target.cpus[0], target.memory, target.ram_map)
        assert guest.symbols is not None
        assert read_menu(Path(guest.symbols), target.memory).levels == levels
        report = verify(target, space, Plan(oracles=("twin",), guest=guest))
    assert report.disagreements == []
    assert {quirk.name for quirk in report.quirks} == {"tcg-rsvd-without-p"}
    assert sum(check.checked for check in report.checks) > 500_000


@pytest.mark.qemu
def test_a_changed_entry_is_caught_precise_to_that_entry(menu_guest_5: Guest) -> None:
    """The tables change between prediction and probe: what no walker can have known."""
    with attach(menu_guest_5.gdb) as target:
        space = open_space(target.cpus[0], target.memory, target.ram_map)
        space.walk()  # the cache now holds the tables as they were
        assert menu_guest_5.symbols is not None
        menu = read_menu(Path(menu_guest_5.symbols), target.memory)
        line = next(one for one in menu.lines if one.level == 1 and one.entry & P)
        before = line.entry.to_bytes(8, "little")
        with open(menu_guest_5.ram, "r+b") as file:
            file.seek(line.entry_pa)
            assert file.read(8) == before
            file.seek(line.entry_pa)
            file.write((line.entry ^ W).to_bytes(8, "little"))
        try:
            report = verify(target, space, Plan(oracles=("twin",), guest=menu_guest_5))
        finally:
            with open(menu_guest_5.ram, "r+b") as file:
                file.seek(line.entry_pa)
                file.write(before)
    assert report.disagreements
    told = [one for one in report.disagreements if one.aspect == "fault"]
    assert all(one.path[-1][1] == line.entry_pa for one in told)
    entries = [one for one in report.disagreements if one.aspect == "entries"]
    assert [one.path[-1][1] for one in entries] == [line.entry_pa]


@pytest.mark.qemu
def test_linux_every_leaf_and_hole(linux_guest: Guest) -> None:
    with attach(linux_guest.gdb) as target:
        space = open_space(target.cpus[0], target.memory, target.ram_map)
        plan = Plan(oracles=("twin",), guest=linux_guest)
        report = verify(target, space, plan)
        again = verify(target, space, replace(plan, va=np.array([target.cpus[0].rip], np.uint64)))
    assert report.disagreements == again.disagreements == []
    assert sum(check.checked for check in report.checks) > 200_000
    assert again.check("twin", "TCG", "fault").checked == len(ACCESS_KINDS)
