"""Answers on a format that no hardware has, held against its own scalar walk.

Nothing above the walker may know x86-64 either: here entries are groups that make one leaf,
tables have all sizes, and physical addresses lie above 2**63.
"""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings

from ptlive.analysis.filters import Filter, filtered
from ptlive.analysis.find import Spans, counts, find
from ptlive.analysis.fold import fold
from ptlive.analysis.regions.build import regions
from ptlive.analysis.statistics.leaves import Kinds, distinct_bytes
from ptlive.analysis.statistics.tables import tables
from ptlive.analysis.tree import Tree
from ptlive.arrays import u64
from ptlive.paging import paths
from ptlive.paging.format import Kind
from ptlive.paging.sums import paths_from
from tests.analysis.regions.naive import alike
from tests.paging.mock_format import BASE, ENTRY, grouped, leaf, slots, table
from tests.paging.plain_ram import PlainRam
from tests.paging.test_walk_mock import RAM_SIZE, ROOTS, TABLES, rams, walk_mock


@settings(max_examples=15, deadline=None)
@given(rams())
def test_what_is_counted_in_several_ways_is_what_the_scalar_walk_lists(ram: PlainRam) -> None:
    leaves = [slot for slot in slots(ram, ROOTS) if slot.kind == "leaf"]
    mapped = sum(slot.last_va - slot.va + 1 for slot in leaves)
    graph = walk_mock(ram)
    for folded in (False, True):
        found = regions(graph, alike, fold=folded)
        assert int(found.pages.sum()) == len(leaves)
        sizes = [1 << bits for bits in found.page_bits]
        assert (
            sum(a * b for row in found.pages.tolist() for a, b in zip(sizes, row, strict=True))
            == mapped
        )
    reached = paths_from(graph, graph.tops.space == 0)
    total = Kinds(graph, alike).count(reached).total
    assert (total.reached, total.bytes) == (len(leaves), mapped)
    assert total.entries == len({(slot.level, slot.entry_pa) for slot in leaves})
    covered, at = 0, 0
    for first, last in sorted((slot.pa, slot.pa + slot.last_va - slot.va) for slot in leaves):
        covered += max(last + 1 - max(first, at), 0)
        at = max(at, last + 1)
    assert distinct_bytes(graph, reached) == covered
    runs = Tree(graph, alike).runs()
    assert sum(run.leaves for run in runs if run.depth == 0) == len(leaves)
    writable = filtered(graph, Filter(granted=("write",)), alike)[0]
    assert [va for chunk in paths.leaves(writable) for va in chunk.va.tolist()] == [
        slot.va for slot in leaves if slot.rights[0]
    ]
    assert fold(graph).graph.reached(Kind.LEAF) == len(leaves)
    if leaves:
        ends = [(leaves[0].pa, leaves[0].pa), (leaves[-1].pa + 1, leaves[-1].pa + 5)]
        spans = Spans(u64(*(first for first, _ in ends)), u64(*(last for _, last in ends)))
        assert counts(graph, spans).tolist() == [
            sum(s.pa <= last and s.pa + s.last_va - s.va >= first for s in leaves)
            for first, last in ends
        ]


def group() -> PlainRam:
    """Map 16K by four entries that make one leaf, behind four pages of 4K of one frame."""
    ram = PlainRam(RAM_SIZE, BASE)
    ram.write(ROOTS[0], table(TABLES), ENTRY)
    for address in (TABLES, TABLES + 0x1000):
        ram.write(address, table(address + 0x1000), ENTRY)
    entries = [*[leaf(1)] * 4, *[grouped(2, 14)] * 4]
    ram.table(TABLES + 0x2000, 8, ENTRY)[:] = entries
    return ram


def test_a_group_is_one_page_in_the_tree_in_regions_and_for_its_frames() -> None:
    graph = walk_mock(group(), (0, (1 << 17) - 1))
    runs = [run for run in Tree(graph, alike).runs() if run.kind is Kind.LEAF]
    assert [(run.va, run.last_va, run.entries, run.bits) for run in runs] == [
        (0, 0x3FFF, 4, 12),
        (0x4000, 0x7FFF, 1, 14),
    ]
    found = regions(graph, alike)
    assert (found.va.tolist(), found.last_va.tolist()) == ([0], [0x7FFF])
    assert found.pages.tolist() == [[4, 1]]
    inside = BASE + (2 << 40) + 0x1234
    mappings = find(graph, Spans(u64(inside), u64(inside)), 10).mappings
    assert (mappings.va.tolist(), mappings.pa.tolist()) == ([0x5234], [inside])


def test_all_entries_of_a_group_are_used_entries_of_their_table() -> None:
    graph = walk_mock(group(), (0, (1 << 17) - 1))
    last = tables(graph, paths_from(graph, np.array([0])))[-1]
    assert (last.lvl, last.tables, last.entries, last.used) == (1, 1, 32, 8)


def test_a_range_that_begins_inside_of_a_group_shows_all_of_its_leaf() -> None:
    graph = walk_mock(group(), (0x5000, (1 << 17) - 1))
    (run,) = (run for run in Tree(graph, alike).runs() if run.kind is Kind.LEAF)
    assert (run.va, run.last_va) == (0x4000, 0x7FFF)
    assert regions(graph, alike).va.tolist() == [0x4000]
