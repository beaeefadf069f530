"""What an MMU did, asked once: held against each wrong walker."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

import numpy as np

from ptlive.verify.selftest import addresses
from ptlive.verify.selftest.bench import bench
from ptlive.verify.selftest.judge import judge
from ptlive.verify.selftest.record import Cpu, record

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ptlive.verify.selftest.record import Record
    from ptlive.verify.selftest.rules import Rules

CPUS = (Cpu(52), Cpu(36), Cpu(40, gbpages=False))
MIXTURES = 1000


@contextmanager
def records(seed: int = 0) -> Iterator[list[Record]]:
    """Ask TCG about both numbers of levels, and a little about several CPUs."""
    with ExitStack() as stack:
        taken = []
        for levels in (5, 4):
            made = stack.enter_context(bench(levels, seed))
            random = np.random.default_rng(seed)
            alone = np.unique(addresses.singles(made))
            mixed = [addresses.mixtures(made, MIXTURES, random), addresses.edges(made, random)]
            usual = Cpu(40)
            taken += [
                record(made, usual, va, usual.controls(levels))
                for va in (alone, np.unique(np.concatenate(mixed)))
            ]
            for cpu in CPUS:
                # Every switch on, and every switch off.
                settings = cpu.controls(levels)[:: len(usual.controls(levels)) - 1]
                taken.append(record(made, cpu, alone, settings))
        yield taken


def caught_by(taken: list[Record], rules: Rules) -> str | None:
    """Say what shows that rules are wrong, None if nothing does.

    That is the first difference there is, or how they break.
    """
    try:
        for one in taken:
            for judgement in judge(one, rules):
                for aspect, rows in judgement.wrong().items():
                    if len(rows):
                        return f"{aspect}: {_simplest(one, rows.tolist())}"
                for aspect, entries in judgement.entries.items():
                    if len(entries):
                        table = one.bench.tables.searchsorted(entries[0], side="right")
                        slot = int(entries[0]) % 4096 // 8
                        return f"{aspect}: {one.bench.slots[int(table)][slot].name}"
    except Exception as error:
        return f"breaks: {type(error).__name__}"
    return None


def _simplest(one: Record, rows: list[int]) -> str:
    """Return the entries of the address that differs least from an open one."""
    names = [
        [variant.name for variant, _ in one.bench.at(int(one.va[row])) if variant and variant.flips]
        for row in rows[:200]
    ]
    least = min(names, key=len)
    return "; ".join(least) or f"address {int(one.va[rows[0]]):#x}"
