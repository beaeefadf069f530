"""A whole selftest: which benches, CPUs and addresses; and what came of it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ptlive.access_kind import ACCESS_KINDS
from ptlive.analysis.report import Check
from ptlive.analysis.selftest import BenchReport, RuleDifference, SelftestReport
from ptlive.paging.control import controls
from ptlive.paging.words import outcome_words
from ptlive.verify.selftest import addresses
from ptlive.verify.selftest.bench import bench, table_of
from ptlive.verify.selftest.judge import A, D, judge
from ptlive.verify.selftest.record import Cpu, record
from ptlive.verify.selftest.rules import OURS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ptlive.arrays import U64
    from ptlive.oracle.twin.fork import Control
    from ptlive.verify.selftest.bench import Bench
    from ptlive.verify.selftest.judge import Judgement
    from ptlive.verify.selftest.record import Record
    from ptlive.verify.selftest.rules import Rules

ORACLE = "twin"
# Of one bench, so many differences are told one by one.
TOLD = 20
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
    addresses = sum(map(len, parts))
    total = addresses * len(ACCESS_KINDS) * len(settings)
    result = BenchReport(made.levels, cpu.name, addresses)
    aspects = ("fault", "cr2", "frame", "accessed", "dirty", "entries")
    checks = {aspect: Check(ORACLE, cpu.by, aspect) for aspect in aspects}
    result.checks = list(checks.values())

    def tell(more: int) -> None:
        result.accesses += more
        progress(what, result.accesses, total)

    tell(0)
    for va in parts:
        taken = record(made, cpu, va, settings, tell)
        for judgement in judge(taken, rules):
            _count(judgement, checks, result)
            if not judgement.agrees and len(result.differences) < TOLD:
                told = _differences(made, taken, judgement, f"ptlive selftest --seed {seed}")
                result.differences += told[: TOLD - len(result.differences)]
    fewer = total - result.accesses
    if fewer:
        checks["fault"].unchecked["not RAM: a fetch would execute what is there"] += fewer
    progress(what, total, total)
    return result


def _count(judgement: Judgement, checks: dict[str, Check], result: BenchReport) -> None:
    """Add one trial to the counts."""
    found = judgement.agreement
    wrong = {aspect: len(rows) for aspect, rows in judgement.wrong().items()}
    wrong |= {aspect: len(entries) for aspect, entries in judgement.entries.items()}
    compared = {
        "fault": int((found.asked & ~found.explained).sum()),
        "cr2": int(found.told_cr2.sum()),
        "frame": int(found.told_frame.sum()),
        **judgement.entries_checked,
    }
    for aspect, count in compared.items():
        checks[aspect].disagreed += wrong[aspect]
        checks[aspect].agreed += count - wrong[aspect]
    unasked = int((~found.asked).sum())
    if unasked:
        reason = "a table lies in no memory: the tables do not say what happens"
        checks["fault"].unchecked[reason] += unasked
    for quirk, rows in found.quirks.items():
        if rows.any():
            result.quirks[quirk] += int(rows.sum())
            checks["fault"].unchecked[f"quirk {quirk.name}"] += int(rows.sum())


def _differences(
    made: Bench, taken: Record, judgement: Judgement, command: str
) -> list[RuleDifference]:
    """Describe the first difference of each property."""
    trial = judgement.trial
    found = []
    for aspect, rows in judgement.wrong().items():
        for row in rows[:1].tolist():
            at = int(np.searchsorted(judgement.rows, row))
            va, arrive = int(taken.va[row]), int(taken.arrive[row])
            vector, code = judgement.verdicts.vector, judgement.verdicts.error_code
            predicted = outcome_words(int(vector[at]), int(code[at]))
            seen = trial.answers
            observed = outcome_words(int(seen.vector[at]), int(seen.error_code[at]))
            if aspect == "cr2":
                observed += f" with CR2 {int(seen.cr2[at]):#x}"
            if aspect == "frame":
                observed += f", elsewhere than at {arrive:#x}"
            found.append(
                RuleDifference(
                    aspect=aspect,
                    va=va,
                    access=trial.kind.name,
                    controls=_words(trial.control),
                    predicted=predicted,
                    observed=observed,
                    path=_path(made, va),
                    reproduce=f"{command} --levels {made.levels} {va:#x}",
                )
            )
    for aspect, entries in judgement.entries.items():
        found += [
            _entry(made, taken, judgement, aspect, at, command) for at in entries[:1].tolist()
        ]
    return found


def _entry(
    made: Bench, taken: Record, judgement: Judgement, aspect: str, address: int, command: str
) -> RuleDifference:
    """Describe an entry that the MMU left otherwise than predicted."""
    trial = judgement.trial
    lvl = next(lvl for lvl in made.slots if table_of(lvl) == address & ~0xFFF)
    variant = made.slots[lvl][address % 4096 // 8]
    before = made.value(address)
    after = int(trial.after[taken.tables.address == np.uint64(address)][0])
    return RuleDifference(
        aspect=aspect,
        va=None,
        access=trial.kind.name,
        controls=_words(trial.control),
        predicted={
            "accessed": f"A={int(not after & A)}",
            "dirty": f"D={int(not after & D)}",
        }.get(aspect, "nothing but A and D changes"),
        observed=f"{after:#018x}, before {before:#018x}",
        path=((variant.name, address, before),),
        reproduce=f"{command} --levels {made.levels}",
    )


def _path(made: Bench, va: int) -> tuple[tuple[str, int, int], ...]:
    """Return the entries that an address picks, whether or not a walk gets that far."""
    return tuple(
        (variant.name if variant else "nothing", address, made.value(address))
        for variant, address in made.at(va)
    )


def _words(control: Control) -> str:
    """Name what is on, such as `WP NXE SMAP`."""
    bits = controls(control.cr0, control.cr4, control.efer, pkru=control.pkru)
    on = [name.upper() for name in ("wp", "nxe", "smep", "smap", "pke") if getattr(bits, name)]
    return " ".join([*on, *([f"PKRU={control.pkru:#x}"] if bits.pke else [])]) or "none"
