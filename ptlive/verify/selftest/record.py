"""What an MMU did on a bench: asked once, and kept for any number of walkers to be held against."""

from __future__ import annotations

import functools
import itertools
import shlex
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from ptlive.access_kind import ACCESS_KINDS, Access
from ptlive.memory.ram_map import Kind as Medium
from ptlive.oracle.twin import fork as registers
from ptlive.oracle.twin.fork import Control
from ptlive.oracle.twin.paint import NO_FRAME, painted
from ptlive.oracle.twin.run import run
from ptlive.oracle.twin.script import Peek, Poke, Probe, SetControl
from ptlive.target.machine import QEMU
from ptlive.verify.in_turn import in_turn
from ptlive.verify.selftest.rules import OURS
from ptlive.verify.selftest.tables import HOME, NAME

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from ptlive.access_kind import AccessKind
    from ptlive.arrays import U64, Bool, Index
    from ptlive.oracle.twin.script import Answers, Step
    from ptlive.verify.selftest.bench import Bench
    from ptlive.verify.selftest.tables import Tables

# A twin's script and its answers: so many accesses take some 100 MB.
_PER_TWIN = 2_000_000
_CR0 = 1 << 31 | 1  # PG, PE
#: What a CPU may lack, and the bit of CR4 that turns it on.
FEATURES = {
    "smep": registers.CR4_SMEP,
    "smap": registers.CR4_SMAP,
    "pku": registers.CR4_PKE,
}


@dataclass(frozen=True)
class Cpu:
    """The twin's CPU, as far as page tables mean different things to different ones.

    name: as for QEMU's -cpu; features: those of smep, smap and pku that it has
    accel, qemu: as for a fork; by: who answers, as verdicts name it
    """

    maxphyaddr: int
    gbpages: bool = True
    features: frozenset[str] = frozenset(FEATURES)
    accel: str = "tcg"
    qemu: str = QEMU
    by: str = "TCG"

    @property
    def name(self) -> str:
        """What to tell QEMU's -cpu."""
        # KVM's models take the host's own width, unless told otherwise.
        width = "" if self.accel == "tcg" else "host-phys-bits=off,"
        gbpages = "" if self.gbpages else ",-pdpe1gb"
        return f"max,{width}phys-bits={self.maxphyaddr}{gbpages}"

    @property
    def options(self) -> str:
        """Options of a command that choose it."""
        accel = "" if self.accel == "tcg" else f" --accel {self.accel}"
        return accel + ("" if self.qemu == QEMU else f" --twin-qemu {shlex.quote(self.qemu)}")

    def controls(self, levels: int) -> list[Control]:
        """Return the control registers in every combination that decides about accesses.

        PKRU takes values that in turn give each key all four combinations of its two
        bits; also with protection keys off, when it must not matter.
        """
        turns = itertools.count()
        found = []
        switches = [bit for name, bit in FEATURES.items() if name in self.features]
        for wp, nxe, *on in itertools.product((False, True), repeat=2 + len(switches)):
            cr4 = registers.CR4_PAE | (registers.CR4_LA57 if levels == 5 else 0)
            cr4 |= sum(bit for bit, chosen in zip(switches, on, strict=True) if chosen)
            found.append(
                Control(
                    cr0=_CR0 | (registers.CR0_WP if wp else 0),
                    cr4=cr4,
                    efer=registers.EFER_LMA | (registers.EFER_NXE if nxe else 0),
                    pkru=_pkru(next(turns) // 2) if "pku" in self.features else 0,
                )
            )
        return found


def _pkru(turn: int) -> int:
    # Keys that differ in one bit have different rights.
    return sum((key + key // 4 + turn) % 4 << 2 * key for key in range(16))


@dataclass(frozen=True, eq=False)
class Trial:
    """One kind of access at every address, under one setting of the control registers.

    after: uint64[n], the tables' watched entries as the accesses left them
    """

    control: Control
    answers: Answers
    after: U64

    @property
    def kind(self) -> AccessKind:
        """The kind of access."""
        return self.answers.kind


@dataclass(frozen=True, eq=False)
class Record:
    """What is asked of tables in one state, and what the MMU did.

    va: uint64[n], of the frames that are accessed; mapped: which of them our walker
    says lead anywhere; arrive: the frames where, NO_FRAME if no RAM that may be
    written: these are made to name themselves, and are where writes are looked for
    """

    tables: Tables
    cpu: Cpu
    va: U64
    mapped: Bool
    arrive: U64
    trials: list[Trial] = field(default_factory=list)

    def rows(self, kind: AccessKind) -> Index:
        """Return which addresses accesses of this kind are made at.

        All are read. What leads to no RAM, or to what must stay as it is, is neither
        executed nor, in a guest, written.
        """
        nowhere = self.mapped & (self.arrive == NO_FRAME)
        if kind.access is Access.FETCH or (kind.access is Access.WRITE and self.tables.spared.size):
            return np.flatnonzero(~nowhere)
        return np.arange(len(self.va))

    @property
    def names(self) -> U64:
        """The frames that are to name themselves, ascending."""
        return np.unique(self.arrive[self.arrive != NO_FRAME])

    def steps(self, control: Control) -> list[Step]:
        """Return a script's steps that make every kind of access under one setting."""
        steps = _set(control)
        for kind in ACCESS_KINDS.values():
            steps.append(Poke(self.tables.address, self.tables.value))
            steps.append(_probe(self, kind))
            steps.append(Peek(self.tables.address))
        return steps

    def take(self, control: Control, answers: list[Answers], after: list[U64]) -> None:
        """Keep what came of the steps for a setting."""
        self.trials.extend(map(Trial, itertools.repeat(control), answers, after))


def question(tables: Tables, cpu: Cpu, va: U64) -> Record:
    """Return a record in which nothing is answered yet."""
    # 1G pages count, which TCG has even where it shows none.
    fmt = OURS.make_format(tables.levels, maxphyaddr=cpu.maxphyaddr)
    found = OURS.translate(fmt, tables.memory, np.array([tables.root], dtype=np.uint64), va)
    there = found.mapped & (tables.ram_map.kind_of(found.pa) == Medium.RAM)
    there &= ~np.isin(found.pa, tables.spared)
    return Record(tables, cpu, va, found.mapped, np.where(there, found.pa, NO_FRAME))


def record(
    bench: Bench,
    cpu: Cpu,
    va: U64,
    settings: Sequence[Control],
    progress: Callable[[int], None] = lambda _: None,
) -> Record:
    """Ask the MMU of twins of a bench for every kind of access at each address.

    progress: told how many accesses more were made. Raises PtliveError when a twin
    cannot answer.
    """
    made = question(bench.tables, cpu, va)
    names = np.unique(np.concatenate([made.names, bench.frames])) + np.uint64(NAME)
    # What would be borrowed for the prober must not be what writes may reach.
    unused = bench.frames + np.uint64(HOME)
    first: list[Step] = [Poke(names, painted(names)), Poke(unused, np.zeros_like(unused))]
    calls = []
    for part in _parts(settings, len(va) * len(ACCESS_KINDS)):
        steps = [*first, *itertools.chain.from_iterable(map(made.steps, part))]
        fork = bench.fork(part[0], cpu.name, cpu.accel, cpu.qemu)
        calls.append((part, functools.partial(run, fork, steps)))
    kinds = len(ACCESS_KINDS)
    for part, outcome in in_turn(calls):
        for at, control in enumerate(part):
            rows = slice(at * kinds, (at + 1) * kinds)
            made.take(control, outcome.answers[rows], outcome.words[rows])
        progress(sum(len(answers.vector) for answers in outcome.answers))
    return made


def _set(control: Control) -> list[Step]:
    """Load PKRU, which can be done with CR4.PKE set alone (SDM vol. 2D, WRPKRU), then the rest."""
    if not control.pkru:
        return [SetControl(control)]
    loading = replace(control, cr4=control.cr4 | registers.CR4_PKE)
    return [SetControl(loading), SetControl(control)]


def _probe(made: Record, kind: AccessKind) -> Probe:
    rows = made.rows(kind)
    if kind.access is not Access.WRITE:
        return Probe(kind, made.va[rows] + np.uint64(NAME))
    home = np.where(made.arrive == NO_FRAME, NO_FRAME, made.arrive + np.uint64(HOME))
    return Probe(kind, made.va[rows] + np.uint64(HOME), home[rows])


def _parts(settings: Sequence[Control], each: int) -> Iterator[Sequence[Control]]:
    """Cut settings into runs for one twin each."""
    count = max(_PER_TWIN // each, 1)
    for first in range(0, len(settings), count):
        yield settings[first : first + count]
