"""Physical addresses back to linear ones, held against the scalar reference's list of leaves."""

from __future__ import annotations

import numpy as np
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from ptlive.analysis import find as module
from ptlive.analysis.find import Spans, by_space, find, mapping, pairs, united
from ptlive.analysis.fold import fold, tables
from ptlive.arrays import u64
from ptlive.paging.format import Kind
from ptlive.paging.paths import leaves
from ptlive.paging.walk import walk
from tests.paging import listing
from tests.paging.builder import Builder
from tests.paging.plain_ram import FRAME, PlainRam
from tests.paging.tables import PWU, RW, XD, A, Case, P, cases, machine

VA, LAST_VA, LEVEL, PA, ENTRY_PA, ENTRY = range(6)


def stretches(case: Case) -> st.SearchStrategy[list[tuple[int, int]]]:
    """Draw stretches of physical memory, most of them where something is mapped."""
    known = [row[PA] for row in case.leaves[:50]] or [0]
    first = st.one_of(st.sampled_from(known), st.integers(0, (1 << 52) - 1))
    size = st.sampled_from([0, 0, 1, FRAME - 1, FRAME, 1 << 21, 1 << 30])
    one = st.tuples(first, size).map(lambda ends: (ends[0], ends[0] + ends[1]))
    return st.lists(one, min_size=1, max_size=6)


def spans_of(ends: list[tuple[int, int]]) -> Spans:
    first, last = np.array(ends, dtype=np.uint64).reshape(-1, 2).T
    return Spans(first, last)


def overlapping(case: Case, first: int, last: int) -> list[tuple[int, int, int, int]]:
    """Return (VA, last VA, PA, entry's address) of what maps a stretch, cut to the stretch."""
    result = []
    for row in case.leaves:
        size = row[LAST_VA] - row[VA]
        low, high = max(row[PA], first), min(row[PA] + size, last)
        if low <= high:
            to_va = row[VA] - row[PA]
            result.append((low + to_va, high + to_va, low, row[ENTRY_PA]))
    return sorted(result)


@settings(max_examples=15, deadline=None)
@given(cases(), st.data())
def test_every_mapping_of_each_stretch_is_counted_and_listed(
    case: Case, data: st.DataObject
) -> None:
    ends = data.draw(stretches(case))
    graph = walk(case.fmt, case.ram, case.roots)
    found = find(graph, spans_of(ends), 1 << 20)
    expected = [overlapping(case, *one) for one in ends]
    assert found.count.tolist() == [len(rows) for rows in expected]
    assert found.listed.tolist() == [len(rows) for rows in expected]
    rows = found.mappings
    assert (np.diff(rows.span) >= 0).all()
    for number, wanted in enumerate(expected):
        mine = np.flatnonzero(rows.span == number)
        # Runs are told as one: what they hold must be what the single pages hold.
        assert int(rows.pages[mine].sum()) == len(wanted)
        told = {
            (va, pa)
            for first, last, pa_first in zip(
                rows.va[mine].tolist(),
                rows.last_va[mine].tolist(),
                rows.pa[mine].tolist(),
                strict=True,
            )
            for va, pa in ((first, pa_first), (last, pa_first + last - first))
        }
        ends_of_pages = {
            p for va, last, pa, _ in wanted for p in ((va, pa), (last, pa + last - va))
        }
        assert told <= ends_of_pages
        assert sum(rows.last_va[mine].astype(object) - rows.va[mine].astype(object) + 1) == sum(
            last - va + 1 for va, last, *_ in wanted
        )


@settings(max_examples=10, deadline=None)
@given(cases(), st.data())
def test_a_limit_cuts_the_list_and_not_the_count(case: Case, data: st.DataObject) -> None:
    ends = data.draw(stretches(case))
    limit = data.draw(st.integers(1, 3))
    graph = walk(case.fmt, case.ram, case.roots)
    found = find(graph, spans_of(ends), limit)
    expected = [len(overlapping(case, *one)) for one in ends]
    assert found.count.tolist() == expected
    assert found.listed.tolist() == [min(count, limit) for count in expected]
    told = np.bincount(found.mappings.span, weights=found.mappings.pages, minlength=len(ends))
    assert told.tolist() == found.listed.tolist()


ranges_of_numbers = st.lists(
    st.tuples(st.integers(0, 30), st.integers(0, 10)).map(lambda one: (one[0], sum(one))),
    max_size=12,
)


@given(ranges_of_numbers, ranges_of_numbers)
def test_pairs_are_all_that_have_an_address_in_common(
    one: list[tuple[int, int]], other: list[tuple[int, int]]
) -> None:
    mine, theirs = pairs(spans_of(one), spans_of(other))
    expected = [
        (i, j)
        for i, (first, last) in enumerate(one)
        for j, (begin, end) in enumerate(other)
        if first <= end and begin <= last
    ]
    assert sorted(zip(mine.tolist(), theirs.tolist(), strict=True)) == expected


@given(ranges_of_numbers, ranges_of_numbers)
def test_stretches_touch_and_merge_as_their_addresses_do(
    one: list[tuple[int, int]], other: list[tuple[int, int]]
) -> None:
    spans = spans_of(one)
    held = {number for first, last in one for number in range(first, last + 1)}
    merged = spans.merged()
    assert held == {
        number
        for first, last in zip(merged.first.tolist(), merged.last.tolist(), strict=True)
        for number in range(first, last + 1)
    }
    assert (merged.first[1:] > merged.last[:-1] + np.uint64(1)).all()
    touched = spans.touch(*(spans_of(other).first, spans_of(other).last))
    assert touched.tolist() == [
        any(number in held for number in range(first, last + 1)) for first, last in other
    ]


def test_what_is_in_no_order_is_found_like_what_is() -> None:
    random = np.random.default_rng(7)
    values = np.sort(random.integers(0, 1 << 40, module._CACHED + 5).astype(np.uint64))
    wanted = random.permutation(np.concatenate([values[::3], values[::3] + np.uint64(1)]))
    for side in ("left", "right"):
        expected = [np.searchsorted(values, one, side) for one in wanted[:500]]
        assert module._ranks(values, wanted, side)[:500].tolist() == expected
    spans = Spans(values, values)
    assert spans.touch(wanted, wanted)[:500].tolist() == np.isin(wanted[:500], values).tolist()


def test_a_table_that_refers_to_itself_is_counted_and_cut() -> None:
    ram = PlainRam(4 * FRAME)
    ram.table(0)[:] = PWU
    graph = walk(machine_4().fmt, ram, u64(0))
    found = find(graph, Spans(u64(8, 2 * FRAME), u64(8, 2 * FRAME)), 10)
    assert found.count.tolist() == [512**4, 0]
    assert found.listed.tolist() == [10, 0]
    assert found.mappings.va.tolist() == [n * FRAME + 8 for n in range(10)]


def machine_4() -> Case:
    return Case(machine(4), PlainRam(FRAME), 0)


def two_processes() -> tuple[Builder, int]:
    """Two roots with the same kernel table and a user page each; the second has both halves."""
    tables_ = Builder(4)
    tables_.map(0x1000, 0x7000_0000 | PWU)
    tables_.map(KERNEL, 0x7100_0000 | P | RW, upper=P | RW)
    other = tables_.table()
    for slot in (256,):
        # Its A bit differs: the entries still lead to the same.
        tables_.ram.write(other + 8 * slot, tables_.ram.value(tables_.root + 8 * slot) | A)
    first, tables_.root = tables_.root, other
    tables_.map(0x1000, 0x7200_0000 | PWU | XD)
    tables_.root = first
    return tables_, other


KERNEL = 0xFFFF_8000_0000_0000


def test_what_roots_have_in_common_stands_once() -> None:
    made, other = two_processes()
    graph = walk(made.fmt, made.ram, u64(made.root, other, made.root))
    folded = fold(graph)
    assert folded.roots.tolist() == [[True, True, True], [True, False, True], [False, True, False]]
    rows = listing.leaves(made.fmt, folded.graph)
    assert [(row[VA], row[PA]) for row in rows] == [
        (KERNEL, 0x7100_0000),
        (0x1000, 0x7000_0000),
        (0x1000, 0x7200_0000),
    ]
    assert folded.graph.reached(Kind.LEAF) == 3
    assert by_space(folded.graph).tolist() == [1, 1, 1]
    assert by_space(graph).tolist() == [2, 2, 2]


@settings(max_examples=10, deadline=None)
@given(cases())
def test_a_single_root_folds_to_itself(case: Case) -> None:
    graph = walk(case.fmt, case.ram, case.roots)
    folded = fold(graph)
    assert folded.roots.tolist() in ([[True]], [])
    assert listing.leaves(case.fmt, folded.graph) == case.leaves
    assert folded.graph.reached(Kind.LEAF) == len(case.leaves)


@settings(max_examples=10, deadline=None)
@given(cases(), st.lists(st.integers(0, 5), min_size=1, max_size=4))
def test_each_root_has_what_its_sets_have(case: Case, frames: list[int]) -> None:
    """Any frame may be a root; what is told of sets of roots is what is told of each."""
    roots = u64(*(case.root + frame * FRAME for frame in frames))
    graph = walk(case.fmt, case.ram, roots)
    assume(graph.reached(Kind.LEAF) < 10_000)
    folded = fold(graph)
    told: list[list[tuple[int, int]]] = [[] for _ in frames]
    for space, va, entry_pa in listing.columns(leaves(folded.graph), "space", "va", "entry_pa"):
        for root in np.flatnonzero(folded.roots[space]).tolist():
            told[root].append((va, entry_pa))
    for root, mine in zip(roots, told, strict=True):
        alone = listing.leaves(case.fmt, walk(case.fmt, case.ram, u64(int(root))))
        assert sorted(mine) == sorted((row[VA], row[ENTRY_PA]) for row in alone)


def test_tables_have_levels_addresses_and_roots() -> None:
    made, other = two_processes()
    known = tables(walk(made.fmt, made.ram, u64(made.root, other)))
    rows = dict(
        zip(known.pa.tolist(), zip(known.lvl.tolist(), known.va.tolist(), strict=True), strict=True)
    )
    assert rows[made.root] == (4, 0)
    kernel = made.ram.value(made.root + 8 * 256) & ~0xFFF
    assert rows[kernel] == (3, KERNEL)
    assert known.roots[known.pa == np.uint64(kernel)].tolist() == [[True, True]]
    assert known.roots[known.pa == np.uint64(other)].tolist() == [[False, True]]
    assert known.pa.size == 2 + 3 + 3 + 3


def test_only_the_leaves_that_map_a_stretch_stay() -> None:
    made, _ = two_processes()
    graph = walk(made.fmt, made.ram, made.roots)
    some = mapping(graph, Spans(u64(0x7100_0000), u64(0x7100_0000)))
    assert [row[VA] for row in listing.leaves(made.fmt, some)] == [KERNEL]


def test_roots_that_reach_one_entry_by_different_tables_are_told_together() -> None:
    made, other = two_processes()
    # The second root has tables of its own down to the kernel's last table.
    ram, table = made.ram, made.ram.value(made.root + 8 * 256) & ~0xFFF
    copy = made.table()
    ram.table(copy)[:] = ram.table(table)
    ram.write(other + 8 * 256, copy | P | RW)
    folded = fold(walk(made.fmt, made.ram, u64(made.root, other)))
    spans = Spans(u64(0x7100_0000, 0x7200_0000), u64(0x7100_0000, 0x7200_0000))
    found = find(folded.graph, spans, 10)
    assert found.count.tolist() == [2, 1]
    once, sets = united(found, folded.roots)
    assert once.count.tolist() == once.listed.tolist() == [1, 1]
    assert once.mappings.va.tolist() == [KERNEL, 0x1000]
    assert sets[once.mappings.space].tolist() == [[True, True], [False, True]]
