"""The usual script: paint frames, make every kind of access, look at the tables."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from ptlive.access_kind import Access
from ptlive.oracle.twin.paint import painted
from ptlive.oracle.twin.run import run
from ptlive.oracle.twin.script import CopyFrames, Poke, Probe, SetControl

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ptlive.access_kind import AccessKind
    from ptlive.arrays import U64
    from ptlive.oracle.twin.fork import Control, Fork
    from ptlive.oracle.twin.script import Answers, Step

# Fetches come last: a write to a page whose code has been translated is slow.
_ORDER = (Access.WRITE, Access.READ, Access.FETCH)


def _none() -> U64:
    return np.zeros(0, dtype=np.uint64)


@dataclass(frozen=True)
class Round:
    """More accesses, in the same twin, with other control registers; see `Jobs`."""

    control: Control
    addresses: Mapping[AccessKind, U64]
    homes: Mapping[AccessKind, U64]


@dataclass(frozen=True)
class Jobs:
    """What to ask.

    addresses: virtual addresses, of each kind of access; multiples of 8, so that
        an access lies in one page
    homes: of each kind of write, where each is expected to arrive (physical
        address, or NO_HOME); a word that is painted must not be one of them
    paint: physical addresses, multiples of 8 in RAM, of the words that are to name
        their frame; in a page table only words that are entries not in use
    tables: frames to return as they are afterwards
    rounds: what to ask after all that, one after the other
    slots: the root entries to borrow for the prober, which a self-map shows as other
        than the guest's; by default those that disturb least
    """

    addresses: Mapping[AccessKind, U64]
    homes: Mapping[AccessKind, U64] = field(default_factory=dict)
    paint: U64 = field(default_factory=_none)
    tables: U64 = field(default_factory=_none)
    rounds: Sequence[Round] = ()
    slots: tuple[int, int] | None = None


@dataclass(frozen=True)
class Replies:
    """What the twin's MMU did: its answers, and `tables` uint64[n, 512] as it left them.

    rounds: the answers of each further round
    """

    answers: Mapping[AccessKind, Answers]
    tables: U64
    seconds: float
    rounds: Sequence[Mapping[AccessKind, Answers]] = ()


def ask(fork: Fork, jobs: Jobs, *, seconds: float | None = None) -> Replies:
    """Make all accesses of the jobs in one twin; see `run` for the time limit and errors."""
    script: list[Step] = [Poke(jobs.paint, painted(jobs.paint))]
    orders = [_probes(script, jobs.addresses, jobs.homes)]
    for one in jobs.rounds:
        script.append(SetControl(one.control))
        orders.append(_probes(script, one.addresses, one.homes))
    script.append(CopyFrames(jobs.tables))
    outcome = run(fork, script, slots=jobs.slots, seconds=seconds)
    left = iter(outcome.answers)
    answers = [dict(zip(kinds, left, strict=False)) for kinds in orders]
    return Replies(answers[0], outcome.frames[0], outcome.seconds, answers[1:])


def _probes(
    script: list[Step],
    addresses: Mapping[AccessKind, U64],
    homes: Mapping[AccessKind, U64],
) -> list[AccessKind]:
    """Add the accesses to a script, and return the order of their kinds."""
    kinds = sorted(addresses, key=lambda kind: _ORDER.index(kind.access))
    script += [Probe(kind, addresses[kind], homes.get(kind)) for kind in kinds]
    return kinds
