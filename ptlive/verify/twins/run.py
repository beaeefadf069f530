"""A whole verification by twins: what to ask, one twin after the other, and what they said."""

from __future__ import annotations

import dataclasses
import functools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from ptlive.access_kind import Access
from ptlive.oracle.twin.ask import Jobs as TwinJobs
from ptlive.oracle.twin.ask import Round, ask
from ptlive.oracle.twin.script import NO_HOME
from ptlive.paging.access import ALLOWED, check
from ptlive.verify.in_turn import in_turn
from ptlive.verify.stepped import NOT_OBSERVABLE
from ptlive.verify.twins import pkru
from ptlive.verify.twins.batches import Batches
from ptlive.verify.twins.borrowed import entries_of, slots_of
from ptlive.verify.twins.compare import ORACLE, Comparison
from ptlive.verify.twins.jobs import Jobs
from ptlive.verify.twins.tables import TablesAfter
from ptlive.verify.twins.used import distinct, used_entries

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from ptlive.access_kind import AccessKind
    from ptlive.analysis.report import Report
    from ptlive.arrays import U64, Bool, Index
    from ptlive.oracle.twin.ask import Replies
    from ptlive.oracle.twin.fork import Fork
    from ptlive.oracle.twin.script import Answers
    from ptlive.paging.access import Verdicts
    from ptlive.paging.graph import Graph
    from ptlive.space import AddressSpace
    from ptlive.verify.twins.jobs import Asked

__all__ = ["ORACLE", "Wanted", "verify_twin"]


def _none() -> U64:
    return np.zeros(0, dtype=np.uint64)


@dataclass(frozen=True)
class Wanted:
    """What the twin is to be asked.

    va: these addresses only, in place of every leaf and hole; strays: addresses, multiples
    of 8, besides; each_frame: each 4K frame inside larger pages; seed: of what is random
    options: that name guest and root in a command; again: a command that asks it all again
    """

    kinds: Sequence[AccessKind]
    va: U64 | None = None
    strays: U64 = field(default_factory=_none)
    each_frame: bool = False
    seed: int = 0
    options: str = ""
    again: str = f"ptlive verify --oracle {ORACLE}"


def verify_twin(
    report: Report,
    space: AddressSpace,
    graph: Graph,
    fork: Fork,
    answered_by: str,
    wanted: Wanted,
    progress: Callable[[int, int], None] = lambda *_: None,
) -> None:
    """Fork the guest, have twins make every access, and fill the report.

    answered_by: the twin's accelerator; progress: told (done, all)

    Raises PtliveError when a twin cannot answer.
    """
    run = _Run(report, space, graph, fork, answered_by, wanted)
    jobs = Jobs(space, graph, wanted.kinds)
    if wanted.va is not None:
        batches = jobs.exactly(space.translate(wanted.va))
        todo: Iterable[tuple[list[Asked], int]] = [(parts, 1) for parts in batches]
        total = len(batches)
    else:
        every = Batches(jobs, graph, wanted.seed, wanted.strays, each_frame=wanted.each_frame)
        if every.shared:
            fault = report.check(ORACLE, answered_by, "fault")
            fault.unchecked["shared: along other paths it was asked"] += every.shared
        if every.dealt:
            fault = report.check(ORACLE, answered_by, "fault")
            reason = "of so many absent entries two kinds of access are made to each, in turn"
            fault.unchecked[reason] += every.dealt * max(len(wanted.kinds) - 2, 0)
        todo, total = every, every.total
    run.tables = TablesAfter(space, graph, jobs.tables)
    done = 0
    progress(done, total)
    for batch, replies in in_turn(run.prepared(todo)):
        run.compare(batch, replies)
        done += batch.count
        progress(done, total)


@dataclass
class _Accesses:
    """One kind of access to some rows of what is asked, as predicted under one PKRU."""

    asked: Asked
    kind: AccessKind
    rows: Index
    verdicts: Verdicts
    comparison: Comparison

    @property
    def allowed(self) -> Index:
        """The rows of accesses that are to happen."""
        happens: Bool = self.verdicts.vector[self.rows] == ALLOWED
        return self.rows[happens]

    @property
    def addresses(self) -> U64:
        """Where to access."""
        return self.asked.addresses(self.rows, write=self.kind.access is Access.WRITE)

    @property
    def homes(self) -> U64:
        """Where writes are to arrive."""
        happens = self.verdicts.vector[self.rows] == ALLOWED
        return np.where(happens, self.asked.arrive(self.rows, write=True), NO_HOME)


@dataclass
class _Batch:
    """What one twin is asked: accesses under one PKRU after the other, of `parts`.

    count: for how many of all questions it stands; slots: the root entries that the
    prober borrows
    """

    turns: list[list[_Accesses]]
    parts: list[Asked]
    count: int
    slots: tuple[int, int]


class _Run:
    """Asks one twin after the other, and compares what each says."""

    tables: TablesAfter

    def __init__(
        self,
        report: Report,
        space: AddressSpace,
        graph: Graph,
        fork: Fork,
        answered_by: str,
        wanted: Wanted,
    ) -> None:
        self._report, self._graph, self._fork = report, graph, fork
        self._by, self._wanted = answered_by, wanted
        self._random = np.random.default_rng(wanted.seed)
        self._turns = []
        for value in pkru.values(space.controls):
            known = space.controls.with_pkru(value)
            options = wanted.options
            if known.pke and " --pkru " not in options:
                options += f" --pkru {value:#x}"
            control = dataclasses.replace(fork.control, pkru=value)
            self._turns.append((dataclasses.replace(space, controls=known), control, options))
        for aspect in ("fault", "cr2", "frame"):
            report.check(ORACLE, answered_by, aspect)
        for aspect in NOT_OBSERVABLE:
            one = report.check(ORACLE, answered_by, aspect, asked=False)
            one.unchecked[f"no effect on an access under {answered_by}"] = report.reached

    def prepared(
        self, todo: Iterable[tuple[list[Asked], int]]
    ) -> Iterator[tuple[_Batch, Callable[[], Replies]]]:
        """Yield what one twin after the other is asked, as predicted, and how to ask it."""
        fork = dataclasses.replace(self._fork, control=self._turns[0][1])
        for parts, count in todo:
            slots = slots_of(self._turns[0][0], [part.translations for part in parts])
            turns = [self._predict(parts, turn, slots) for turn in range(len(self._turns))]
            batch = _Batch(turns, parts, count, slots)
            yield batch, functools.partial(ask, fork, self._jobs(batch))

    def _jobs(self, batch: _Batch) -> TwinJobs:
        turns = batch.turns
        rounds = [
            Round(self._turns[turn][1], _joined(accesses), _joined(accesses, homes=True))
            for turn, accesses in enumerate(turns)
            if turn and accesses
        ]
        reads = [part for part in batch.parts if {k.access for k in part.kinds} != {Access.WRITE}]
        paint = [part.arrive(np.flatnonzero(part.reaches), write=False) for part in reads]
        return TwinJobs(
            addresses=_joined(turns[0]),
            homes=_joined(turns[0], homes=True),
            paint=distinct(np.concatenate([_none(), *paint])),
            tables=self.tables.frames,
            rounds=rounds,
            slots=batch.slots,
        )

    def compare(self, batch: _Batch, replies: Replies) -> None:
        """Compare what one twin answered."""
        turns = batch.turns
        answered = [replies.answers, *replies.rounds]
        asked = [turns[0], *(accesses for accesses in turns[1:] if accesses)]
        reached, written = [_none()], [_none()]
        for accesses, answers in zip(asked, answered, strict=True):
            for one, seen in _split(accesses, answers):
                one.comparison.hold(one.kind, one.verdicts, one.rows, seen)
                reached.append(one.asked.translations.va[one.allowed])
                if one.kind.access is Access.WRITE:
                    written.append(one.asked.translations.entry_pa[one.allowed])
                self._report.accesses[one.kind.name] += one.rows.size
        for part in batch.parts:
            if part.what:
                self._report.addresses[part.what] += part.translations.va.size
        used = used_entries(self._graph, np.concatenate(reached))
        lent = np.isin(used, entries_of(self._turns[0][0], batch.slots))
        if lent.any():  # of a root without absent entries; what is put back has A as before
            reason = "a root entry that the prober borrows"
            self._report.check(ORACLE, self._by, "accessed").unchecked[reason] += int(lent.sum())
            used = used[~lent]
        who = (ORACLE, self._by, f"{self._wanted.again}{self._wanted.options}")
        self.tables.compare(
            self._report, replies.tables, used, distinct(np.concatenate(written)), who
        )

    def _predict(self, parts: list[Asked], turn: int, slots: tuple[int, int]) -> list[_Accesses]:
        """Predict all accesses under the first PKRU; under another those that depend on it."""
        space, _, options = self._turns[turn]
        found = []
        for part in parts:
            comparison = Comparison(self._report, space, part, self._by, options, slots)
            for kind in part.kinds:
                if turn:
                    rows = pkru.depending(part.translations, kind, self._random)
                    if not rows.size:
                        continue
                    verdicts = check(part.translations, space.controls, kind)
                    rows = rows[comparison.askable(verdicts, kind, count=False)[rows]]
                else:
                    verdicts = check(part.translations, space.controls, kind)
                    rows = np.flatnonzero(comparison.askable(verdicts, kind))
                found.append(_Accesses(part, kind, rows, verdicts, comparison))
        return found


def _joined(accesses: list[_Accesses], *, homes: bool = False) -> dict[AccessKind, U64]:
    """Return the addresses of each kind of access (or the homes of each kind of write)."""
    found: dict[AccessKind, list[U64]] = {}
    for one in accesses:
        if not homes:
            found.setdefault(one.kind, []).append(one.addresses)
        elif one.kind.access is Access.WRITE:
            found.setdefault(one.kind, []).append(one.homes)
    return {kind: np.concatenate(columns) for kind, columns in found.items()}


def _split(
    accesses: list[_Accesses], answers: Mapping[AccessKind, Answers]
) -> Iterable[tuple[_Accesses, Answers]]:
    """Yield for each set of accesses the answers to it: the reverse of `_joined`."""
    at = dict.fromkeys(answers, 0)
    for one in accesses:
        first = at[one.kind]
        at[one.kind] = first + one.rows.size
        yield one, answers[one.kind].part(slice(first, at[one.kind]))
