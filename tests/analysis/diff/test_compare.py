"""Differences between walks, held against a comparison place by place."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ptlive.analysis.areas import Area
from ptlive.analysis.diff import compare as compare_module
from ptlive.analysis.diff import rows as table
from ptlive.analysis.diff.compare import Count, Diff, diff
from ptlive.analysis.diff.kinds import NAMES, names_of, wanted
from ptlive.arrays import u64
from ptlive.errors import PtliveError
from ptlive.paging import fields, rights
from ptlive.paging.formats.x86_64 import make_levels
from ptlive.paging.walk import walk
from tests.analysis.diff import naive
from tests.paging import mock_format
from tests.paging.builder import Builder
from tests.paging.plain_ram import FRAME, PlainRam
from tests.paging.tables import (
    FRAMES,
    PS,
    PWU,
    RAM_SIZE,
    RW,
    Case,
    P,
    addresses,
    cases,
    flags,
    indices,
)
from tests.paging.tables import _keep_if_small as keep_if_small

if TYPE_CHECKING:
    from ptlive.arrays import U8, U64


def alike(pa: U64, size_bits: U64) -> U8:
    """Call all that pages lie in the same."""
    return np.zeros(pa.size, dtype=np.uint8)


def compare(one: Case, other: Case, folded: int = 1 << 62, **options: Any) -> Diff:
    """Compare; folded: from so many rows on what repeats is one, here none by default."""
    old, new = (walk(case.fmt, case.ram, case.roots) for case in (one, other))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(table, "FOLDED", folded)
        return diff(old, new, alike, alike, **options)


@st.composite
def pairs(draw: st.DrawFn) -> tuple[Case, Case]:
    """Draw tables, and the same with some entries changed."""
    one = draw(cases())
    base = one.root
    ram = PlainRam(RAM_SIZE, base)
    ram.data[:] = one.ram.data
    places = st.tuples(st.integers(0, FRAMES - 1), indices())
    used = np.flatnonzero(ram.table(base, RAM_SIZE // 8)).tolist()
    if used:
        places = st.one_of(places, st.sampled_from(used).map(lambda at: divmod(at, 512)))
    for _ in range(draw(st.integers(0, 6))):
        before = ram.data.copy()
        frame, slot = draw(places)
        at = base + frame * FRAME + 8 * slot
        flip = ram.value(at) ^ draw(st.sampled_from(naive.FLIPS))
        new = st.builds(lambda flag, pa: flag | pa, flags(), addresses(one.machine, base))
        ram.write(at, draw(st.one_of(st.just(flip), st.just(flip), new, st.just(0))))
        keep_if_small(ram, before, one.machine, base)
    return one, Case(one.machine, ram, base)


@st.composite
def strangers(draw: st.DrawFn) -> tuple[Case, Case]:
    """Draw two address spaces that have nothing to do with each other."""
    levels = draw(st.sampled_from([4, 5]))
    one, other = draw(cases(levels)), draw(cases(levels))
    return one, Case(one.machine, other.ram, other.root)


def listed(found: Diff) -> list[naive.Difference]:
    """Return rows in the shape of the naive comparison."""
    fmt, result = found.fmt, []

    def granted(folded: int) -> tuple[bool, ...]:
        names = rights.names(fmt, folded)
        return names["write"], names["user"], names["execute"]

    def attributes(packed: int) -> tuple[int, ...]:
        values = fields.unpack_attributes(fmt, packed)
        return tuple(values[name] for name in ("PWT", "PCD", "PAT", "G", "PK"))

    rows = found.rows
    for at in range(len(found)):
        key = rows.key[at].tolist()
        changed = names_of(key[table.CHANGE])
        both = range(2)
        there = ["added" not in changed and "fault" not in changed]
        there.append("removed" not in changed and "fault" not in changed)
        marks: tuple[Any, ...] = ()
        if "ad" in changed:
            old, new = key[table.MARKS : table.MARKS + 2]
            marks = tuple(
                tuple(x >> n & 1 if (old ^ new) >> n & 1 else None for n in both)
                for x in (old, new)
            )
        software = tuple(key[table.SOFTWARE : table.SOFTWARE + 2]) if "software" in changed else ()
        sizes = key[table.BITS : table.BITS + 2]
        same = (
            *(granted(key[table.RIGHTS + n]) if there[n] else () for n in both),
            *(attributes(key[table.ATTRIBUTES + n]) if there[n] else () for n in both),
            tuple(
                (1 << bits if bits else 0) if here else 0
                for bits, here in zip(sizes, there, strict=True)
            ),
            marks,
            software,
        )
        counts = zip(found.page_bits, rows.pages[at].tolist(), strict=True)
        result.append(
            naive.Difference(
                int(rows.va[at]),
                int(rows.last_va[at]),
                frozenset(changed),
                same,
                rows.pa[at].tolist(),
                [],
                rows.contiguous[at].tolist(),
                {bits: count for bits, count in counts if count},
            )
        )
    return result


def hold(found: Diff, expected: list[naive.Difference]) -> None:
    """Hold rows and counts against the naive comparison's."""
    assert [normal(row) for row in listed(found)] == [normal(row) for row in expected]
    for name in NAMES:
        some = [difference for difference in expected if name in difference.kinds]
        pages: dict[int, int] = {}
        for difference in some:
            for bits, number in difference.pages.items():
                pages[bits] = pages.get(bits, 0) + number
        size = sum(difference.last_va - difference.va + 1 for difference in some)
        assert found.counts.get(name, Count({}, 0)) == Count(pages, size)


def normal(row: naive.Difference) -> naive.Difference:
    """Leave out what cannot be told of a side on which nothing is."""
    row.next_pa = []
    for n, missing in enumerate(({"added", "fault"}, {"removed", "fault"})):
        if row.kinds & missing:
            row.pa[n], row.contiguous[n] = 0, True
    return row


@settings(max_examples=20, deadline=None)
@given(pairs())
def test_differences_are_those_of_a_comparison_place_by_place(pair: tuple[Case, Case]) -> None:
    one, other = pair
    hold(compare(one, other), naive.differences(naive.places(one), naive.places(other)))


@settings(max_examples=5, deadline=None)
@given(strangers())
def test_spaces_that_have_nothing_in_common_are_compared_too(pair: tuple[Case, Case]) -> None:
    one, other = pair
    hold(compare(one, other), naive.differences(naive.places(one), naive.places(other)))


@settings(max_examples=6, deadline=None)
@given(pairs(), st.sets(st.sampled_from(sorted(NAMES)), min_size=1))
def test_only_what_is_chosen_parts_and_counts(pair: tuple[Case, Case], names: set[str]) -> None:
    one, other = pair
    found = compare(one, other, chosen=wanted(names, ()))
    assert {name: found.counts.get(name) for name in names} == {
        name: compare(one, other).counts.get(name) for name in names
    }
    hold(found, naive.differences(naive.places(one), naive.places(other), frozenset(names)))


@settings(max_examples=6, deadline=None)
@given(pairs())
def test_what_is_folded_is_counted_as_often_as_it_is_there(pair: tuple[Case, Case]) -> None:
    whole = compare(*pair)
    folded = compare(*pair, folded=1)
    assert folded.counts == whole.counts
    assert folded.rows.pages.sum(axis=0).tolist() == whole.rows.pages.sum(axis=0).tolist()
    for n, times in enumerate(folded.rows.times.tolist()):
        row = [getattr(folded.rows, name)[n] for name in ("va", "last_va", "step", "until")]
        va, last_va, step, until = map(int, row)
        if step:
            assert until == last_va + (times - 1) * step
        same = (whole.rows.key == folded.rows.key[n]).all(axis=1)
        for number in range(times if step else 1):
            at = np.uint64(va + number * step)
            end = np.uint64(last_va + number * step)
            # Unfolded, it may be joined with its neighbours.
            assert (same & (whole.rows.va <= at) & (whole.rows.last_va >= end)).any()


@settings(max_examples=6, deadline=None)
@given(cases(), st.data())
def test_two_roots_of_one_memory_share_what_they_share(case: Case, data: st.DataObject) -> None:
    """What is skipped because it is one table is not different."""
    other = Case(case.machine, case.ram, case.root)
    again = compare(case, other, same_memory=True)
    assert (len(again), again.counts, again.pairs) == (0, {}, 0)


def test_a_root_whose_tables_are_empty_is_compared_with_another_of_its_memory() -> None:
    made = Builder(levels=4)
    made.map(0, 0x5000 | PWU)
    root = made.table()
    made.ram.write(root, made.table() | PWU)
    one, other = (walk(made.fmt, made.ram, u64(each)) for each in (made.root, root))
    for old, new, kind in ((one, other, "removed"), (other, one, "added")):
        found = diff(old, new, alike, alike, same_memory=True)
        assert found.counts == {kind: Count({12: 1}, FRAME)}


def test_a_range_cuts_both_sides_alike() -> None:
    one, other = Builder(4), Builder(4)
    for slot in range(8):
        one.map(slot * FRAME, 0x50_0000 + slot * FRAME | PWU)
        other.map(slot * FRAME, 0x60_0000 + slot * FRAME | PWU)
    limits = (u64(2 * FRAME), u64(5 * FRAME - 1))
    graphs = [walk(b.fmt, b.ram, b.roots, limits) for b in (one, other)]
    found = diff(graphs[0], graphs[1], alike, alike)
    (row,) = listed(found)
    assert (row.va, row.last_va, row.pages) == (2 * FRAME, 5 * FRAME - 1, {12: 3})
    assert (row.kinds, row.pa, row.contiguous) == ({"moved"}, [0x50_2000, 0x60_2000], [True, True])


def test_a_page_that_was_split_is_compared_piece_by_piece() -> None:
    one, other = Builder(4), Builder(4)
    one.map(1 << 30, 1 << 30 | PWU | PS, level=3)
    for slot in range(512):
        if slot != 7:
            entry = (1 << 30) + slot * FRAME | PWU
            other.map((1 << 30) + slot * FRAME, entry ^ (RW if slot == 9 else 0))
    for slot in range(1, 512):
        other.map((1 << 30) + (slot << 21), (1 << 30) + (slot << 21) | PWU | PS, level=2)
    old, new = (walk(b.fmt, b.ram, b.roots) for b in (one, other))
    found = listed(diff(old, new, alike, alike))
    begin = 1 << 30
    assert [(row.va - begin, row.kinds, row.pages) for row in found] == [
        (0, {"size"}, {12: 7}),
        (7 * FRAME, {"removed"}, {12: 1}),
        (8 * FRAME, {"size"}, {12: 1}),
        (9 * FRAME, {"size", "rights"}, {12: 1}),
        (10 * FRAME, {"size"}, {12: 502, 21: 511}),
    ]
    back = diff(new, old, alike, alike)
    assert back.counts["size"].bytes == (1 << 30) - FRAME
    assert back.counts["added"] == Count({12: 1}, FRAME)


def shadow(levels: int, page: int) -> PlainRam:
    """Every table's entries all refer to one table of the level below, and at last to a page."""
    ram = PlainRam(levels * FRAME)
    for n in range(levels - 1):
        ram.table(n * FRAME)[:] = (n + 1) * FRAME | PWU
    ram.table((levels - 1) * FRAME)[:] = page | PWU
    return ram


def test_a_shadow_of_everything_costs_its_five_tables() -> None:
    old, new = (walk(make_levels(5), shadow(5, page), u64(0)) for page in (0x5000, 0x6000))
    found = diff(old, new, alike, alike)
    assert [(row.va, row.last_va, row.kinds) for row in listed(found)] == [
        (0, (1 << 56) - 1, {"moved"}),
        ((1 << 64) - (1 << 56), (1 << 64) - 1, {"moved"}),
    ]
    assert found.counts == {"moved": Count({12: 1 << 45}, 1 << 57)}
    assert found.pairs == 2 + 4  # two halves of the root


def test_what_repeats_is_told_once_with_how_often() -> None:
    ram = shadow(5, 0x5000)
    changed = shadow(5, 0x5000)
    changed.write(4 * FRAME + 8 * 3, 0)
    changed.write(4 * FRAME + 8 * 5, 0x5000 | P)
    old, new = (walk(make_levels(5), some, u64(0)) for some in (ram, changed))
    found = diff(old, new, alike, alike)
    rows = found.rows
    assert len(found) == 4
    assert rows.times.tolist() == [1 << 35] * 4
    assert rows.until.tolist()[0] == (1 << 56) - (1 << 21) + 4 * FRAME - 1
    assert found.counts["removed"] == Count({12: 1 << 36}, 1 << 48)


def test_formats_of_four_and_five_levels_are_compared_by_address() -> None:
    four, five = Builder(4), Builder(5)
    for builder in (four, five):
        builder.map(0x7000_0000, 0x5000 | PWU)
        builder.map((1 << 64) - (1 << 46), 0x6000 | PWU)
    four.map(0x7000_1000, 0x7000 | PWU)
    five.map((1 << 64) - (1 << 46) + FRAME, 0x8000 | PWU)
    old, new = (walk(b.fmt, b.ram, b.roots) for b in (four, five))
    found = diff(old, new, alike, alike)
    assert [(row.va, row.kinds) for row in listed(found)] == [
        (0x7000_1000, {"removed"}),
        ((1 << 64) - (1 << 46) + FRAME, {"added"}),
    ]
    assert diff(new, old, alike, alike).counts == {
        "added": Count({12: 1}, FRAME),
        "removed": Count({12: 1}, FRAME),
    }


def test_formats_with_too_little_in_common_are_refused() -> None:
    builder, mock = Builder(4), mock_format.MOCK
    graph = walk(builder.fmt, builder.ram, builder.roots)
    with pytest.raises(PtliveError, match="are not compared"):
        diff(graph, dataclasses.replace(graph, fmt=mock), alike, alike)


def test_more_than_can_be_told_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = Builder(4), Builder(4)
    for slot in range(0, 100, 2):
        other.map(slot * FRAME, 0x5000 | PWU)
    old, new = (walk(b.fmt, b.ram, b.roots) for b in (one, other))
    assert len(diff(old, new, alike, alike)) == 50
    monkeypatch.setattr(table, "LIMIT", 49)
    with pytest.raises(PtliveError, match="more than 49 regions; ask for a range"):
        diff(old, new, alike, alike)
    monkeypatch.setattr(compare_module, "MOST_PAIRS", 2)
    with pytest.raises(PtliveError, match="more than 2 pairs of tables"):
        diff(old, new, alike, alike)


def test_the_area_of_a_region_is_the_one_that_it_lies_in_whole() -> None:
    old, new = Builder(4), Builder(4)
    for va in (0x1000, 0x5000, 0x8000, 0x9000):
        new.map(va, va + 0x10000 | PWU)
    old.map(1 << 40, 0x5000 | PWU)
    new.map(1 << 40, 0x5000 | PWU)
    graphs = [walk(one.fmt, one.ram, one.roots) for one in (old, new)]
    found = diff(graphs[0], graphs[1], alike, alike)
    assert found.rows.va.tolist() == [0x1000, 0x5000, 0x8000]
    ends = ((0, 0x1FFF, "low"), (0x8000, 0x8FFF, "one"), (0x9000, 0x9FFF, "next"))
    areas = tuple(Area(*one, evidence="") for one in ends)
    assert found.area_names(areas) == ["low", None, None]
    assert found.area_names(()) == [None, None, None]
