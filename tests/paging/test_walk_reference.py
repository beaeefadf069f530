"""The walk of random and nasty x86-64 tables, held against the scalar reference."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st

from ptlive.arrays import u64
from ptlive.paging import paths
from ptlive.paging.format import Kind
from ptlive.paging.graph import HOLES
from ptlive.paging.walk import walk
from tests.paging import listing
from tests.paging.tables import RAM_SIZE, Case, cases

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ptlive.arrays import U64
    from ptlive.paging.graph import Floor, Graph

BIT_OF_HALF = {4: 47, 5: 56}


def _tables(floor: Floor) -> U64:
    return floor.nodes.table[floor.readable]


def walk_case(case: Case, ranges: Sequence[tuple[int, int]] | None = None) -> Graph:
    limits = None if ranges is None else tuple(u64(*side) for side in zip(*ranges, strict=True))
    return walk(case.fmt, case.ram, case.roots, limits)  # type: ignore[arg-type]  # two sides


@settings(max_examples=100)
@given(cases())
def test_leaves_and_holes_are_the_references_in_order(case: Case) -> None:
    graph = walk_case(case)
    assert listing.leaves(case.fmt, graph) == case.leaves
    assert listing.holes(graph) == case.holes


@settings(max_examples=50)
@given(cases())
def test_counts_are_those_of_the_reference(case: Case) -> None:
    graph = walk_case(case)
    # The columns (level, entry_pa) name an entry; the kind of a hole is its last.
    leaves = [(row[2], row[4]) for row in case.leaves]
    assert graph.reached(Kind.LEAF) == len(leaves)
    assert graph.count(Kind.LEAF) == graph.leaves == len(set(leaves))
    holes = [(row[2], row[3], row[5]) for row in case.holes]
    assert graph.reached(*HOLES) == len(holes)
    assert graph.count(*HOLES) == len(set(holes))
    for kind in HOLES:
        of_kind = [hole for hole in holes if hole[2] == kind.name.lower()]
        assert graph.reached(kind) == len(of_kind)
        assert graph.count(kind) == len(set(of_kind))


@settings(max_examples=50)
@given(cases())
def test_leaves_and_holes_tile_both_canonical_halves(case: Case) -> None:
    graph = walk_case(case)
    slots = sorted(row[:2] for row in listing.leaves(case.fmt, graph) + listing.holes(graph))
    half = 1 << BIT_OF_HALF[case.machine.levels]
    ends = []
    expected = 0
    for va, last_va in slots:
        if va != expected:
            ends.append((expected, va))
        expected = int(last_va) + 1
    # One gap: from the end of the lower half to the start of the upper one.
    assert ends == [(half, (1 << 64) - half)]
    assert expected == 1 << 64


def ranges(case: Case) -> st.SearchStrategy[tuple[int, int]]:
    """Draw ranges: anywhere, and at the edges of what is mapped."""
    slots = case.leaves[:200] + case.holes[:200]
    edges = [int(edge) for slot in slots for edge in slot[:2]]
    anywhere = st.integers(0, (1 << 64) - 1)
    edge = st.sampled_from(edges)
    near = st.builds(lambda va, by: (va + by) % (1 << 64), edge, st.sampled_from([-1, 0, 1, 4095]))
    end = st.one_of(edge, near, anywhere)
    return st.tuples(end, end).map(lambda ends: (min(ends), max(ends)))


@settings(max_examples=50)
@given(cases(), st.data())
def test_a_range_shows_what_touches_it(case: Case, data: st.DataObject) -> None:
    va, last_va = data.draw(ranges(case))
    graph = walk_case(case, [(va, last_va)])
    leaves = listing.touching(case.leaves, va, last_va)
    holes = listing.touching(case.holes, va, last_va)
    assert listing.leaves(case.fmt, graph) == leaves
    assert listing.holes(graph) == holes
    assert graph.reached(Kind.LEAF) == len(leaves)
    assert graph.reached(*HOLES) == len(holes)


@settings(max_examples=30)
@given(cases(), st.data())
def test_many_ranges_in_one_call_are_as_one_by_one(case: Case, data: st.DataObject) -> None:
    wanted = data.draw(st.lists(ranges(case), min_size=1, max_size=6))
    graph = walk_case(case, wanted)
    single = [walk_case(case, [each]) for each in wanted]
    assert listing.leaves(case.fmt, graph) == [
        row for each in single for row in listing.leaves(case.fmt, each)
    ]
    assert listing.holes(graph) == [row for each in single for row in listing.holes(each)]
    assert graph.reached(Kind.LEAF) == sum(each.reached(Kind.LEAF) for each in single)


@settings(max_examples=30)
@given(cases(), st.data())
def test_several_roots_in_one_call_are_as_one_by_one(case: Case, data: st.DataObject) -> None:
    frames = st.integers(0, RAM_SIZE // 4096 - 1).map(lambda n: case.ram.base + n * 4096)
    # Any table may be a root, and only a range keeps the reach of hostile ones small.
    roots = u64(*data.draw(st.lists(frames, min_size=1, max_size=4)))
    small = st.integers(0, (1 << 64) - 1).map(lambda va: (va, min(va + (1 << 21), (1 << 64) - 1)))
    va, last_va = (u64(*side) for side in zip(*data.draw(st.lists(small, min_size=1)), strict=True))
    graph = walk(case.fmt, case.ram, roots, (va, last_va))
    single = [walk(case.fmt, case.ram, roots[n : n + 1], (va, last_va)) for n in range(roots.size)]
    names = ("va", "last_va", "lvl", "kind", "entry", "entry_pa", "rights", "pa")
    for kinds in (paths.leaves, paths.holes):
        assert listing.columns(kinds(graph), "space", *names) == [
            (space, *row)
            for space, each in enumerate(single)
            for row in listing.columns(kinds(each), *names)
        ]
    distinct = {int(table) for each in single for floor in each.floors for table in _tables(floor)}
    assert graph.tables == len(distinct)
