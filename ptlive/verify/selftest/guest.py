"""A guest's own tables, changed in its fork: one bit of the entries of a level at a time.

The guest itself is not touched. What its tables cannot show as they are, such as
that an upper entry's rights count, they show when they are changed.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ptlive.access_kind import ACCESS_KINDS
from ptlive.analysis.selftest import BenchReport
from ptlive.oracle.twin.fork import FRAME
from ptlive.oracle.twin.paint import NO_FRAME, painted
from ptlive.oracle.twin.run import run
from ptlive.oracle.twin.script import Poke
from ptlive.oracle.twin.window import EXTRA_LIMIT, extra_base
from ptlive.verify.in_turn import in_turn
from ptlive.verify.selftest.count import Counts
from ptlive.verify.selftest.judge import judge
from ptlive.verify.selftest.record import question
from ptlive.verify.selftest.rules import OURS
from ptlive.verify.selftest.tables import HOME, NAME, Tables
from ptlive.verify.selftest.variants import ADDRESS
from ptlive.verify.targets import choose

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from ptlive.arrays import U8, U64, Bool, Memory
    from ptlive.oracle.twin.fork import Fork
    from ptlive.oracle.twin.script import Outcome, Step
    from ptlive.paging.translate import Translations
    from ptlive.space import AddressSpace
    from ptlive.verify.selftest.record import Cpu, Record
    from ptlive.verify.selftest.rules import Rules

# Leaves and holes whose paths are changed, of every class of entries.
_ADDRESSES = 256
# Changes of one to three bits of one entry of each path.
_RANDOM = 96
_PER_TWIN = 400_000
_IN_FRAME = np.uint64(FRAME - 1)


@dataclass(frozen=True)
class Patched:
    """Memory in which some words, uint64[n] at ascending addresses, have other values."""

    memory: Memory
    address: U64
    value: U64

    def read(self, addresses: U64, length: int) -> tuple[U8, Bool]:
        """See `ptlive.arrays.Memory.read`; a patched word lies in a row as a whole."""
        data, valid = self.memory.read(addresses, length)
        first = np.searchsorted(self.address, addresses)
        last = np.searchsorted(self.address, addresses + np.uint64(length))
        for row in np.flatnonzero(valid & (last > first)).tolist():
            at = self.address[first[row] : last[row]] - addresses[row]
            words = data[row].view("<u8")
            words[(at >> np.uint64(3)).astype(np.intp)] = self.value[first[row] : last[row]]
        return data, valid


def patched(memory: Memory, words: Mapping[int, int]) -> Patched:
    """Return memory with these words."""
    address = np.array(sorted(words), dtype=np.uint64)
    return Patched(memory, address, np.array([words[at] for at in sorted(words)], dtype=np.uint64))


@dataclass(frozen=True)
class Round:
    """The tables changed in one way; words: the changed entries by address."""

    what: str
    words: Mapping[int, int]


def selftest_guest(
    space: AddressSpace,
    fork: Fork,
    cpu: Cpu,
    seed: int,
    again: str,
    progress: Callable[[str, int, int], None] = lambda *_: None,
    rules: Rules = OURS,
) -> BenchReport:
    """Change the tables of a fork in many ways, and hold the rules against the MMU each time.

    cpu: the guest's; again: the command that asks it again. Raises PtliveError when a
    twin cannot answer.
    """
    graph = space.walk()
    va = np.unique(choose(graph, _ADDRESSES, seed).va & ~_IN_FRAME)
    translations = space.translate(va)
    tables = [floor.nodes.table[floor.readable] for floor in graph.floors]
    entries = _entries(translations)
    rounds = list(_rounds(translations, fork, np.random.default_rng(seed)))
    asked = _questions(space, cpu, va, entries, rounds, np.unique(np.concatenate(tables)))
    report = BenchReport(space.format.top, fork.cpu, len(va))
    counts = Counts(report, cpu.by, again)
    what, total = "changed tables", len(rounds)
    progress(what, 0, total)
    done = 0
    for part, outcome in in_turn(_calls(asked, fork)):
        kinds = len(ACCESS_KINDS)
        for at, (one, made) in enumerate(part):
            rows = slice(at * kinds, (at + 1) * kinds)
            made.take(fork.control, outcome.answers[rows], outcome.words[rows])
            counts.add(judge(made, rules), functools.partial(_describe, one))
            made.trials.clear()
        report.accesses += sum(len(answers.vector) for answers in outcome.answers)
        done += len(part)
        progress(what, done, total)
    return report


def _entries(translations: Translations) -> dict[int, int]:
    """Return the entries on all paths."""
    return {
        int(address): int(entry)
        for step in translations.steps
        for address, entry in zip(step.entry_pa.tolist(), step.entry.tolist(), strict=True)
    }


def _rounds(translations: Translations, fork: Fork, random: np.random.Generator) -> Iterator[Round]:
    """Yield the ways to change the tables: each bit at each level, then bits at random.

    No changed entry may refer to where the twin's own memory is.
    """
    own = range(extra_base(fork), extra_base(fork) + EXTRA_LIMIT)
    for step in translations.steps:
        here = dict(zip(step.entry_pa.tolist(), step.entry.tolist(), strict=True))
        for bit in range(64):
            changed = {at: entry ^ 1 << bit for at, entry in here.items()}
            kept = {at: entry for at, entry in changed.items() if entry & ADDRESS not in own}
            yield Round(f"bit {bit} of level {step.lvl} flipped", kept)
    for number in range(_RANDOM):
        words: dict[int, int] = {}
        for row in range(translations.va.size):
            path = translations.path(row)
            if not path:
                continue
            step, at = path[int(random.integers(len(path)))]
            bits = random.choice(64, size=int(random.integers(1, 4)), replace=False)
            entry = int(step.entry[at]) ^ sum(1 << int(bit) for bit in bits)
            if entry & ADDRESS not in own:
                words[int(step.entry_pa[at])] = entry
        yield Round(f"random change {number}", words)


def _questions(
    space: AddressSpace,
    cpu: Cpu,
    va: U64,
    entries: Mapping[int, int],
    rounds: Sequence[Round],
    spared: U64,
) -> list[tuple[Round, Record]]:
    """Return a record for each round, the frames that accesses reach in any of them named.

    A frame of data may be a table in another round: so the words that are written into
    it are part of the memory that is walked.
    """

    def asked(memory: Memory, one: Round) -> Record:
        words = {**entries, **one.words}
        tables = Tables(
            levels=space.format.top,
            memory=patched(memory, one.words),
            ram_map=space.ram_map,
            root=int(space.root[0]),
            address=np.array(list(words), dtype=np.uint64),
            value=np.array(list(words.values()), dtype=np.uint64),
            spared=spared,
        )
        return question(tables, cpu, va)

    frames = np.unique(np.concatenate([asked(space.memory, one).names for one in rounds]))
    words = dict.fromkeys((frames + np.uint64(HOME)).tolist(), 0)
    words |= dict(zip((frames + np.uint64(NAME)).tolist(), painted(frames).tolist(), strict=True))
    memory = patched(space.memory, words)
    found = []
    for one in rounds:
        made = asked(memory, one)
        arrive = np.where(np.isin(made.arrive, frames), made.arrive, NO_FRAME)
        found.append((one, dataclasses.replace(made, arrive=arrive)))
    return found


def _calls(
    asked: list[tuple[Round, Record]], fork: Fork
) -> Iterator[tuple[list[tuple[Round, Record]], Callable[[], Outcome]]]:
    """Yield what one twin after the other is asked, and how to ask it."""
    frames = np.unique(np.concatenate([made.names for _, made in asked]))
    names, homes = frames + np.uint64(NAME), frames + np.uint64(HOME)
    first: list[Step] = [Poke(names, painted(names)), Poke(homes, np.zeros_like(homes))]
    each = max(_PER_TWIN // (len(asked[0][1].va) * len(ACCESS_KINDS)), 1)
    for at in range(0, len(asked), each):
        part = asked[at : at + each]
        steps = itertools.chain.from_iterable(made.steps(fork.control) for _, made in part)
        yield part, functools.partial(run, fork, [*first, *steps])


def _describe(one: Round, address: int) -> str:
    return one.what if address in one.words else "as the guest has it"
