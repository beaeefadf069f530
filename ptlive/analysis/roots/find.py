"""The root tables in RAM: which address spaces are there.

In four steps, each of which leaves less for the next: frames that look like a root table
(`scan`); of these, those with the upper half of a root that a CPU uses, which are walked
together; their partners, where page tables are isolated; and what is left when all tables
that those walks met are taken away: forgotten tables, and roots of another system, such as a
hypervisor's, which have to be consistent down to the last level.

Nothing is asked of the guest, and nothing is known of its kernel.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ptlive.analysis.roots import halves, judge
from ptlive.analysis.roots.count import count, walk_within
from ptlive.analysis.roots.frames import Frames
from ptlive.analysis.roots.related import Search, distinct, facts_of, related_to, with_partners
from ptlive.analysis.roots.scan import scan
from ptlive.analysis.roots.strangers import strangers
from ptlive.arrays import u64

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from ptlive.analysis.roots.judge import Below, Facts
    from ptlive.arrays import U64, Memory
    from ptlive.paging.format import Format

    Progress = Callable[[str, int, int], None]

# Frames whose contents are looked at: of hostile RAM, in which every frame looks like a root.
MOST_OTHERS = 1 << 14


@dataclass(frozen=True)
class FoundRoot:
    """One root table, with the reasons why it is thought to be one.

    number: as `ptlive roots` numbers them; kind: see `judge`; below: what its lower half
    has; vcpus: those that use it; partner: the other half of an isolated pair; copies:
    tables with the same entries; upper, lower: how many entries of its halves are present
    """

    number: int
    root: int
    kind: str
    confidence: float
    evidence: tuple[str, ...]
    below: Below | None
    vcpus: tuple[int, ...]
    partner: int | None
    copies: tuple[int, ...]
    upper: int
    lower: int

    @property
    def shown(self) -> bool:
        """Whether it is listed unless all are asked for."""
        return self.confidence >= judge.DEFAULT


@dataclass(frozen=True)
class FoundRoots:
    """All that were found, by number; frames looked at, of so many; what bounds cut off."""

    roots: list[FoundRoot]
    looked: int
    of: int
    limits: tuple[str, ...] = ()


def find_roots(
    fmt: Format,
    memory: Memory,
    stretches: tuple[U64, U64],
    known: Mapping[int, tuple[int, ...]],
    progress: Progress | None = None,
) -> FoundRoots:
    """Find the root tables in stretches of RAM: (first, last), uint64[n], ends included.

    known: root tables that are in use, each with the vCPUs that use it; what lies in no
    memory is left out
    """
    search = Search(fmt, memory, Frames(*stretches, halves.root_bytes(fmt)), known)
    in_use = search.load(u64(*known))
    scanned = scan(fmt, memory, search.frames, list(in_use.entry), progress)
    references = distinct(list(in_use.upper))
    addresses = np.union1d(scanned.tables, in_use.address)
    related, others = related_to(search, addresses, references)
    related, others, references = with_partners(search, related, others, references)

    # Of an isolated pair user mode's half has little of the kernel.
    beside = np.intersect1d(in_use.address ^ np.uint64(search.frames.size), related.address)
    graph = walk_within(fmt, memory, np.union1d(in_use.address, beside))
    if graph is None:
        search.limits.append("what is in use has too many tables: kernel tables may be listed")
    floors = graph.floors[1:] if graph else []
    tables = np.concatenate([beside[:0], *(floor.nodes.table for floor in floors)])
    # What a root in use has below it is no root, unless a vCPU uses it as one.
    below = np.isin(related.address, tables) & ~np.isin(related.address, in_use.address)
    related = related.take(~below)
    counts = count(fmt, memory, search.frames, related.address, search.lower())
    if not counts.known.all():
        search.limits.append("some address spaces have too many tables to count what they map")
    facts = facts_of(search, related, counts, references, graph)

    met = np.concatenate([counts.visited, related.address, tables])
    others = others[~np.isin(others, met)]
    if others.size > MOST_OTHERS:
        search.limits.append(
            f"{others.size:,} frames look like root tables: the first {MOST_OTHERS:,} were examined"
        )
        others = others[:MOST_OTHERS]
    strange, told = strangers(fmt, memory, search.frames, others)
    search.limits += told
    return FoundRoots(
        _numbered([*facts, *strange], known), scanned.looked, scanned.of, tuple(search.limits)
    )


def _numbered(facts: Sequence[Facts], known: Mapping[int, tuple[int, ...]]) -> list[FoundRoot]:
    """Return the roots with numbers: those in use, by vCPU, then others by address.

    What is listed only when it is asked for comes last, so that no number depends on that.
    """
    first = {root: place for place, root in enumerate(known)}

    def place(one: Facts) -> tuple[int, bool, int]:
        hidden = judge.confidence_of(one) < judge.DEFAULT
        return first.get(one.root, len(first)), hidden, one.root

    return [
        FoundRoot(
            number=number,
            root=one.root,
            kind=judge.kind_of(one),
            confidence=judge.confidence_of(one),
            evidence=tuple(judge.evidence(one)),
            below=one.below,
            vcpus=one.vcpus,
            partner=one.partner,
            copies=one.copies,
            upper=one.upper,
            lower=one.lower,
        )
        for number, one in enumerate(sorted(facts, key=place))
    ]
