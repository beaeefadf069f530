"""What an MMU did, asked once: held against each wrong walker."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ptlive.verify.selftest import addresses
from ptlive.verify.selftest.bench import bench
from ptlive.verify.selftest.judge import judge
from ptlive.verify.selftest.record import Cpu, record

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ptlive.verify.selftest.bench import Bench
    from ptlive.verify.selftest.record import Record
    from ptlive.verify.selftest.rules import Rules

CPUS = (Cpu(52), Cpu(36), Cpu(40, gbpages=False))
MIXTURES = 1000


@dataclass(frozen=True)
class Taken:
    """A record, and the bench that it is of."""

    bench: Bench
    record: Record

    def differs(self, va: int) -> tuple[str, ...]:
        """Name what an address picks other than open entries."""
        names = [one.name for one, _ in self.bench.at(va) if one and one.flips]
        return tuple(names or [f"the address {va:#x}"])


@contextmanager
def records(seed: int = 0) -> Iterator[list[Taken]]:
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
                Taken(made, record(made, usual, va, usual.controls(levels)))
                for va in (alone, np.unique(np.concatenate(mixed)))
            ]
            for cpu in CPUS:
                # Every switch on, and every switch off.
                settings = cpu.controls(levels)[:: len(usual.controls(levels)) - 1]
                taken.append(Taken(made, record(made, cpu, alone, settings)))
        yield taken


def caught_by(taken: list[Taken], rules: Rules) -> str | None:
    """Say what shows that rules are wrong, None if nothing does.

    That is the first difference there is, or how they break.
    """
    try:
        for one in taken:
            for judgement in judge(one.record, rules):
                for aspect, rows in judgement.wrong().items():
                    if len(rows):
                        differ = [one.differs(va) for va in one.record.va[rows[:200]].tolist()]
                        return f"{aspect}: {'; '.join(sorted(differ, key=len)[0])}"
                for aspect, entries in judgement.entries.items():
                    if len(entries):
                        return f"{aspect}: {one.bench.describe(int(entries[0]))}"
    except Exception as error:
        return f"breaks: {type(error).__name__}"
    return None
