"""What an MMU did on a bench: asked once, and kept for any number of walkers to be held against."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from ptlive.access_kind import ACCESS_KINDS, Access
from ptlive.memory.ram_map import Kind as Medium
from ptlive.oracle.twin import fork as registers
from ptlive.oracle.twin.fork import Control
from ptlive.oracle.twin.paint import NO_FRAME, painted
from ptlive.oracle.twin.run import run
from ptlive.oracle.twin.script import CopyFrames, Poke, Probe, SetControl
from ptlive.target.machine import QEMU
from ptlive.verify.selftest.bench import HOME, NAME
from ptlive.verify.selftest.rules import OURS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from ptlive.access_kind import AccessKind
    from ptlive.arrays import U64, Bool, Index
    from ptlive.oracle.twin.script import Answers, Step
    from ptlive.verify.selftest.bench import Bench

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
        gbpages = "" if self.gbpages else ",-pdpe1gb"
        return f"max,phys-bits={self.maxphyaddr}{gbpages}"

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

    tables: uint64[m, 512], the bench's tables as the accesses left them
    """

    control: Control
    answers: Answers
    tables: U64

    @property
    def kind(self) -> AccessKind:
        """The kind of access."""
        return self.answers.kind


@dataclass(frozen=True, eq=False)
class Record:
    """What was asked of a bench, and what the MMU did.

    va: uint64[n], of the frames that are accessed; mapped: which of them our walker
    says lead anywhere; arrive: the frames of RAM where, NO_FRAME if that is none:
    these were made to name themselves, and are where writes were looked for
    """

    bench: Bench
    cpu: Cpu
    va: U64
    mapped: Bool
    arrive: U64
    trials: list[Trial]

    def rows(self, kind: AccessKind) -> Index:
        """Return which addresses accesses of this kind are made at.

        No fetch from what is no RAM: it would execute what is there.
        """
        if kind.access is Access.FETCH:
            return np.flatnonzero(~self.mapped | (self.arrive != NO_FRAME))
        return np.arange(len(self.va))


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
    mapped, arrive = _arrivals(bench, cpu, va)
    made = Record(bench, cpu, va, mapped, arrive, [])
    names = np.unique(arrive[arrive != NO_FRAME])
    names = np.unique(np.concatenate([names, bench.tables])) + np.uint64(NAME)
    for part in _parts(settings, len(va) * len(ACCESS_KINDS)):
        # What would be borrowed for the prober must not be what writes may reach.
        unused = bench.tables + np.uint64(HOME)
        steps: list[Step] = [Poke(names, painted(names)), Poke(unused, np.zeros_like(unused))]
        for control in part:
            steps += _set(control)
            for kind in ACCESS_KINDS.values():
                steps.append(Poke(*bench.entries))
                steps.append(_probe(made, kind))
                steps.append(CopyFrames(bench.tables))
        outcome = run(bench.fork(part[0], cpu.name, cpu.accel, cpu.qemu), steps)
        asked = itertools.product(part, range(len(ACCESS_KINDS)))
        for (control, _), answers, tables in zip(
            asked, outcome.answers, outcome.frames, strict=True
        ):
            made.trials.append(Trial(control, answers, tables))
            progress(len(answers.vector))
    return made


def _arrivals(bench: Bench, cpu: Cpu, va: U64) -> tuple[Bool, U64]:
    """Return which addresses lead anywhere if nothing denies it, and the frames of RAM where.

    1G pages count, which TCG has even where it shows none.
    """
    fmt = OURS.make_format(bench.levels, maxphyaddr=cpu.maxphyaddr)
    found = OURS.translate(fmt, bench.memory, np.array([bench.root], dtype=np.uint64), va)
    ram = found.mapped & (bench.ram_map.kind_of(found.pa) == Medium.RAM)
    return found.mapped, np.where(ram, found.pa, NO_FRAME)


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
