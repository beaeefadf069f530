"""Regions that repeat as one: taken apart again, they are those of every single leaf."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from ptlive.analysis.regions import fold as module
from ptlive.analysis.regions.build import TargetOf, regions
from ptlive.arrays import u64
from ptlive.errors import PtliveError
from ptlive.paging.format import Kind
from ptlive.paging.formats.x86_64 import make_levels
from ptlive.paging.walk import walk
from tests.analysis.regions.naive import (
    LAST,
    alike,
    alternating,
    each,
    espfix,
    listed,
    merged,
    target,
)
from tests.paging import listing
from tests.paging.plain_ram import FRAME, PlainRam
from tests.paging.tables import PS, PWU, RW, P

FMT = make_levels(4)


@st.composite
def shared_tables(draw: st.DrawFn) -> PlainRam:
    """Draw tables of four levels, each with entries at equal distances that refer to one."""
    per_level, base = 2, FRAME
    ram = PlainRam((1 + 3 * per_level + 4) * FRAME)

    def frame(level: int) -> st.SearchStrategy[int]:
        """Draw what an entry of this level refers to."""
        below = (4 - level) * per_level  # the root is one frame, each level then two
        return st.integers(0, per_level - 1).map(lambda n: base + (below + n) * FRAME)

    for level in (4, 3, 2, 1):
        tables = (
            [0] if level == 4 else [base + ((3 - level) * per_level + n) * FRAME for n in (0, 1)]
        )
        for table in tables:
            for _ in range(draw(st.integers(0, 3))):
                step = draw(st.sampled_from([1, 1, 2, 3, 7]))
                times = draw(st.integers(1, 9))
                # What touches the ends of a table may join what stands beside it.
                at_end = 511 - (times - 1) * step
                first = draw(st.sampled_from([0, 0, at_end, at_end, 1, 5, 500]))
                flags = draw(st.sampled_from([PWU, PWU, PWU, P | RW]))
                page = level in (2, 3) and draw(st.booleans())
                target = draw(st.integers(0, 2)) << 30 | PS if page else draw(frame(level))
                moving = level == 1 and draw(st.booleans())
                both = draw(st.booleans())  # from both ends of the table
                for n in range(times):
                    slot = first + n * step
                    if slot < 512:
                        ram.write(table + 8 * slot, target + n * FRAME * moving | flags)
                    if both and slot < 512:
                        ram.write(table + 8 * (511 - slot), target + n * FRAME * moving | flags)
    return ram


@settings(max_examples=40, deadline=None)
@given(shared_tables(), st.booleans(), st.sampled_from([target, alike]))
def test_taken_apart_they_are_the_leaves_merged_one_by_one(
    ram: PlainRam, split_pa: bool, lies_in: TargetOf
) -> None:
    graph = walk(FMT, ram, u64(0))
    assume(graph.reached(Kind.LEAF) < 20_000)
    folded = regions(graph, lies_in, split_pa=split_pa, fold=True)
    leaves = listing.leaves(FMT, graph)
    assert each(folded) == merged(leaves, split_pa=split_pa, lies_in=lies_in)
    assert int(folded.pages.sum()) == graph.reached(Kind.LEAF)
    starts = folded.va.tolist()
    assert starts == sorted(starts)


@settings(max_examples=40, deadline=None)
@given(shared_tables(), st.booleans(), st.data())
def test_no_region_goes_on_at_a_cut(ram: PlainRam, split_pa: bool, data: st.DataObject) -> None:
    graph = walk(FMT, ram, u64(0))
    leaves = listing.leaves(FMT, graph)
    assume(0 < len(leaves) < 20_000)
    ends = st.sampled_from(sorted({row[0] for row in leaves} | {row[1] + 1 for row in leaves}))
    inside = st.sampled_from([row[1] for row in leaves])
    cuts = data.draw(st.lists(st.one_of(ends, ends, inside), min_size=1, max_size=4))
    cuts = [cut for cut in cuts if cut <= LAST]
    # Leaves of two sides of a cut are merged apart; what a cut goes through is of its beginning.
    parts: dict[int, list[Any]] = {}
    for row in leaves:
        parts.setdefault(sum(row[0] >= cut for cut in cuts), []).append(row)
    expected = [row for part in parts.values() for row in merged(part, split_pa=split_pa)]
    for fold in (False, True):
        found = regions(graph, target, split_pa=split_pa, fold=fold, cuts=u64(*cuts))
        assert each(found) == expected
        # Nor do the repetitions of one lie on both sides.
        for at in range(len(found)):
            reach = sum((n - 1) * stride for n, stride in found.repeats[found.repeat[at]])
            va = int(found.va[at])
            assert not any(va < cut <= va + reach for cut in cuts)


def test_a_page_at_65536_addresses_is_one_region() -> None:
    made = espfix()
    graph = walk(made.fmt, made.ram, made.roots)
    found = regions(graph, target, fold=True)
    ((_, va, last_va, _, pa, _, pages),) = listed(found)
    assert (va, last_va, pa) == (0xFFFF_FF00_0000_0000, 0xFFFF_FF00_0000_0FFF, 0x1000)
    assert pages == {12: 65_536}
    assert found.times.tolist() == [65_536]
    assert found.repeats[found.repeat[0]] == ((65_536, 0x1_0000),)
    assert len(regions(graph, target)) == 65_536


def test_what_repeats_in_several_ways_at_once_is_one_region() -> None:
    """16.7 million addresses of each of two regions, in a graph of four tables."""
    graph = walk(FMT, alternating(list(range(0, 512, 2))), u64(0))
    found = regions(graph, target, fold=True)
    # The upper half of the address space is another walk from the root.
    assert found.times.tolist() == [128 * 256 * 256] * 4
    assert [row[1] for row in listed(found)][:2] == [0x2000, 0x7000]
    assert found.repeats[found.repeat[0]] == ((256, 2 << 21), (256, 2 << 30), (128, 2 << 39))
    assert int(found.pages.sum()) == graph.reached(Kind.LEAF) == 3 * 256**3


def test_what_repeats_at_no_equal_distances_is_told_so_where_it_is_too_much_to_list() -> None:
    """Slots whose distances all differ: nothing to fold, and a million times each."""
    slots = [n * (n + 1) // 2 for n in range(31)]
    graph = walk(FMT, alternating(slots), u64(0))
    listed_all = regions(graph, target, fold=True)
    assert len(listed_all) == 2 * 31**3
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "LIMIT", 1000)
        with pytest.raises(PtliveError, match=r"more than 1000 regions, .* in 0x0000"):
            regions(graph, target)
        found = regions(graph, target, fold=True)
    assert len(found) < 1000
    assert int(found.times.sum()) == 2 * 31**3
    assert int(found.pages.sum()) == graph.reached(Kind.LEAF) == 3 * 31**3
