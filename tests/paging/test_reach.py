"""From tables and entries back to the addresses that go through them."""

from __future__ import annotations

from itertools import islice

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from ptlive.arrays import u64
from ptlive.paging.formats import x86_64
from ptlive.paging.reach import reached, spans_of, spans_through
from ptlive.paging.walk import walk
from tests.paging import listing
from tests.paging.builder import Builder
from tests.paging.plain_ram import PlainRam
from tests.paging.tables import PWU, Case, cases

TOP = 0xFFFF_FFFF_8000_0000


@settings(max_examples=40)
@given(cases(), st.data())
def test_an_entry_is_reached_from_where_the_reference_uses_it(
    case: Case, data: st.DataObject
) -> None:
    slots = [(row[:2], row[2], row[4]) for row in case.leaves]
    slots += [(row[:2], row[2], row[3]) for row in case.holes]
    graph = walk(case.fmt, case.ram, case.roots)
    entries = data.draw(st.lists(st.sampled_from([slot[2] for slot in slots]), max_size=5))
    for entry_pa in entries:
        ends_here = {(level, *span) for span, level, at in slots if at == entry_pa}
        found = list(spans_through(graph, entry_pa))
        assert len(found) == len(set(found))
        # Where it is a table's entry, the reference lists what lies below it instead.
        assert ends_here <= set(found)
        for level, va, last_va in set(found) - ends_here:
            assert level > 1
            assert listing.touching([span for span, _, _ in slots], va, last_va)
    anywhere = data.draw(st.lists(st.integers(0, 1 << 33), max_size=5))
    asked = u64(*entries, *anywhere)
    known = [bool(list(islice(spans_through(graph, int(pa)), 1))) for pa in asked]
    assert reached(graph, asked).tolist() == known
    assert all(known[: len(entries)])


def test_only_the_range_of_the_walk_counts() -> None:
    built = Builder(5)
    places = u64(*(built.map(TOP + (n << 12), 0x5000_0000 | PWU) for n in range(4)))
    graph = walk(built.fmt, built.ram, built.roots, (u64(TOP + 0x1000), u64(TOP + 0x2FFF)))
    assert reached(graph, places).tolist() == [False, True, True, False]
    assert list(spans_through(graph, int(places[0]))) == []
    assert list(spans_through(graph, int(places[1]))) == [(1, TOP + 0x1000, TOP + 0x1FFF)]


def test_a_table_is_found_by_each_of_its_paths() -> None:
    built = Builder(5)
    built.map(TOP, 0x5000_0000 | PWU)
    page_table = built.free - 4096
    built.map(0x20_0000, page_table | PWU, level=2)
    graph = walk(built.fmt, built.ram, built.roots)
    assert sorted(spans_of(graph, page_table)) == [
        (1, 0x20_0000, 0x3F_FFFF),
        (1, TOP, TOP + (1 << 21) - 1),
    ]
    assert list(spans_of(graph, 0x1234_5000)) == []


def test_a_table_of_itself_is_found_lazily() -> None:
    ram = PlainRam(4096, 0x1000)
    ram.table(0x1000)[:] = np.uint64(0x1000 | PWU)
    graph = walk(x86_64.make_levels(5), ram, u64(0x1000))
    first = list(islice(spans_of(graph, 0x1000), 1000))
    assert len(first) == len(set(first)) == 1000
    assert len(list(islice(spans_through(graph, 0x1008), 1000))) == 1000
