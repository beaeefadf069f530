"""Tables that may be roots, side by side: equal ones, pairs, and those of one family."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from ptlive.analysis.roots import halves

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ptlive.analysis.roots.halves import Share
    from ptlive.arrays import U64, Bool, Index
    from ptlive.paging.format import Format


@dataclass(frozen=True, eq=False)
class Candidates:
    """Tables with their entries: address uint64[n], ascending; entry uint64[n, m]."""

    fmt: Format
    address: U64
    entry: U64

    def __len__(self) -> int:
        return self.address.size

    def take(self, rows: Index | Bool) -> Candidates:
        """Return some of them."""
        return Candidates(self.fmt, self.address[rows], self.entry[rows])

    def with_(self, more: Candidates) -> Candidates:
        """Return these and others, none of which is among them, in order."""
        address = np.concatenate([self.address, more.address])
        order = np.argsort(address)
        return Candidates(self.fmt, address[order], np.concatenate([self.entry, more.entry])[order])

    @cached_property
    def identity(self) -> U64:
        """What makes each entry what it is, see `halves.identity`.

        Tables that refer to themselves (for a window on the tables) are alike in that.
        """
        return self.identity_at(np.arange(self.entry.shape[1]))

    def identity_at(self, columns: Index) -> U64:
        """Return `identity` of the entries in some columns."""
        entry = self.entry[:, columns]
        table = self.fmt.level(self.fmt.top).table_address(entry)
        own = np.where(table == self.address[:, None], table, np.uint64(0))
        return halves.identity(self.fmt, entry) & ~own

    @property
    def lower(self) -> U64:
        """The identity of the lower half's entries."""
        return self.identity[:, : halves.split(self.fmt)]

    @property
    def upper(self) -> U64:
        """The identity of the upper half's entries: where a kernel is, if there is one."""
        return self.identity[:, halves.split(self.fmt) :]

    @cached_property
    def lower_used(self) -> Index:
        """How many entries of each lower half are present."""
        used: Index = np.count_nonzero(self.lower, axis=1)
        return used

    @cached_property
    def upper_used(self) -> Index:
        """How many entries of each upper half are present."""
        used: Index = np.count_nonzero(self.upper, axis=1)
        return used

    def row_of(self, addresses: U64) -> Index:
        """Return the row of each address, -1 for none."""
        if not len(self):
            return np.full(addresses.size, -1, dtype=np.intp)
        at = np.minimum(np.searchsorted(self.address, addresses), len(self) - 1)
        return np.where(self.address[at] == addresses, at, -1)


def groups(rows: U64) -> Index:
    """Return a number for each row of uint64[n, m], the same for equal rows."""
    if not rows.size:
        return np.zeros(len(rows), dtype=np.intp)
    whole = np.ascontiguousarray(rows).view(np.dtype((np.void, 8 * rows.shape[1]))).reshape(-1)
    _, which = np.unique(whole, return_inverse=True)
    return which.reshape(-1).astype(np.intp, copy=False)


def best_share(some: Candidates, references: Sequence[U64]) -> tuple[Share, Index]:
    """Compare upper halves with the reference that each is most alike.

    references: upper halves, as `Candidates.upper` has them. Returns the comparison, and
    how many entries that reference has.
    """
    shares = [halves.compare(some.upper, one) for one in references]
    used = np.array([np.count_nonzero(one) for one in references], dtype=np.intp)
    alike = np.stack([2 * one.same - used[n] for n, one in enumerate(shares)])
    best = alike.argmax(axis=0)
    rows = np.arange(len(some))
    columns = (np.stack(column)[best, rows] for column in zip(*shares, strict=True))
    return halves.Share(*columns), used[best]


def pairs(some: Candidates) -> dict[int, int]:
    """Find pairs of roots of which one has the whole kernel and the other only its entrance.

    Page-table isolation (Linux: Documentation/arch/x86/pti.rst; KAISER and KVA shadow
    elsewhere) gives each process two roots whose lower halves refer to the same tables.
    Linux has the two in adjacent frames, the kernel's being the even one; those of
    processes without user memory are known by that, once another pair is.

    Returns rows, of the one with the kernel to the one without.
    """
    found: dict[int, int] = {}
    low = halves.tables(some.fmt, some.entry[:, : halves.split(some.fmt)])
    used = np.flatnonzero(some.lower_used > 0)
    group = groups(low[used])
    order = np.argsort(group, kind="stable")
    starts = np.flatnonzero(np.diff(group[order], prepend=-1))
    sizes = np.diff(np.append(starts, group.size))
    for start in starts[sizes == 2].tolist():
        one, other = used[order[start : start + 2]].tolist()
        _add_pair(some, found, one, other)
    size = halves.root_bytes(some.fmt)
    entrances = {some.upper[row].tobytes() for row in found.values()}
    empty = np.flatnonzero(some.lower_used == 0)
    across = some.row_of(some.address[empty] ^ np.uint64(size))
    for one, other in zip(empty.tolist(), across.tolist(), strict=True):
        if other > one and some.lower_used[other] == 0:
            few = min(one, other, key=lambda row: int(some.upper_used[row]))
            if some.upper[few].tobytes() in entrances:
                _add_pair(some, found, one, other)
    return found


def _add_pair(some: Candidates, found: dict[int, int], one: int, other: int) -> None:
    few, many = sorted((one, other), key=lambda row: int(some.upper_used[row]))
    if some.upper_used[few] < some.upper_used[many]:
        found[many] = few
