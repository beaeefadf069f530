"""Counts of what is not present, held against every hole that the reference lists."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from ptlive.analysis.absent.counts import NO_AREA, SEVERAL, absent_counts
from ptlive.analysis.areas import Area
from ptlive.analysis.linux.absent import absent, explain
from ptlive.analysis.profile import Profile
from ptlive.analysis.systems import detect
from ptlive.arrays import u64
from ptlive.paging.format import Kind
from ptlive.paging.formats.x86_64 import make_levels
from ptlive.paging.walk import walk
from tests.analysis.linux.made import MadeLinux
from tests.paging.plain_ram import FRAME, PlainRam
from tests.paging.tables import Case, P, cases

if TYPE_CHECKING:
    from collections.abc import Sequence


def profile(*ends: int) -> Profile:
    """Return a profile whose areas are cut at these addresses, every second one left out.

    A table may be reached from both halves, so whose an entry is makes no difference here.
    """
    cuts = sorted({end >> 12 << 12 for end in ends})
    pairs = zip(cuts[::2], cuts[1::2], strict=False)
    areas = tuple(Area(va, end - 1, f"area {n}", "made") for n, (va, end) in enumerate(pairs))
    return Profile(
        "made", areas, (), lambda lvl, entries, kernel=False: absent(lvl, entries), explain
    )


@cache
def name_of(lvl: int, entry: int) -> str:
    return explain(lvl, entry).name


def area_at(areas: Sequence[Area], first: list[int], va: int) -> int:
    at = bisect_right(first, va) - 1
    return at if at >= 0 and va <= areas[at].last_va else NO_AREA


@given(cases(), st.lists(st.integers(0, (1 << 64) - 1), max_size=8), st.data())
@settings(deadline=None, max_examples=15)
def test_every_absent_entry_is_counted_where_it_is(
    case: Case, ends: list[int], data: st.DataObject
) -> None:
    # Most cuts should be where something is.
    near = [hole[0] for hole in case.holes]
    ends += data.draw(st.lists(st.sampled_from(near), max_size=6)) if near else []
    known = profile(*ends)
    first = [area.va for area in known.areas]
    graph = walk(case.fmt, case.ram, case.roots)
    counts = absent_counts(graph, known)
    assert sum(one.entries for one in counts) == sum(
        int(floor.count((Kind.ABSENT,)).sum()) for floor in graph.floors
    )
    wanted: Counter[tuple[int, int, str]] = Counter()
    for va, _, lvl, _, entry, kind in case.holes:
        if kind == "absent":
            name = name_of(lvl, entry)
            wanted[area_at(known.areas, first, va), lvl, name] += 1
    told: Counter[tuple[int, int, str]] = Counter()
    for one in counts:
        told[one.area, one.lvl, one.name] += one.reached
        assert (one.example == 0) == (one.name == "never mapped")
    # What several paths reach in several areas has none: its place is left out of the sum.
    several = {key[1:] for key in told if key[0] == SEVERAL}
    for key in set(wanted) | set(told):
        if key[1:] not in several:
            assert told[key] == wanted[key], key
    assert sum(told.values()) == sum(wanted.values())


def test_a_table_that_stands_in_an_area_and_beside_it_is_in_several() -> None:
    """Its first place was judged by its last one, where its floor had shared parents too."""
    ram = PlainRam(6 * FRAME)
    for place, table in ((0, 1), (1, 3), (2, 3), (FRAME // 8, 2), (FRAME // 8 + 1, 2)):
        ram.write(8 * place, table * FRAME | P)
    graph = walk(make_levels(4), ram, u64(0), (u64(0), u64((1 << 47) - 1)))
    counts = absent_counts(graph, profile(0, 1 << 30))
    assert [(one.area, one.entries, one.reached) for one in counts if one.lvl == 2] == [
        (SEVERAL, 512, 1024)
    ]


def test_a_graph_of_nothing_has_no_counts() -> None:
    made = MadeLinux(4)
    none = np.zeros(0, dtype=np.uint64)
    graph = walk(made.build.fmt, made.build.ram, made.build.roots, (none, none))
    assert absent_counts(graph, profile()) == []


def test_what_is_swapped_out_is_counted_in_its_area() -> None:
    made = MadeLinux(5)
    for page in range(3):
        made.map(0x7000_0000 + page * 4096, 0x07FF_FFFF_FFFB_FE0A)
    made.map(1 << 50, 0x000F_FFFF_FAA5_C960)
    found = detect(made.walk(), made.build.ram)
    assert found is not None
    told = {
        (found.areas[one.area].name, one.name): one.entries
        for one in absent_counts(made.walk(), found)
        if one.example
    }
    assert told == {("user", "swapped out"): 3, ("user, above 2^47", "PROT_NONE"): 1}
