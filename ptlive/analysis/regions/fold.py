"""Regions of shared tables as rows that repeat, before what is shared is multiplied.

A row in the middle of a table stands alone wherever the table is reached: nothing can be
its neighbour. Only the first and the last row of a table may join what stands beside it
there; where they do, they are made apart, each where it stands.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ptlive.analysis.regions.repeat import (
    LEAST,
    Repeat,
    Repeats,
    Runs,
    runs,
    without_first,
    without_last,
)
from ptlive.analysis.regions.rows import Cuts, Rows, segment
from ptlive.arrays import changes
from ptlive.paging.graph import ranges

if TYPE_CHECKING:
    from ptlive.arrays import U64, Bool, Index

LIMIT = 1 << 22


class Edges(NamedTuple):
    """Entries that refer to tables: of which node, to which, and where they begin and end."""

    owner: Index
    child: Index
    offset: U64
    last: U64

    def take(self, some: Index | Bool) -> Edges:
        """Return some of them."""
        return Edges(self.owner[some], self.child[some], self.offset[some], self.last[some])


class TooManyError(Exception):
    """There would be more rows than `LIMIT`; owner: the node that has the most of them."""

    def __init__(self, owner: int, rows: int) -> None:
        """Say whose they are, and how many."""
        super().__init__(f"{rows} rows")
        self.owner, self.rows = owner, rows


def reached(rows: Rows, edges: Edges) -> Rows:
    """Return the rows of what each edge refers to, as rows of its owner at its offset.

    Raises TooManyError if they are more than `LIMIT`.
    """
    begin, count = _range(rows, edges.child)
    total = int(count.sum())
    if total > LIMIT:
        each = np.bincount(edges.owner, weights=count)
        raise TooManyError(int(each.argmax()), int(each.max()))
    owner, offset = np.repeat(edges.owner, count), np.repeat(edges.offset, count)
    once = owner.size == len(rows) and (begin[1:] == (begin + count)[:-1]).all()
    if once and not begin[:1].any():
        return rows.moved(owner, offset)  # as in a tree: each once, and in order
    return rows.take(ranges(begin, count)).moved(owner, offset)


def folded(
    rows: Rows, edges: Edges, own: list[Rows], repeats: Repeats, split_pa: bool, cuts: Cuts
) -> list[Rows]:
    """Return what `reached` does, with what repeats at equal distances as one row.

    own: rows that stand beside what the edges refer to, as a table's own leaves do
    """
    some = _range(rows, edges.child)[1] > 0
    edges = edges.take(some)
    if not edges.child.size:
        return []
    if not rows.repeat.any() and np.bincount(edges.child).max() < LEAST:
        return [reached(rows, edges)]
    order, group = _grouped(edges, cuts)
    found = runs(group, edges.offset[order])
    irregular = np.zeros(edges.child.size, dtype=np.bool_)
    if int(_range(rows, edges.child[order[found.first]])[1].sum()) > LIMIT:
        # Better a row that does not say where it repeats than none.
        found = _whole(group, found)
        irregular = np.repeat((found.times > 1) & (found.stride == 0), found.times)
        irregular[order] = irregular.copy()
    heads, tails = _ends(rows, edges, own, repeats, split_pa, irregular)
    rows, apart = _peeled(rows, heads, tails, repeats)
    first = order[found.first]
    kept = rows.take(~apart)
    whole = reached(kept, edges.take(first))
    count = _range(kept, edges.child[first])[1]
    times, stride = np.repeat(found.times, count), np.repeat(found.stride, count)
    repeat = whole.repeat.copy()
    again = np.flatnonzero(times > 1)
    repeat[again] = repeats.outer(repeat[again], times[again], stride[again])
    return [whole.repeated(repeat), reached(rows.take(apart), edges)]


def fold_equal(rows: Rows, repeats: Repeats, cuts: Cuts) -> Rows:
    """Fold rows, sorted, that are equal but for their addresses, at equal distances.

    Their frames are the same: so entries of one table may repeat as well.
    """
    key = rows.pa + rows.owner.astype(np.uint64) * np.uint64(0x9E37_79B9_7F4A_7C15)
    several = np.sort(key)
    several = several[LEAST - 1 :][several[LEAST - 1 :] == several[: 1 - LEAST]]
    if not several.size:
        return rows
    chosen = np.flatnonzero(np.isin(key, several))
    some = rows.take(chosen)
    columns = [
        some.owner,
        segment(cuts, some.owner, some.va),
        some.last_va - some.va,
        some.repeat,
        *(getattr(some, name) for name in _ALIKE),
        some.last_pa,
        some.contiguous,
        *some.pages.T,
    ]
    order = np.lexsort((some.va, *columns[::-1]))
    new = changes(*(column[order] for column in columns))
    found = runs(np.cumsum(new), some.va[order])
    first = chosen[order[found.first]]
    kept = np.ones(len(rows), dtype=np.bool_)
    kept[chosen] = False
    kept[first] = True
    repeat = rows.repeat.copy()
    again = found.times > 1
    repeat[first[again]] = repeats.outer(
        repeat[first[again]], found.times[again], found.stride[again]
    )
    return rows.repeated(repeat).take(kept)


_ALIKE = ("rights", "attributes", "target", "pa")


def _range(rows: Rows, node: Index) -> tuple[Index, Index]:
    """Return where the rows of each node begin, and how many there are."""
    begin = np.searchsorted(rows.owner, node)
    return begin, np.searchsorted(rows.owner, node, side="right") - begin


def _grouped(edges: Edges, cuts: Cuts) -> tuple[Index, Index]:
    """Order edges by owner and what they refer to; return that, and a number for each group.

    What lies on two sides of a cut is not of one group; what a cut goes through is alone.
    """
    before = segment(cuts, edges.owner, edges.offset)
    crossed = segment(cuts, edges.owner, edges.last) != before
    order = np.lexsort((edges.offset, edges.child, before, edges.owner))
    new = crossed[order] | changes(*(c[order] for c in (edges.owner, before, edges.child)))
    new[1:] |= crossed[order[:-1]]
    return order, np.cumsum(new)


def _whole(group: Index, found: Runs) -> Runs:
    """Make one run of each group, of stride 0 where the distances differ."""
    first = np.flatnonzero(np.diff(group, prepend=-1))
    times = np.diff(np.append(first, group.size))
    of = np.searchsorted(found.first, first)
    return Runs(first, times, np.where(found.times[of] == times, found.stride[of], np.uint64(0)))


def _ends(
    rows: Rows, edges: Edges, own: list[Rows], repeats: Repeats, split_pa: bool, irregular: Bool
) -> tuple[Index, Index]:
    """Return the first rows of tables, and the last ones, that join what stands beside them."""
    end = rows.last_va + repeats.reach[rows.repeat]
    by_end = np.lexsort((end, rows.owner))
    begin, count = _range(rows, edges.child)
    head, tail = begin, by_end[begin + count - 1]
    # What ends somewhere, and then what begins there: edges of tables, then their own rows.
    size = edges.owner.size
    owner = np.concatenate([edges.owner, *(each.owner for each in own)])
    ends = np.concatenate([edges.offset + end[tail], *(each.last_va for each in own)])
    begins = np.concatenate([edges.offset + rows.va[head], *(each.va for each in own)])
    both = np.concatenate([ends + np.uint64(1), begins])
    owners = np.concatenate([owner, owner])
    is_begin = np.arange(both.size) >= ends.size
    order = np.lexsort((is_begin, both, owners))
    left, right = order[:-1], order[1:]
    meet = ~is_begin[left] & is_begin[right] & (both[left] != 0)
    meet &= (both[left] == both[right]) & (owners[left] == owners[right])
    left, right = left[meet], right[meet] - ends.size
    last_rows, first_rows = _joined(rows, tail, own), _joined(rows, head, own)
    alike = np.ones(left.size, dtype=np.bool_)
    for name in ("rights", "attributes", "target"):
        alike &= last_rows[name][left] == first_rows[name][right]
    if split_pa:
        alike &= last_rows["last_pa"][left] + np.uint64(1) == first_rows["pa"][right]
    left, right = left[alike], right[alike]
    heads = np.concatenate([head[right[right < size]], head[irregular]])
    tails = np.concatenate([tail[left[left < size]], tail[irregular]])
    return np.unique(heads), np.unique(tails)


def _joined(rows: Rows, chosen: Index, own: list[Rows]) -> dict[str, U64]:
    """Return columns of some rows, followed by those of others."""
    names = ("rights", "attributes", "target", "pa", "last_pa")
    return {
        name: np.concatenate([getattr(rows, name)[chosen], *(getattr(o, name) for o in own)])
        for name in names
    }


def _peeled(rows: Rows, heads: Index, tails: Index, repeats: Repeats) -> tuple[Rows, Bool]:
    """Take the first of heads and the last of tails apart; return the rows, and which are."""
    apart = np.zeros(len(rows), dtype=np.bool_)
    both = np.union1d(heads, tails)
    apart[both[rows.repeat[both] == 0]] = True
    pieces: list[tuple[int, int, Repeat, bool]] = []  # of which row, moved up, repeat, apart
    is_head, is_tail = set(heads.tolist()), set(tails.tolist())
    gone = []
    for row in both[rows.repeat[both] != 0].tolist():
        repeat = repeats.all[rows.repeat[row]]
        if not all(stride for _, stride in repeat):
            continue  # from the middle of a table below: it touches nothing
        gone.append(row)
        rest: list[tuple[int, Repeat]] = [(0, repeat)]
        if row in is_head:
            rest = without_first(repeat)
            pieces.append((row, 0, (), True))
        if row in is_tail:
            up, last = rest.pop()
            reach = sum((count - 1) * stride for count, stride in last)
            pieces.append((row, up + reach, (), True))
            rest += [(up + further, piece) for further, piece in without_last(last)]
        pieces += [(row, up, piece, False) for up, piece in rest]
    if not gone:
        return rows, apart
    kept = np.setdiff1d(np.arange(len(rows)), np.array(gone))
    chosen = np.concatenate([kept, np.array([row for row, *_ in pieces], dtype=np.intp)])
    by = np.zeros(chosen.size, dtype=np.uint64)
    by[kept.size :] = [up for _, up, *_ in pieces]
    number = rows.repeat[chosen]
    number[kept.size :] = [repeats.number(piece) for *_, piece, _ in pieces]
    moved_rows = rows.take(chosen)
    moved_rows = moved_rows.moved(moved_rows.owner, by).repeated(number)
    mark = np.concatenate([apart[kept], np.array([single for *_, single in pieces])])
    order = np.lexsort((moved_rows.va, moved_rows.owner))
    return moved_rows.take(order), mark[order]
