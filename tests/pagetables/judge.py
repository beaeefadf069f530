"""Whether both ways did what the operations mean, looked at from outside.

After each command: what the machines answer is equal, their tables are equal bit by bit, and
of one of them ptlive's walker and a software MMU find what the model says must be there.
What the TLB may still hold is played through: whatever was mapped before is taken to be in it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ptlive.arrays import u64
from ptlive.paging.format import Kind
from ptlive.paging.formats import x86_64
from ptlive.paging.paths import leaves
from ptlive.paging.walk import walk
from tests.pagetables import machine as m
from tests.pagetables.machine import ENOMEM, TABLE_COUNT, Command, Machine, Result
from tests.pagetables.model import A, D, Frames, OutOfFramesError, Page, Space
from tests.reference.levels import software_walk

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from ptlive.arrays import U64
    from ptlive.paging.format import Format
    from ptlive.paging.graph import Graph

PS, PAT_LARGE = 1 << 7, 1 << 12


def format_of(levels: int) -> Format:
    """Return the format, also of numbers of levels that no CPU has."""
    sixth = (x86_64.Row("PML6E", "pgd"),)
    return x86_64.make((*x86_64.ROWS, *sixth)[:levels])


class Judge:
    """Machines that do the same, and what is known of them."""

    def __init__(
        self,
        machines: Sequence[Machine],
        walk_every: int = 1,
        own: Callable[[Space], None] = lambda space: None,
    ) -> None:
        """Begin with spaces in which `own` has mapped what the machines map for themselves."""
        self.machines = machines
        self.levels = machines[0].levels
        assert {machine.levels for machine in machines} == {self.levels}
        self.format = format_of(self.levels)
        frames = Frames(TABLE_COUNT - 2)
        self.spaces = (Space(self.levels, frames), Space(self.levels, frames))
        for space in self.spaces:
            own(space)
        self.active = -1
        self.count = 0
        self._expected: list[dict[int, Page]] = []
        self._seen = u64()
        self._walk_every = walk_every

    def run(self, commands: Iterable[Command]) -> None:
        """Do commands one by one. Raises AssertionError at the first that is not as it must be."""
        for command in commands:
            self.step(command)

    def step(self, command: Command) -> None:
        """Do one command and judge it."""
        if command.op in (m.LOAD, m.STORE):
            self.touch(command)
            return
        self.prime(command)
        before = dict(self.spaces[self.active].pages) if self.active >= 0 else {}
        expected = self._expect(command)
        if command.op == m.SWITCH:
            self.active = command.space
        # As it is before whatever is accessed afterwards sets A and D.
        pages = dict(self.spaces[command.space].pages_in(command.start, command.end))
        results = self.ask(command)
        for result in results[1:]:
            assert result == results[0], "the ways differ in what they say"
        full = command.op == m.WALK and len(results[0].visits) == m.VISITS
        expected = ENOMEM if full else expected
        assert results[0].ret == expected, f"returned {results[0].ret}, not {expected}"
        self._same_tables()
        used = 2 + sum(len(space.tables) for space in self.spaces)
        assert results[0].tables == used, f"{results[0].tables} tables, not {used}"
        if command.op == m.WALK:
            self._visits(command, pages, results[0])
        if command.op != m.SWITCH:
            self._flushes(command, before, results[0])
        self.count += 1
        if self.count % self._walk_every == 0:
            self.look()

    def prime(self, command: Command) -> None:
        """Prepare for a command, before the model has done it."""

    def ask(self, command: Command) -> list[Result]:
        """Have the machines do a command, when the model has; return what each says of it."""
        return [machine.one(command) for machine in self.machines]

    def look(self) -> None:
        """Look at all tables of the last machine, if they are others than last time."""
        machine = self.machines[-1]
        pages = [dict(space.pages) for space in self.spaces]
        if pages == self._expected and np.array_equal(machine.area(), self._seen):
            return
        self._expected, self._seen = pages, machine.area().copy()
        for root, space in zip(machine.roots, self.spaces, strict=True):
            graph = walk(self.format, machine.ram, u64(root))
            self._compare(graph, space)

    def _expect(self, command: Command) -> int:
        """Do it in the model; return what the machine must return."""
        c, space = command, self.spaces[command.space]
        actions: dict[int, Callable[[], int | None]] = {
            m.UNMAP: lambda: space.unmap(c.start, c.end),
            m.COPY: lambda: space.copy(self.spaces[1 - c.space], c.start, c.end),
            m.REMAP: lambda: space.remap(c.start, c.end, c.pa, c.prot, c.max_shift),
            m.PROTECT: lambda: space.protect(c.start, c.end, c.prot),
            m.LIMIT: lambda: self._limit(c.start),
        }
        try:
            return actions.get(c.op, lambda: 0)() or 0
        except OutOfFramesError:
            return ENOMEM

    def _limit(self, more: int) -> None:
        used = 2 + sum(len(space.tables) for space in self.spaces)
        self.spaces[0].frames.left = min(more, TABLE_COUNT - used)

    def _same_tables(self) -> None:
        first = self.machines[0].area()
        for other in self.machines[1:]:
            if not np.array_equal(first, other.area()):
                at = int(np.flatnonzero(first != other.area())[0]) * 8 + m.TABLES
                raise AssertionError(f"the tables differ at {at:#x}")

    def _compare(self, graph: Graph, space: Space) -> None:
        """Hold what ptlive found against the model."""
        chunks = list(leaves(graph))
        found = [
            np.concatenate([u64(), *(chunk.column(name) for chunk in chunks)])
            for name in ("va", "bits", "entry")
        ]
        expected = columns(space.pages)
        if not all(map(np.array_equal, found, expected)):
            here, there = ({*map(tuple, np.stack(rows, 1).tolist())} for rows in (found, expected))
            wrong = [tuple(map(hex, row)) for row in sorted(here ^ there)[:3]]
            raise AssertionError(f"pages differ: {wrong}")
        for floor in graph.floors:
            assert not set(floor.kind.tolist()) & {Kind.MALFORMED, Kind.UNREADABLE}
            if floor.lvl < self.levels:
                tables = sum(table.lvl == floor.lvl - 1 for table in space.tables)
                assert len(set(floor.nodes.table.tolist())) == tables

    def _visits(self, command: Command, pages: dict[int, Page], result: Result) -> None:
        """Hold what a walk was shown against the model: all of the range, once, in order."""
        space, at = self.spaces[command.space], command.start
        for addr, after, entry, shift in result.visits:
            assert addr == at, f"{at:#x} was not shown"
            at = after or 1 << 64
            if not entry:
                lvl = space.depth(addr)
                # The depth counts names from the top, folded levels too.
                names = max(5, self.levels) - 1
                assert shift == (0 if lvl == self.levels - 1 else names - lvl)
                continue
            page = pages.pop(addr & -(1 << shift))
            assert (entry, shift) == (entry_of(page), page.shift), f"at {addr:#x}: {entry:#x}"
        assert len(result.visits) == m.VISITS or at == command.end
        assert at < command.end or not pages, f"not shown: {sorted(map(hex, pages))[:3]}"

    def _flushes(self, command: Command, before: dict[int, Page], result: Result) -> None:
        """Play through what the TLB holds: nothing that is wrong, and no flush in vain."""
        after = self.spaces[self.active].pages if self.active >= 0 else {}
        # Also what was split: it must not be in the TLB in two sizes.
        changed = {
            va
            for va, page in before.items()
            if not (now := after.get(va))
            or (now.shift, *_known(now)) != (page.shift, *_known(page))
        }
        # What is unmapped first is flushed, even if the very same comes back.
        replaced = command.op in (m.REMAP, m.COPY)
        again = {
            va
            for va, page in before.items()
            if replaced and va < command.end and va + (1 << page.shift) > command.start
        }
        emptied = 1 - command.space if command.op == m.COPY else command.space
        if emptied == self.active:
            frees(result.events)
        flushed = [value for what, value in result.events if what == m.FLUSH_ONE]
        everything = any(what == m.FLUSH_ALL for what, _ in result.events)
        dropped = {page for page in map(_Within(before), flushed) if page is not None}
        kept = set() if everything else changed - dropped
        stale = {va for va in kept if self._differs(va, before[va])}
        assert not stale, f"stale in the TLB: {sorted(map(hex, stale))[:3]}"
        assert dropped <= changed | again, (
            f"flushed for nothing: {sorted(map(hex, dropped - changed - again))}"
        )

    def _differs(self, va: int, page: Page) -> bool:
        """Tell whether a page that is no longer as it was is translated otherwise somewhere."""
        space = self.spaces[self.active]
        now = space.pages_in(va, va + (1 << page.shift))
        alike = [at for at, p in now if _known(p, at) == _known(page, va)]
        return sum(1 << space.pages[at].shift for at in alike) < 1 << page.shift

    def touch(self, command: Command) -> None:
        """Do in memory what an MMU does at an access: A, and D if it writes."""
        write = command.op == m.STORE
        space = self.spaces[command.space]
        page = dict(space.pages_in(command.start, command.start + 1))
        for machine in self.machines:
            root = machine.roots[command.space]
            found = software_walk(self.levels, machine.ram.qword, root, command.start)
            assert (found is None) == (not page)
            if found:
                (va, of) = next(iter(page.items()))
                assert found.pa == of.pa + command.start - va
                allowed = not write or found.entry & 2
                bits = (0x20 | (0x40 if write else 0)) if allowed else 0
                machine.ram.write(found.entry_pa, found.entry | bits)
        for va, of in page.items():
            bits = (0x20 | (0x40 if write else 0)) if not write or of.flags & 2 else 0
            space.pages[va] = of._replace(flags=of.flags | bits)


def frees(events: Sequence[tuple[int, int]]) -> None:
    """Hold the order: the MMU forgets a table before its frame may be used again.

    So a flush comes right before tables are free, and it is not that of a split, which comes right
    after the split's own table and was before anything else was taken out.
    """
    kinds = [what for what, _ in events]
    made = {value for what, value in events if what == m.TABLE_ALLOC}
    for at, (what, table) in enumerate(events):
        if what != m.TABLE_FREE or table in made:
            continue
        before = at
        while before and kinds[before] == m.TABLE_FREE:
            before -= 1
        of_a_split = before > 0 and kinds[before - 1] == m.TABLE_ALLOC
        flushed = kinds[before] in (m.FLUSH_ONE, m.FLUSH_ALL) and not of_a_split
        assert flushed, f"the table at {table:#x} was free before it was flushed"


class _Within:
    """The page of a dictionary that an address lies in."""

    def __init__(self, pages: dict[int, Page]) -> None:
        self._pages = pages

    def __call__(self, va: int) -> int | None:
        for shift in (12, 21, 30):
            page = self._pages.get(va & -(1 << shift))
            if page and page.shift == shift:
                return va & -(1 << shift)
        return None


def _known(page: Page, va: int = 0) -> tuple[int, int]:
    """Return what the TLB knows of a page and must not keep: where it leads, and the rights."""
    return (page.pa - va, page.flags & ~(A | D))


def columns(pages: dict[int, Page]) -> tuple[U64, U64, U64]:
    """Return the pages' addresses, log2 of their sizes, and entries; ascending."""
    va = np.fromiter(pages, np.uint64, len(pages))
    shift, pa, flags = np.array([*pages.values()], np.uint64).reshape(-1, 3).T
    ps, large = np.uint64(PS), shift > 12
    pat = np.where(flags & ps, np.uint64(PAT_LARGE), np.uint64(0))
    entry = pa | np.where(large, flags & ~ps | ps | pat, flags)
    order = np.argsort(va)
    return va[order], shift[order], entry[order]


def entry_of(page: Page) -> int:
    """Return the entry of a page: of a large one PS is set, and PAT lies elsewhere."""
    if page.shift == 12:
        return page.pa | page.flags
    return page.pa | page.flags & ~PS | PS | (PAT_LARGE if page.flags & PS else 0)
