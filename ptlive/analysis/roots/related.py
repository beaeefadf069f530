"""Roots of one kernel: those with the upper half of one that a CPU uses, and their partners."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from ptlive.analysis.roots import halves
from ptlive.analysis.roots.candidates import Candidates, best_share, groups, pairs
from ptlive.analysis.roots.count import Covered, covering
from ptlive.analysis.roots.judge import Below, Facts
from ptlive.arrays import pieces, u64

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ptlive.analysis.roots.count import Counts
    from ptlive.analysis.roots.frames import Frames
    from ptlive.arrays import U64, Bool, Index, Memory
    from ptlive.paging.format import Format
    from ptlive.paging.graph import Graph

# Tables with a known upper half: so many address spaces a guest hardly has, 64 MB of entries.
MOST_RELATED = 1 << 14
# Different upper halves of partners: of processes with an LDT, whose entry is their own.
_MOST_REFERENCES = 16


@dataclass
class Search:
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


def related_to(search: Search, addresses: U64, references: Sequence[U64]) -> tuple[Candidates, U64]:
    """Return the tables with a known upper half, or in use, and the addresses of the others."""
    fmt, size = search.fmt, search.frames.size
    kept: list[tuple[U64, U64]] = []
    others, done, many = [np.zeros(0, dtype=np.uint64)], 0, 0
    for data, valid in pieces(search.memory, addresses, size):
        here = addresses[done : done + len(data)]
        done += len(data)
        some = Candidates(fmt, here, halves.entries(fmt, data))
        is_related = np.isin(here, u64(*search.used))
        for one in references:
            used = np.flatnonzero(one)
            alike = some.identity_at(used + halves.split(fmt)) == one[used]
            is_related |= 2 * np.count_nonzero(alike, axis=1) >= used.size
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


def with_partners(
    search: Search, related: Candidates, others: U64, references: list[U64]
) -> tuple[Candidates, U64, list[U64]]:
    """Go on with the other halves of isolated pairs, whose upper halves are other ones."""
    across = related.address ^ np.uint64(search.frames.size)
    together = related.with_(search.load(np.intersect1d(across, others)))
    rows = sorted({row for pair in pairs(together).items() for row in pair})
    uppers = together.upper[np.array(rows, dtype=np.intp)]
    known = {one.tobytes() for one in references}
    new = [one for one in distinct(list(uppers)) if one.tobytes() not in known][:_MOST_REFERENCES]
    if not new:
        return related, others, references
    more, others = related_to(search, others, new)
    return related.with_(more), others, references + new


def distinct(uppers: Sequence[U64]) -> list[U64]:
    """Return upper halves that have anything, each once."""
    return list({one.tobytes(): one for one in uppers if one.any()}.values())


def facts_of(
    search: Search,
    some: Candidates,
    counts: Counts,
    references: Sequence[U64],
    graph: Graph | None,
) -> list[Facts]:
    """Fold equal tables, find pairs, and say what is known of each."""
    if not len(some):
        return []
    nowhere = np.zeros(len(some), dtype=np.intp)
    covered = covering(graph, some.address) if graph else Covered(nowhere, nowhere)
    in_use = np.isin(some.address, u64(*search.used))
    chosen, copies = _folded(some, in_use, covered)
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
                mapped=int(covered.times[at]),
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


def _folded(
    some: Candidates, in_use: Bool, covered: Covered
) -> tuple[Index, list[tuple[int, ...]]]:
    """Fold tables with the same entries; return the rows that stand for them, and the others.

    Those in use stand for themselves. Of others the one that the kernel maps most often
    does: a freed root looks like the kernel's own, which is in the kernel's image. So may the
    freed one be, in what was given back of the gaps between the image's sections (Linux,
    mark_rodata_ro) or behind its data (free_initmem): gaps are split off from the sections'
    large pages, and the rest lies behind. A copy of a table that refers to itself still refers
    to that one.
    """
    group = groups(halves.identity(some.fmt, some.entry))
    order = np.lexsort((some.address, -covered.lvl, -covered.times, ~in_use, group))
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
