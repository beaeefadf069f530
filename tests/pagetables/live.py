"""The same on bare metal: the MMU is live on the tables, and what they say is executed.

In one batch addresses are accessed, so that the TLB holds them; the operation is done; and
they are accessed again. Each frame holds a word that names it, so a load tells its frame.
"""

from __future__ import annotations

import random
import time
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ptlive.guests.ready import Says
from ptlive.guests.recipe import Boot, Recipe
from ptlive.target import launch
from ptlive.target.machine import Machine as Computer
from ptlive.target.ready import last_words
from tests.pagetables import machine as m
from tests.pagetables import model
from tests.pagetables.judge import Judge
from tests.pagetables.machine import SIZE, Command, Machine, Ram, Result

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ptlive.target.running import Guest
    from tests.pagetables.model import Page, Space

RAM = 2 << 30
OWN = SIZE  # image, mailbox and tables lie below, identically mapped; no operation goes there
# What is mapped may lie beyond RAM, where no access is tried.
FRAMES = (OWN, 3 << 30)
_PATIENCE = 60.0
_PAGE_FAULT = 14
_NAMED = 0x5A5A << 48
_AROUND = (-4096, -8, 0, 4096, 1 << 21, 1 << 30)


class Expected(NamedTuple):
    """What an access must do: its vector, and the word loaded or the error code."""

    command: Command
    vector: int
    value: int


class _Poll:
    def __init__(self, ram: Ram, guest: Guest) -> None:
        self._words, self._guest = ram.words, guest
        self._asked = (m.MAILBOX >> 3) + 5

    def go(self) -> None:
        """See `machine.Runner`."""
        deadline = time.monotonic() + _PATIENCE
        while self._words[self._asked] != self._words[self._asked + 1]:
            if time.monotonic() > deadline:
                raise AssertionError(f"no answer; last words: {last_words(self._guest)}")
            time.sleep(0.0002)


@contextmanager
def booted(elf: Path, levels: int) -> Iterator[tuple[Machine, Guest]]:
    """Boot a guest of `guest/pagetables/bare` for a block."""
    recipe = Recipe(
        name="pagetables",
        summary="two ways to work on page tables",
        memory=RAM,
        ready=Says(r"pagetables: levels=(?P<levels>\d)", whole_lines=True),
        patience=30,
        prepare=lambda progress: Boot(kernel=elf, symbols=elf),
    )
    with launch.temporary(recipe, Computer(levels=levels)) as guest:
        ram = Ram(Path(guest.ram), RAM)
        yield Machine(ram, _Poll(ram, guest)), guest


def own(space: Space) -> None:
    """Map what a guest maps for itself."""
    flags = model.P | model.RW | model.A | model.D
    space.remap(0, OWN, 0, flags, max_shift=21)


def harmless(command: Command) -> bool:
    """Tell whether a command leaves alone what the guest needs for itself."""
    return command.op in (m.LIMIT, m.SWITCH) or command.start >= OWN


class LiveJudge(Judge):
    """Judges guests, by executed accesses too."""

    def __init__(self, machines: Sequence[Machine], seed: int, walk_every: int = 1) -> None:
        super().__init__(machines, walk_every, own)
        self._chance = random.Random(seed)
        self._addresses: list[int] = []
        self._before: list[Expected] = []
        self._words: dict[int, int] = {}  # what frames hold, in the course of a batch
        self.executed = self.faults = 0

    def touch(self, command: Command) -> None:
        """Execute one access, in the address space that CR3 has."""
        if self.active >= 0 and self._in_ram(command):
            self._check([self._access(command)], [])

    def prime(self, command: Command) -> None:
        """Predict accesses that put into the TLB what the command is about to change."""
        self._addresses = self._chosen(command)
        self._before = self._accesses()

    def ask(self, command: Command) -> list[Result]:
        """Execute accesses, the command, and accesses again."""
        return self._check(self._before, [command], self._accesses())

    def _check(
        self, first: list[Expected], commands: list[Command], then: list[Expected] | None = None
    ) -> list[Result]:
        then = then or []
        batch = [*(e.command for e in first), *commands, *(e.command for e in then)]
        all_results = []
        for machine in self.machines:
            results = machine.run(batch)
            accessed = [*results[: len(first)], *results[len(first) + len(commands) :]]
            for expected, result in zip([*first, *then], accessed, strict=True):
                self._hold(machine, expected, result, after=expected in then)
            for pa, word in self._words.items():
                assert machine.ram.qword(pa) == word, f"a store did not come to {pa:#x}"
            all_results += results[len(first) : len(first) + len(commands)]
        self._words.clear()
        return all_results

    def _hold(self, machine: Machine, expected: Expected, result: Result, *, after: bool) -> None:
        c = expected.command
        when = "after" if after else "before"
        assert (result.ret, result.value) == (expected.vector, expected.value), (
            f"{when} it an access to {c.start:#x} (op {c.op}) gave {result.ret} "
            f"{result.value:#x}, not {expected.vector} {expected.value:#x}"
        )
        self.executed += 1
        self.faults += bool(expected.vector)

    def _chosen(self, command: Command) -> list[int]:
        """Choose addresses at the ends of the range, around it, and within pages near it."""
        if command.op in (m.LIMIT, m.SWITCH) or self.active < 0:
            return []
        near = [edge + d for edge in (command.start, command.end) for d in _AROUND]
        near += [self._chance.randrange(command.start, command.end) & ~7 for _ in range(4)]
        pages = list(self.spaces[self.active].pages)
        near += self._chance.sample(pages, min(4, len(pages)))
        half = 1 << (12 + 9 * self.levels - 1)
        return [at for at in near if OWN <= at < half or (1 << 64) - half <= at < 1 << 64]

    def _accesses(self) -> list[Expected]:
        """Predict a load or a store at each of the chosen addresses."""
        kinds = (m.LOAD, m.LOAD, m.STORE)
        space = max(self.active, 0)
        asked = (Command(self._chance.choice(kinds), at, space=space) for at in self._addresses)
        return [self._access(command) for command in asked if self._in_ram(command)]

    def _in_ram(self, command: Command) -> bool:
        found = self._page(command.start)
        return found is None or OWN <= found[1].pa + command.start - found[0] < RAM

    def _page(self, at: int) -> tuple[int, Page] | None:
        pages = self.spaces[self.active].pages_in(at, at + 1)
        return pages[0] if pages else None

    def _access(self, command: Command) -> Expected:
        """Predict an access by the model, and put A and D there; the frame gets a name."""
        found, write = self._page(command.start), command.op == m.STORE
        if found is None:
            return Expected(command, _PAGE_FAULT, 2 if write else 0)
        va, page = found
        pa = page.pa + command.start - va
        if write and not page.flags & model.RW:
            return Expected(command, _PAGE_FAULT, 3)
        used = model.A | model.D if write else model.A
        self.spaces[self.active].pages[va] = page._replace(flags=page.flags | used)
        if pa not in self._words:
            self._words[pa] = _NAMED | pa
            for machine in self.machines:
                machine.ram.write(pa, self._words[pa])
        if write:
            self._words[pa] ^= self._chance.getrandbits(16) << 48
        word = self._words[pa]
        return Expected(replace(command, pa=word), 0, 0 if write else word)
