"""A whole selftest: which benches, CPUs and addresses; and what came of it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ptlive.access_kind import ACCESS_KINDS
from ptlive.analysis.selftest import BenchReport, SelftestReport
from ptlive.verify.selftest import addresses
from ptlive.verify.selftest.bench import bench
from ptlive.verify.selftest.count import Counts
from ptlive.verify.selftest.judge import judge
from ptlive.verify.selftest.record import Cpu, record
from ptlive.verify.selftest.rules import OURS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ptlive.arrays import U64
    from ptlive.verify.selftest.bench import Bench
    from ptlive.verify.selftest.rules import Rules

_MIXTURES, _FEW = 20_000, 1_000
# Physical-address widths besides the usual one, for the bits that they make reserved.
_WIDTHS = (36, 46, 52)


@dataclass(frozen=True)
class Selftest:
    """What to do.

    levels: of the benches; cpu: the usual one; quick: leave out the matrix and the
    other CPUs; va: only these addresses, uint64[n]; seed: of all that is random
    """

    levels: Sequence[int]
    cpu: Cpu
    seed: int = 0
    quick: bool = False
    va: U64 | None = None


def selftest(
    asked: Selftest,
    version: str,
    progress: Callable[[str, int, int], None] = lambda *_: None,
    rules: Rules = OURS,
) -> SelftestReport:
    """Hold the rules against the MMU and return what agreed and what did not.

    version: of QEMU; progress: told (bench, accesses done, all).
    Raises PtliveError when a twin cannot answer.
    """
    begun = time.monotonic()
    report = SelftestReport(asked.cpu.by, version, asked.seed)
    for levels in asked.levels:
        with bench(levels, asked.seed) as made:
            for cpu, quick in _cpus(asked):
                parts = _addresses(made, asked, quick=quick)
                report.benches.append(_ask(made, cpu, parts, asked.seed, progress, rules))
    report.seconds = time.monotonic() - begun
    return report


def _cpus(asked: Selftest) -> list[tuple[Cpu, bool]]:
    """Return the CPUs to ask, and whether each is asked few addresses only."""
    usual = asked.cpu
    if asked.quick or asked.va is not None or usual.accel != "tcg":
        return [(usual, asked.quick)]  # KVM's is what the host has
    others = [Cpu(width, qemu=usual.qemu) for width in _WIDTHS]
    others.append(Cpu(usual.maxphyaddr, gbpages=False, qemu=usual.qemu))
    return [(usual, False), *((other, True) for other in others)]


def _addresses(made: Bench, asked: Selftest, *, quick: bool) -> list[U64]:
    """Return what to ask, in parts.

    What differs in one entry alone is a part of its own: where no access fails, each A
    that the MMU sets was foretold.
    """
    if asked.va is not None:
        return [np.unique(asked.va & ~np.uint64(0xFFF))]
    random = np.random.default_rng([asked.seed, made.levels])
    found = [addresses.edges(made, random)]
    found.append(addresses.mixtures(made, _FEW if quick else _MIXTURES, random))
    if not quick:
        found.append(addresses.matrix(made))
    return [np.unique(addresses.singles(made)), np.unique(np.concatenate(found))]


def _ask(
    made: Bench,
    cpu: Cpu,
    parts: Sequence[U64],
    seed: int,
    progress: Callable[[str, int, int], None],
    rules: Rules,
) -> BenchReport:
    """Ask one CPU about one bench, and hold the answers against the rules."""
    settings = cpu.controls(made.levels)
    what = f"{made.levels} levels, {cpu.name}"
    asked = sum(map(len, parts))
    total = asked * len(ACCESS_KINDS) * len(settings)
    again = f"ptlive selftest --levels {made.levels}{cpu.options} --seed {seed}"
    counts = Counts(BenchReport(made.levels, cpu.name, asked), cpu.by, again)

    def tell(more: int) -> None:
        counts.report.accesses += more
        progress(what, counts.report.accesses, total)

    tell(0)
    for va in parts:
        counts.add(judge(record(made, cpu, va, settings, tell), rules), made.describe)
    progress(what, total, total)
    return counts.report
