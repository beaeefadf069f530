"""Regions of a walk, held against a merge of every single leaf that the reference lists."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ptlive.analysis.regions import fold as module
from ptlive.analysis.regions.build import Regions, regions
from ptlive.arrays import u64
from ptlive.errors import PtliveError
from ptlive.paging.format import Kind
from ptlive.paging.formats.x86_64 import make_levels
from ptlive.paging.walk import walk
from tests.analysis.regions.naive import LAST, alike, linear, listed, merged, target
from tests.paging.plain_ram import FRAME, PlainRam
from tests.paging.tables import PS, PWU, RAM_SIZE, RW, US, XD, A, Case, D, G, P, cases

if TYPE_CHECKING:
    from ptlive.paging.graph import Graph


def total_pages(found: Regions) -> int:
    return sum(sum(row) for row in found.pages.tolist())


@settings(max_examples=40, deadline=None)
@given(cases(), st.booleans())
def test_regions_are_the_references_leaves_merged(case: Case, split_pa: bool) -> None:
    graph = walk(case.fmt, case.ram, case.roots)
    found = regions(graph, target, split_pa=split_pa)
    assert listed(found) == merged(case.leaves, split_pa=split_pa)
    assert total_pages(found) == graph.reached(Kind.LEAF)


@settings(max_examples=30, deadline=None)
@given(cases(), st.booleans(), st.data())
def test_a_clipped_range_has_the_regions_of_the_leaves_it_touches(
    case: Case, split_pa: bool, data: st.DataObject
) -> None:
    edges = sorted({int(end) for row in case.leaves + case.holes[:300] for end in row[:2]})
    near = st.sampled_from(edges).flatmap(
        lambda at: st.sampled_from([at, max(at - 1, 0), min(at + 1, LAST), at & ~0xFFF])
    )
    ends = sorted((data.draw(near), data.draw(near)))
    graph = walk(case.fmt, case.ram, case.roots, (u64(ends[0]), u64(ends[1])))
    touched = [row for row in case.leaves if row[1] >= ends[0] and row[0] <= ends[1]]
    assert listed(regions(graph, target, split_pa=split_pa)) == merged(touched, split_pa=split_pa)


@settings(max_examples=20, deadline=None)
@given(cases(), st.data())
def test_several_roots_keep_their_regions_apart(case: Case, data: st.DataObject) -> None:
    frames = st.integers(0, RAM_SIZE // FRAME - 1).map(lambda n: case.ram.base + n * FRAME)
    roots = data.draw(st.lists(frames, min_size=2, max_size=4))
    # Ranges at both ends of the address space: the last page of one root is followed
    # by the first page of the next one, modulo 2**64.
    limits = (u64(0, LAST - (1 << 21) + 1), u64((1 << 21) - 1, LAST))
    several = regions(walk(case.fmt, case.ram, u64(*roots), limits), target)
    single = [regions(walk(case.fmt, case.ram, u64(root), limits), target) for root in roots]
    assert listed(several) == [
        (owner, *row[1:]) for owner, each in enumerate(single) for row in listed(each)
    ]


@pytest.mark.parametrize("levels", [4, 5])
def test_the_last_page_of_all_does_not_wrap_to_the_first(levels: int) -> None:
    ram = PlainRam(RAM_SIZE)
    linear(ram, levels)
    last = (levels - 1) * FRAME
    for slot in (0, 511):
        ram.write(last + 8 * slot, slot << 12 | PWU)
    found = regions(walk(make_levels(levels), ram, u64(0, 0)), target)
    for owner in (0, 1):
        mine = [row for row in listed(found) if row[0] == owner]
        assert mine[0][1:3] == (0, 0xFFF)
        assert mine[-1][1:3] == (LAST - 0xFFF, LAST)
        assert all(row[1] <= row[2] for row in mine)


def test_a_shadow_of_512_gigabytes_is_one_region_exactly_counted() -> None:
    """KASAN's early shadow: one zero page, reached through full tables of every level."""
    ram = PlainRam(RAM_SIZE)
    ram.write(8 * 300, 0x1000 | PWU)
    for n in (1, 2, 3):
        ram.table(n * FRAME)[:] = np.uint64((n + 1) * FRAME | PWU)
    graph = walk(make_levels(4), ram, u64(0))
    found = regions(graph, alike)
    va = 0xFFFF_0000_0000_0000 | 300 << 39
    ((owner, first, last, _, pa, contiguous, pages),) = listed(found)
    assert (owner, first, last, pa) == (0, va, va + (1 << 39) - 1, 0x4000)
    assert not contiguous
    assert pages == {12: 1 << 27}
    assert graph.leaves == 512
    split = regions(
        walk(make_levels(4), ram, u64(0), (u64(va), u64(va + (1 << 21) - 1))), target, split_pa=True
    )
    assert len(split) == 512


@pytest.mark.parametrize("levels", [4, 5])
def test_a_table_that_is_its_own_root_has_exact_page_counts(levels: int) -> None:
    """A recursive slot: each table of a path appears as a page, one level up the deeper."""
    ram = PlainRam(RAM_SIZE)
    slot = 300  # in the upper half
    ram.write(8 * slot, 0 | PWU)
    for n in range(levels):
        ram.write(n * FRAME, (n + 1) * FRAME | PWU)
    graph = walk(make_levels(levels), ram, u64(0))
    found = regions(graph, target)
    assert total_pages(found) == graph.reached(Kind.LEAF) == levels + 1
    sign = LAST ^ ((1 << (9 * levels + 12)) - 1)
    expected = {0: levels * FRAME}
    for times in range(1, levels + 1):  # that the slot is taken before the path goes down
        va = sign | sum(slot << (12 + 9 * n) for n in range(levels - times, levels))
        expected[va] = (levels - times) * FRAME
    assert {row[1]: row[4] for row in listed(found)} == expected


def test_aliases_of_one_frame_are_neighbours_but_not_contiguous() -> None:
    ram = PlainRam(RAM_SIZE)
    linear(ram, 4)
    for slot in range(4):
        ram.write(3 * FRAME + 8 * slot, 0x7000 | PWU)
    found = regions(walk(make_levels(4), ram, u64(0), (u64(0), u64(0xFFFFF))), target)
    ((_, va, last_va, _, pa, contiguous, pages),) = listed(found)
    assert (va, last_va, pa, contiguous, pages) == (0, 0x3FFF, 0x7000, False, {12: 4})
    split = regions(
        walk(make_levels(4), ram, u64(0), (u64(0), u64(0xFFFFF))), target, split_pa=True
    )
    assert [(row[1], row[4], row[5]) for row in listed(split)] == [
        (n * FRAME, 0x7000, True) for n in range(4)
    ]


def test_pages_of_different_sizes_make_one_region() -> None:
    ram = PlainRam(RAM_SIZE)
    linear(ram, 4)
    ram.table(3 * FRAME)[:] = np.arange(512, dtype=np.uint64) << np.uint64(12) | np.uint64(PWU)
    ram.write(2 * FRAME + 8, 1 << 21 | PWU | PS)
    one = regions(
        walk(make_levels(4), ram, u64(0), (u64(0), u64(0x3FFFFF))),
        alike,
        split_pa=True,
    )
    ((_, va, last_va, _, _, contiguous, pages),) = listed(one)
    assert (va, last_va, contiguous, pages) == (0, 0x3FFFFF, True, {12: 512, 21: 1})


@pytest.mark.parametrize("change", [1 << 3, 1 << 4, 1 << 7, G, 1 << 59, XD, RW, US], ids=hex)
def test_each_right_and_attribute_alone_parts_neighbours(change: int) -> None:
    ram = PlainRam(RAM_SIZE)
    linear(ram, 4)
    ram.write(3 * FRAME, 0x4000 | PWU)
    ram.write(3 * FRAME + 8, (0x5000 | PWU) ^ change)
    found = regions(walk(make_levels(4), ram, u64(0), (u64(0), u64(0xFFFFF))), alike)
    assert [row[1] for row in listed(found)] == [0, 0x1000]


@pytest.mark.parametrize("change", [A, D, A | D, 0xE00, 0x7F << 52], ids=hex)
def test_what_the_mmu_or_software_writes_parts_nothing(change: int) -> None:
    ram = PlainRam(RAM_SIZE)
    linear(ram, 4)
    ram.write(3 * FRAME, 0x4000 | PWU)
    ram.write(3 * FRAME + 8, (0x5000 | PWU) ^ change)
    found = regions(walk(make_levels(4), ram, u64(0), (u64(0), u64(0xFFFFF))), alike)
    assert [row[1:3] for row in listed(found)] == [(0, 0x1FFF)]


def test_what_pages_lie_in_parts_neighbours() -> None:
    ram = PlainRam(RAM_SIZE)
    linear(ram, 4)
    for slot, frame in enumerate((0x4000, 0x5000, 0x6000)):
        ram.write(3 * FRAME + 8 * slot, frame | PWU)
    limits = (u64(0), u64(0xFFFFF))
    found = regions(
        walk(make_levels(4), ram, u64(0), limits), lambda pa, _: (pa == 0x5000).astype(np.uint8)
    )
    assert [row[1] for row in listed(found)] == [0, 0x1000, 0x2000]


def test_nothing_mapped_is_no_region() -> None:
    ram = PlainRam(RAM_SIZE)
    for limits in (None, (u64(5), u64(5)), (u64(1 << 60), u64(1 << 61))):
        graph: Graph = walk(make_levels(4), ram, u64(0), limits)
        assert len(regions(graph, target)) == 0


def test_more_regions_than_the_limit_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    ram = PlainRam(RAM_SIZE)
    linear(ram, 4)
    for slot in range(512):
        ram.write(3 * FRAME + 8 * slot, 0x4000 | P | (RW if slot % 2 else 0))
    monkeypatch.setattr(module, "LIMIT", 1000)
    with pytest.raises(PtliveError, match=r"more than 1000 regions.*; ask for a range"):
        regions(walk(make_levels(4), ram, u64(0)), target)
    found = regions(walk(make_levels(4), ram, u64(0), (u64(0), u64(0xFFFFF))), target)
    assert len(found) == 256
