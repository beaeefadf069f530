"""One point of the benchmark: one guest, all that is measured on it."""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from ptlive.errors import PtliveError
from scripts.benchmark import commands, drgn_peer, peers, qemu
from scripts.benchmark.guest import boot
from scripts.benchmark.ours import NUMPY, Ours
from scripts.benchmark.plain_c import PlainC
from scripts.benchmark.questions import Questions
from scripts.benchmark.timing import Times, Way, WrongResultError, measure, since

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from ptlive.arrays import U64
    from scripts.benchmark.commands import Command
    from scripts.benchmark.guest import Subject
    from scripts.benchmark.ours import Verified
    from scripts.benchmark.plain_c import Leaves
    from scripts.benchmark.shapes import Shape
    from scripts.benchmark.timing import Run

C = "plain C"
#: Addresses translated one by one by those who have nothing faster, and in one batch.
SAMPLE, MANY = 4_000, 1_000_000
#: Physical addresses whose mappings are asked for: a frame may have ten of them, each listed.
FRAMES = 100_000
#: What can be measured of a guest, for who wants a part only.
PARTS = ("walks", "translations", "verify", "questions", "commands")
# What gdb reads in a second: with more tables than this, that takes minutes.
_GDB_TABLES = 50_000


@dataclass(frozen=True)
class Options:
    """How to measure.

    turns, seconds: see timing.measure(); limit: seconds for one run of a peer
    gdb_pt_dump, pwndbg: checkouts; drgn: a Python that has it; parts: of PARTS
    """

    turns: int = 5
    seconds: float = 10.0
    limit: float = 120.0
    gdb_pt_dump: Path | None = None
    pwndbg: Path | None = None
    drgn: str | None = None
    parts: tuple[str, ...] = PARTS


@dataclass
class Point:
    """What was measured on one guest.

    leaves: as often as addresses reach them; tables: distinct ones; without: what the guest
    could not map; walks, translations, questions: times; counts: addresses of each of the
    translations
    """

    shape: Shape
    leaves: int
    tables: int
    without: tuple[str, ...]
    walks: Times
    counts: dict[str, int] = field(default_factory=dict)
    translations: Times = field(default_factory=Times)
    questions: Times = field(default_factory=Times)
    verified: Verified | None = None
    commands: list[Command] = field(default_factory=list)

    @property
    def skipped(self) -> dict[str, str]:
        """Why some ways were not gone."""
        return self.walks.skipped | self.translations.skipped | self.questions.skipped

    @property
    def label(self) -> str:
        """What to call it."""
        return f"{self.shape.name}, {self.leaves:,} leaves"


def take(
    shape: Shape,
    leaves: int | None,
    options: Options,
    folder: Path,
    progress: Callable[[str], None],
) -> Point:
    """Boot a guest, measure, and end it.

    Raises PtliveError when it cannot be booted, and WrongResultError when a walk is not as
    the plain one in C.
    """
    progress("booting")
    with boot(shape, leaves, folder) as subject:
        ours = Ours(subject)
        plain = PlainC(folder, ours.pieces, subject.root, subject.levels)
        expected = plain.walk()
        if shape.order and len(expected) < (leaves or shape.leaves):
            raise PtliveError(f"the guest maps {len(expected):,} pages only: {subject.without}")
        tables = plain.distinct_tables()
        parts = options.parts
        ways = _walks(subject, ours, plain, expected, tables, options) if "walks" in parts else []
        walks = measure(ways, turns=options.turns, seconds=options.seconds, progress=progress)
        point = Point(shape, len(expected), tables.size, subject.without, walks)
        if "translations" in parts:
            _translate(point, subject, ours, expected, options, progress)
        if "questions" in parts:
            _ask(point, subject, ours, expected, folder, options, progress)
        if shape.judged and "verify" in parts:
            progress("verify")
            point.verified = ours.verify()
            if point.verified.disagreed:
                raise WrongResultError(f"verify: {point.verified.disagreed} disagreements")
        if "commands" in parts:
            progress("commands")
            point.commands = commands.run(subject, int(expected.va[0]), expected.bytes)
        return point


def _walks(
    subject: Subject,
    ours: Ours,
    plain: PlainC,
    expected: Leaves,
    tables: U64,
    options: Options,
) -> list[Way]:
    """Return all ways to list what is mapped; those that are compared stand side by side."""
    by_source = {way.name: way for way in ours.ways(expected)}
    if tables.size > _GDB_TABLES:
        by_source["gdb"] = _left_out("gdb", f"gdb would read {tables.size} tables for minutes")
    first = ("shared", NUMPY, "proc", "qmp")
    ways = [_plain(plain), *(by_source[name] for name in first if name in by_source)]
    ways += [by_source["stub"], qemu.raw_transfer(subject, tables), by_source["gdb"]]
    ways.append(qemu.info_tlb(subject))
    if options.gdb_pt_dump:
        ways.append(peers.gdb_pt_dump(subject, options.gdb_pt_dump, options.limit))
    if options.pwndbg:
        ways.append(peers.pwndbg(subject, options.pwndbg, options.limit))
    return ways


def _plain(plain: PlainC) -> Way:
    @contextmanager
    def opened() -> Iterator[Run]:
        def run() -> dict[str, float]:
            begun = time.perf_counter()
            plain.walk()
            return {C: since(begun)}

        yield run

    return Way(C, opened)


def _left_out(name: str, why: str) -> Way:
    def opened() -> AbstractContextManager[Run]:
        raise PtliveError(why)

    return Way(name, opened)


def _translate(
    point: Point,
    subject: Subject,
    ours: Ours,
    expected: Leaves,
    options: Options,
    progress: Callable[[str], None],
) -> None:
    """Measure translations of addresses, each in some leaf."""
    rng = np.random.default_rng(0)
    few, few_pa = _some(expected, rng, SAMPLE)
    many, many_pa = _some(expected, rng, MANY)
    asked = qemu.translated(subject, few[:100])
    if asked != few_pa[:100].tolist():
        raise WrongResultError("gva2gpa translates otherwise than the plain walk in C")
    ways = [
        ours.translations("shared", "shared, a batch", few, few_pa),
        ours.translations("stub", "stub, a batch", few, few_pa),
        *qemu.gva2gpa(subject, few),
    ]
    if options.drgn:
        ways.append(drgn_peer.drgn(subject, options.drgn, expected, few))
    point.counts = {way.name: few.size for way in ways}
    million = ours.translations("shared", "shared, a million", many, many_pa)
    point.counts[million.name] = many.size
    point.translations = measure(
        [*ways, million], turns=options.turns, seconds=options.seconds, progress=progress
    )


def _ask(
    point: Point,
    subject: Subject,
    ours: Ours,
    expected: Leaves,
    folder: Path,
    options: Options,
    progress: Callable[[str], None],
) -> None:
    """Measure what is asked of a guest, each beside the bare work."""
    rng = np.random.default_rng(0)
    _, pa = _some(expected, rng, FRAMES)
    ways = Questions(subject, ours, expected, pa, folder).ways()
    if options.gdb_pt_dump:
        peer = peers.gdb_pt_dump(subject, options.gdb_pt_dump, options.limit, writable=True)
        ways.append(peer)
    point.questions = measure(ways, turns=options.turns, seconds=options.seconds, progress=progress)


def _some(leaves: Leaves, rng: np.random.Generator, count: int) -> tuple[U64, U64]:
    """Return random addresses within random leaves, and what they translate to."""
    rows = rng.integers(0, len(leaves), count)
    bits = np.uint64(12) + np.uint64(9) * (leaves.level[rows] - np.uint8(1)).astype(np.uint64)
    offset = rng.integers(0, 1 << 62, count, np.uint64) & ((np.uint64(1) << bits) - np.uint64(1))
    return leaves.va[rows] + offset, leaves.pa[rows] + offset
