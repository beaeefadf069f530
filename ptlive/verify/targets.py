"""Which addresses to ask about: each leaf, each hole, and which of them if there are too many."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ptlive.paging import fields
from ptlive.paging.format import Kind
from ptlive.paging.paths import Paths, holes, leaves

if TYPE_CHECKING:
    from ptlive.arrays import U64, Index
    from ptlive.paging.graph import Graph

#: Leaves and holes looked at in order to choose; beyond that, the rest is not looked at.
LIMIT = 1 << 20


@dataclass(frozen=True, eq=False)
class Targets:
    """Addresses to ask about, uint64[n], and how many entries they were chosen from."""

    va: U64
    entries: int


def choose(graph: Graph, count: int, seed: int) -> Targets:
    """Choose an address in each of at most `count` leaves and holes.

    Where there are more, every class of entries (level, kind, rights,
    attributes) is drawn from in turn, so that a rare one is not missed among a
    million alike. In a leaf any multiple of 8 may be chosen, in a hole too.
    """
    random = np.random.default_rng(seed)
    found = [
        Paths.concatenate(c) for c in map(list, (leaves(graph, LIMIT), holes(graph, LIMIT))) if c
    ]
    if not found:
        return Targets(np.zeros(0, dtype=np.uint64), 0)
    paths = Paths.concatenate(found)
    chosen = _draw(_classes(graph, paths), count, random)
    first, last = paths.va[chosen], paths.last_va[chosen]
    words = (last - first) >> np.uint64(3)
    # One word less than there are, so that what is probed lies well inside the page.
    offset = (random.random(chosen.size) * words.astype(np.float64)).astype(np.uint64)
    va = np.sort(first + np.minimum(offset, words - np.uint64(1)) * np.uint64(8))
    return Targets(va, graph.reached(*Kind) - graph.reached(Kind.TABLE))


def _classes(graph: Graph, paths: Paths) -> Index:
    """Return a number for each path; equal numbers mean that the entries are alike."""
    attributes = np.zeros(len(paths), dtype=np.uint64)
    for lvl in np.unique(paths.lvl).tolist():
        here = np.flatnonzero((paths.lvl == lvl) & (paths.kind == Kind.LEAF))
        attributes[here] = fields.pack_attributes(graph.fmt, lvl, paths.entry[here])
    something = (paths.entry != 0).astype(np.uint64)
    # Leaves come first: where there are more classes than are asked for, they tell more.
    hole = paths.kind != Kind.LEAF
    columns = (hole, paths.lvl, paths.kind, paths.rights, attributes, something)
    rows = np.stack([column.astype(np.uint64) for column in columns], axis=1)
    return np.unique(rows, axis=0, return_inverse=True)[1].reshape(-1)


def _draw(classes: Index, count: int, random: np.random.Generator) -> Index:
    """Draw rows, one of each class in turn, until there are `count`."""
    if classes.size <= count:
        return np.arange(classes.size)
    shuffled = random.permutation(classes.size)
    order = shuffled[np.argsort(classes[shuffled], kind="stable")]
    ordered = classes[order]
    rank = np.arange(ordered.size) - np.searchsorted(ordered, ordered)
    return np.sort(order[np.argsort(rank, kind="stable")[:count]])
