"""The root tables in RAM: which address spaces are there.

In four steps, each of which leaves less for the next: frames that look like a root table
(`scan`); of these, those with the upper half of a root that a CPU uses, which are walked
together; their partners, where page tables are isolated; and what is left when all tables
that those walks met are taken away: forgotten tables, and roots of another system, such as a
hypervisor's, which have to be consistent down to the last level.

Nothing is asked of the guest, and nothing is known of its kernel.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from ptlive.analysis.roots import halves, judge
from ptlive.analysis.roots.candidates import Candidates, best_share, groups, pairs
from ptlive.analysis.roots.count import count, covering, walk_within
from ptlive.analysis.roots.frames import Frames
from ptlive.analysis.roots.judge import Below, Facts
from ptlive.analysis.roots.scan import scan
from ptlive.analysis.roots.strangers import strangers
from ptlive.arrays import pieces, u64

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from ptlive.analysis.roots.count import Counts
    from ptlive.arrays import U64, Bool, Index, Memory
    from ptlive.paging.format import Format
    from ptlive.paging.graph import Graph

    Progress = Callable[[str, int, int], None]

# Tables with a known upper half: so many address spaces a guest hardly has, 64 MB of entries.
MOST_RELATED = 1 << 14
# Frames whose contents are looked at: of hostile RAM, in which every frame looks like a root.
MOST_OTHERS = 1 << 14
# Different upper halves of partners: of processes with an LDT, whose entry is their own.
_MOST_REFERENCES = 16


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


@dataclass
class _Search:
    """What the steps of one search share."""

    fmt: Format
    memory: Memory
    frames: Frames
    used: Mapping[int, tuple[int, ...]]
    limits: list[str] = field(default_factory=list)

    def load(self, addresses: U64) -> Candidates:
        """Read tables, as far as they can be read."""
        addresses = np.unique(addresses)
        data, valid = self.memory.read(addresses, self.frames.size)
        return Candidates(self.fmt, addresses[valid], halves.entries(self.fmt, data[valid]))

    def lower(self) -> tuple[U64, U64]:
        """Return the range of the lower half."""
        first = min(self.fmt.windows, key=lambda window: window.va)
        return u64(first.va), u64(first.last_va)


def find_roots(
    fmt: Format,
    memory: Memory,
    stretches: tuple[U64, U64],
    known: Mapping[int, tuple[int, ...]],
    progress: Progress | None = None,
) -> FoundRoots:
    """Find the root tables in stretches of RAM: (first, last), uint64[n], ends included.

    known: root tables that are in use, each with the vCPUs that use it

    Raises PtliveError if a known root lies in no memory.
    """
    search = _Search(fmt, memory, Frames(*stretches, halves.root_bytes(fmt)), known)
    in_use = search.load(u64(*known))
    scanned = scan(fmt, memory, search.frames, list(in_use.entry), progress)
    references = _distinct(list(in_use.upper))
    addresses = np.union1d(scanned.tables, in_use.address)
    related, others = _related(search, addresses, references)
    related, others, references = _with_partners(search, related, others, references)

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
    facts = _facts_of_related(search, related, counts, references, graph)

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


def _with_partners(
    search: _Search, related: Candidates, others: U64, references: list[U64]
) -> tuple[Candidates, U64, list[U64]]:
    """Go on with the other halves of isolated pairs, whose upper halves are other ones."""
    across = related.address ^ np.uint64(search.frames.size)
    together = related.with_(search.load(np.intersect1d(across, others)))
    rows = sorted({row for pair in pairs(together).items() for row in pair})
    uppers = together.upper[np.array(rows, dtype=np.intp)]
    known = {one.tobytes() for one in references}
    new = [one for one in _distinct(list(uppers)) if one.tobytes() not in known][:_MOST_REFERENCES]
    if not new:
        return related, others, references
    more, others = _related(search, others, new)
    return related.with_(more), others, references + new


def _distinct(uppers: Sequence[U64]) -> list[U64]:
    """Return upper halves that have anything, each once."""
    return list({one.tobytes(): one for one in uppers if one.any()}.values())


def _related(search: _Search, addresses: U64, references: Sequence[U64]) -> tuple[Candidates, U64]:
    """Return the tables with a known upper half, or in use, and the addresses of the others."""
    fmt, size = search.fmt, search.frames.size
    kept: list[tuple[U64, U64]] = []
    others, done, many = [np.zeros(0, dtype=np.uint64)], 0, 0
    for data, valid in pieces(search.memory, addresses, size):
        here = addresses[done : done + len(data)]
        done += len(data)
        some = Candidates(fmt, here, halves.entries(fmt, data))
        is_related = np.isin(here, u64(*search.used))
        if references:
            share, used = best_share(some, references)
            is_related |= (share.same > 0) & (2 * share.same >= used)
        is_related &= valid
        many += int(is_related.sum())
        if many <= MOST_RELATED:
            kept.append((here[is_related], some.entry[is_related]))
        others.append(here[~is_related & valid])
    if many > MOST_RELATED:
        search.limits.append(
            f"{many:,} frames share a known kernel half: not all of them were examined"
        )
    entries = 1 << fmt.level(fmt.top).index_bits
    none = (np.zeros(0, dtype=np.uint64), np.zeros((0, entries), dtype=np.uint64))
    columns = list(zip(*[none, *kept], strict=True))
    found = Candidates(fmt, np.concatenate(columns[0]), np.concatenate(columns[1]))
    return found, np.concatenate(others)


def _facts_of_related(
    search: _Search,
    some: Candidates,
    counts: Counts,
    references: Sequence[U64],
    graph: Graph | None,
) -> list[Facts]:
    """Fold equal tables, find pairs, and say what is known of each."""
    if not len(some):
        return []
    mapped = covering(graph, some.address) if graph else np.zeros(len(some), dtype=np.intp)
    in_use = np.isin(some.address, u64(*search.used))
    chosen, copies = _folded(some, in_use, mapped)
    kept = some.take(chosen)
    found = pairs(kept)
    partner = found | {few: many for many, few in found.items()}
    sure = {row for pair in found.items() for row in pair if kept.lower_used[row]}
    shares, used = best_share(kept, references or [np.zeros_like(kept.upper[0])])
    result = []
    for row, at in enumerate(chosen.tolist()):
        other = partner.get(row)
        result.append(
            Facts(
                root=int(some.address[at]),
                vcpus=search.used.get(int(some.address[at]), ()),
                below=_below(counts, at),
                shared=int(shares.same[row]),
                differing=int(shares.differs[row]),
                kernel=int(used[row]),
                mapped=int(mapped[at]),
                partner=None if other is None else int(kept.address[other]),
                partner_sure=row in sure,
                guarded=row in found and _guarded(kept, row, found[row]),
                entrance=row in found.values(),
                copies=copies[row],
                upper=int(some.upper_used[at]),
                lower=int(some.lower_used[at]),
            )
        )
    return result


def _guarded(some: Candidates, many: int, few: int) -> bool:
    """Tell whether the kernel's half may execute nothing of what user mode's half may.

    So user space ends at once when a kernel returns there and forgets to switch CR3.
    """
    used = some.lower[many] != 0
    deny = [right.mask for right in some.fmt.rights if right.set_denies]
    mask = np.uint64(sum(deny))
    kernels, users = some.lower[many][used] & mask, some.lower[few][used] & mask
    return bool(mask) and used.any() and bool((kernels == mask).all() and (users == 0).all())


def _below(counts: Counts, row: int) -> Below | None:
    if not counts.known[row]:
        return None
    return Below(*(int(getattr(counts, name)[row]) for name in Below._fields))


def _folded(some: Candidates, in_use: Bool, mapped: Index) -> tuple[Index, list[tuple[int, ...]]]:
    """Fold tables with the same entries; return the rows that stand for them, and the others.

    Those in use stand for themselves. Of others the one that the kernel maps most often
    does: a freed root looks like the kernel's own, which is in the kernel's image.
    """
    group = groups(some.identity)
    order = np.lexsort((some.address, -mapped, ~in_use, group))
    is_first = np.diff(group[order], prepend=-1) != 0
    stands = is_first | in_use[order]
    chosen = np.sort(order[stands])
    others: dict[int, list[int]] = {}
    for row in order[~stands].tolist():
        others.setdefault(int(group[row]), []).append(int(some.address[row]))
    firsts = {int(group[row]): row for row in order[is_first].tolist()}
    copies = [
        tuple(sorted(others.get(int(group[row]), []))) if firsts[int(group[row])] == row else ()
        for row in chosen.tolist()
    ]
    return chosen, copies


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
