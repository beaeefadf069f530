"""Sums over a graph, held against the list of all of its leaves."""

from __future__ import annotations

from collections import Counter

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from ptlive.arrays import u64
from ptlive.paging.format import Kind
from ptlive.paging.formats.x86_64 import make_levels
from ptlive.paging.select import leaves
from ptlive.paging.sums import of_nodes, paths_from, running
from ptlive.paging.walk import walk
from tests.paging.plain_ram import FRAME, PlainRam
from tests.paging.tables import Case, cases


@settings(max_examples=30, deadline=None)
@given(cases())
def test_from_below_each_root_counts_its_leaves(case: Case) -> None:
    graph = walk(case.fmt, case.ram, case.roots)
    below = np.zeros(0, dtype=np.uint64)
    for floor in reversed(graph.floors):
        total = running(floor, leaves(floor).edge, np.uint64(1), below)
        assert total.dtype == np.uint64
        below = of_nodes(floor, total)
    assert sum(below[graph.tops.node].tolist()) == len(case.leaves)


@settings(max_examples=30, deadline=None)
@given(cases(), st.integers(0, 1))
def test_from_above_each_leaf_is_reached_as_often_as_it_is_listed(case: Case, half: int) -> None:
    graph = walk(case.fmt, case.ram, case.roots)
    listed = Counter(row[4] for row in case.leaves if row[0] >> 63 == half)
    found: Counter[int] = Counter()
    for floor, paths in zip(graph.floors, paths_from(graph, np.array([half])), strict=True):
        some = leaves(floor)
        for entry_pa, often in zip(some.entry_pa.tolist(), paths[some.node].tolist(), strict=True):
            found[entry_pa] += often
    assert +found == listed


def test_of_nothing_there_are_no_sums() -> None:
    graph = walk(make_levels(4), PlainRam(FRAME), u64(0), (u64(1 << 60), u64(1 << 61)))
    assert graph.count(Kind.LEAF) == 0
    assert paths_from(graph, np.zeros(0, dtype=np.intp)) == []
