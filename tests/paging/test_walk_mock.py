"""The mock format on the walker that knows nothing of it, held against the mock's scalar walk."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from ptlive.arrays import u64
from ptlive.paging.format import Kind
from ptlive.paging.graph import HOLES
from ptlive.paging.translate import translate
from ptlive.paging.walk import walk
from tests.paging import listing
from tests.paging.mock_format import (
    BASE,
    ENTRY,
    EXECUTE,
    HIGH,
    LOCKED,
    LOW,
    MOCK,
    RIGHTS,
    RSVD_LEAF,
    RSVD_TABLE,
    TRACE,
    USER,
    Slot,
    TooManyError,
    grouped,
    leaf,
    slots,
    table,
)
from tests.paging.plain_ram import PlainRam

if TYPE_CHECKING:
    from ptlive.paging.graph import Graph

RAM_SIZE = 256 << 10
ROOTS = (BASE, BASE + 0x8000)  # 8192 entries of 4 bytes each
TABLES = BASE + 0x10000


def rows(found: list[Slot], *, leaves: bool) -> list[listing.Row]:
    """Return the scalar walk's slots in the form of the listing."""
    if leaves:
        return [
            (s.va, s.last_va, s.level, s.pa, s.entry_pa, s.entry, *s.rights)
            for s in found
            if s.kind == "leaf"
        ]
    return [(*s[1:6], s.kind) for s in found if s.kind != "leaf"]


def walk_mock(ram: PlainRam, *ranges: tuple[int, int]) -> Graph:
    roots = u64(*ROOTS).reshape(1, 2)
    if not ranges:
        return walk(MOCK, ram, roots)
    va, last_va = zip(*ranges, strict=True)
    return walk(MOCK, ram, roots, (u64(*va), u64(*last_va)))


def flags() -> st.SearchStrategy[int]:
    usual = st.sampled_from([USER, USER | EXECUTE, LOCKED, USER | TRACE, USER | LOCKED | EXECUTE])
    return st.one_of(usual, usual, st.integers(0, 63).map(lambda bits: bits << 2))


def groups() -> st.SearchStrategy[int]:
    return st.builds(grouped, st.integers(0, 1), st.integers(9, 24), flags())


def entries() -> st.SearchStrategy[int]:
    """Draw entries: tables of all sizes at overlapping places, pages, groups, anything."""
    places = st.one_of(
        st.integers(0, 8).map(lambda n: TABLES + n * 0x1000),
        st.sampled_from(
            [TABLES + 32, TABLES + 0x7E0, BASE, BASE + RAM_SIZE - 32, TABLES + (8 << 20)]
        ),
    )
    tables = st.builds(table, places, flags(), st.sampled_from([0, 0, 3, 3, 5, 9, 1, 14, 15]))
    leaves = st.builds(leaf, st.integers(0, (1 << 20) - 1), flags())
    anything = st.integers(0, (1 << 32) - 1)
    return st.one_of(tables, tables, tables, leaves, groups(), anything)


@st.composite
def rams(draw: st.DrawFn) -> PlainRam:
    """Draw tables of the mock format that its scalar walk can enumerate."""
    ram = PlainRam(RAM_SIZE, BASE)
    tops = st.one_of(st.sampled_from([0, 1, 4095, 4096, 2047, 2048, 8191]), st.integers(0, 8191))
    root_places = st.builds(lambda root, n: root + 4 * n, st.sampled_from(ROOTS), tops)
    places = st.one_of(
        root_places,
        st.builds(
            lambda n, at: TABLES + n * 0x1000 + 4 * at, st.integers(0, 8), st.integers(0, 31)
        ),
    )
    # Ways down, so that most cases have leaves; at their ends pages and groups of 1 to 8 entries.
    for _ in range(draw(st.integers(0, 3))):
        place = draw(root_places)
        for n in range(3):
            target = TABLES + (n + draw(st.integers(0, 2))) * 0x1000
            bits = draw(st.sampled_from([0, 0, 3, 6, 9]))
            ram.write(place, table(target, draw(flags()), bits), ENTRY)
            place = target + 4 * draw(st.sampled_from([0, 0, 2, 4, 6]))
        for entry in draw(st.lists(groups(), max_size=3)):
            size = draw(st.sampled_from([1, 2, 4, 8]))
            ram.table(place, size, ENTRY)[:] = entry
            place += 4 * size
    writes = draw(st.lists(st.tuples(places, entries()), max_size=10))
    states = [ram.data.copy()]
    for place, entry in writes:
        ram.write(place, entry, ENTRY)
        states.append(ram.data.copy())
    while _too_many(ram):
        ram.data[:] = states.pop() if states else 0
    return ram


def _too_many(ram: PlainRam) -> bool:
    try:
        slots(ram, ROOTS, limit=20_000)
    except TooManyError:
        return True
    return False


@settings(max_examples=30)
@given(rams())
def test_leaves_holes_and_counts_are_the_scalar_walks(ram: PlainRam) -> None:
    graph = walk_mock(ram)
    found = slots(ram, ROOTS)
    leaves = rows(found, leaves=True)
    holes = rows(found, leaves=False)
    shown = listing.leaves(MOCK, graph, RIGHTS)
    # By address: an entry inside of a group that it does not belong to comes after the group.
    assert sorted(shown) == sorted(leaves)
    assert [row[0] for row in shown] == sorted(row[0] for row in leaves)
    assert listing.holes(graph) == holes
    assert graph.reached(Kind.LEAF) == len(leaves)
    assert graph.reached(*HOLES) == len(holes)
    assert graph.count(Kind.LEAF) == len({(row[2], row[4]) for row in leaves})
    assert graph.count(*HOLES) == len({(row[2], row[3]) for row in holes})


@settings(max_examples=20)
@given(rams(), st.data())
def test_a_translation_is_the_slot_that_holds_the_address(
    ram: PlainRam, data: st.DataObject
) -> None:
    found = slots(ram, ROOTS)
    chosen = data.draw(st.lists(st.sampled_from(found), min_size=1, max_size=20))
    addresses = [va for slot in chosen for va in (slot.va, slot.last_va)]
    addresses += data.draw(st.lists(st.integers(0, (1 << 64) - 1), max_size=5))
    result = translate(MOCK, ram, u64(*ROOTS), u64(*addresses))
    for row, va in enumerate(addresses):
        holding = [slot for slot in found if slot.va <= va <= slot.last_va]
        answers = [(slot.level, slot.pa + va - slot.va) for slot in holding if slot.kind == "leaf"]
        if result.mapped[row]:
            assert (int(result.lvl[row]), int(result.pa[row])) in answers
        else:
            inside = LOW[0] <= va <= LOW[1] or HIGH[0] <= va <= HIGH[1]
            kinds = [slot.kind for slot in holding if slot.kind != "leaf"]
            assert kinds == ([Kind(int(result.kind[row])).name.lower()] if inside else [])


@settings(max_examples=20)
@given(rams(), st.data())
def test_a_range_shows_what_touches_it(ram: PlainRam, data: st.DataObject) -> None:
    found = slots(ram, ROOTS)
    edges = st.sampled_from([edge for slot in found for edge in (slot.va, slot.last_va)])
    end = st.one_of(edges, edges, st.integers(0, (1 << 64) - 1))
    va, last_va = sorted((data.draw(end), data.draw(end)))
    graph = walk_mock(ram, (va, last_va))
    whole = walk_mock(ram)
    holes = listing.touching(listing.holes(whole), va, last_va)
    assert listing.holes(graph) == holes
    # Where a group begins before the range, its leaf is told by another of its entries.
    in_range = [(*row[:4], *row[6:]) for row in listing.leaves(MOCK, graph, RIGHTS)]
    touching = listing.touching(listing.leaves(MOCK, whole, RIGHTS), va, last_va)
    if not any(_overlap(found)):
        assert in_range == [(*row[:4], *row[6:]) for row in touching]
    else:
        assert set(in_range) <= {(*row[:4], *row[6:]) for row in touching}


def _overlap(found: list[Slot]) -> list[Slot]:
    """Return slots within a leaf: a group some of whose entries disagree."""
    ordered = sorted(found, key=lambda slot: slot.va)
    return [b for a, b in pairwise(ordered) if b.va <= a.last_va]


def test_tables_of_32_bytes_and_of_64k_are_read_in_one_batch_each() -> None:
    ram = PlainRam(RAM_SIZE, BASE)
    small, big, last = TABLES, TABLES + 0x10000, TABLES + 0x1000
    ram.write(ROOTS[0], table(small, bits=3), ENTRY)
    ram.write(ROOTS[0] + 4, table(big, bits=14), ENTRY)
    ram.write(ROOTS[1] + 4 * 8191, table(small, bits=3), ENTRY)
    ram.write(small + 4 * 7, leaf(5), ENTRY)
    ram.write(big + 4 * 16383, table(last, bits=9), ENTRY)
    ram.write(last, leaf(6), ENTRY)
    graph = walk_mock(ram)
    # By level: both roots; then one batch for each size, every table once; then one table.
    assert ram.reads == [(list(ROOTS), 32768), ([small], 32), ([big], 65536), ([last], 2048)]
    # Their entries span: of the small one 2**32 bytes, of the big one 2**21, of the last 2**12.
    assert [row[:4] for row in listing.leaves(MOCK, graph, RIGHTS)] == [
        (7 << 32, (8 << 32) - 1, 3, BASE + (5 << 40)),
        ((2 << 35) - (1 << 21), (2 << 35) - (1 << 21) + 4095, 2, BASE + (6 << 40)),
        ((1 << 64) - (1 << 32), (1 << 64) - 1, 3, BASE + (5 << 40)),
    ]
    assert graph.tables == 5


def test_each_root_translates_its_own_range() -> None:
    ram = PlainRam(RAM_SIZE, BASE)
    ram.write(ROOTS[0] + 4 * 8191, leaf(1), ENTRY)
    ram.write(ROOTS[1] + 4 * 8191, leaf(2), ENTRY)
    ram.write(ROOTS[1], leaf(3), ENTRY)  # below the range that root 1 translates
    result = translate(MOCK, ram, u64(*ROOTS), u64(LOW[1], HIGH[1], HIGH[0] - 1, LOW[1] + 1))
    assert result.mapped.tolist() == [True, True, False, False]
    assert result.pa.tolist()[:2] == [
        BASE + (1 << 40) + (1 << 35) - 1,
        BASE + (2 << 40) + (1 << 35) - 1,
    ]
    assert [row[3] for row in listing.leaves(MOCK, walk_mock(ram), RIGHTS)] == [
        BASE + (1 << 40),
        BASE + (2 << 40),
    ]


def test_rights_fold_as_the_format_says() -> None:
    ram = PlainRam(RAM_SIZE, BASE)
    ram.write(ROOTS[0], table(TABLES, TRACE | EXECUTE), ENTRY)
    ram.write(TABLES, leaf(1, USER | EXECUTE), ENTRY)
    ram.write(TABLES + 4, leaf(1, USER | LOCKED), ENTRY)
    ram.write(ROOTS[0] + 4, table(TABLES, USER | LOCKED), ENTRY)
    graph = walk_mock(ram)
    assert [
        dict(zip(RIGHTS, row[6:], strict=True)) for row in listing.leaves(MOCK, graph, RIGHTS)
    ] == [
        {"write": True, "user": False, "execute": True, "trace": True},
        {"write": False, "user": False, "execute": False, "trace": True},
        {"write": True, "user": True, "execute": True, "trace": False},  # level 4 has no lock
        {"write": False, "user": True, "execute": False, "trace": False},
    ]


def test_a_right_that_the_leaf_alone_decides_makes_no_second_node() -> None:
    ram = PlainRam(RAM_SIZE, BASE)
    ram.write(ROOTS[0], table(TABLES, USER | EXECUTE), ENTRY)
    ram.write(ROOTS[0] + 4, table(TABLES, USER), ENTRY)
    assert walk_mock(ram).floors[1].nodes.paths.tolist() == [2]


def test_a_group_of_entries_is_one_leaf() -> None:
    ram = PlainRam(RAM_SIZE, BASE)
    ram.write(ROOTS[0], table(TABLES), ENTRY)
    group = [grouped(7, 24)] * 4  # in a table whose entries span 2**26 bytes: no group
    ram.table(TABLES, 4, ENTRY)[:] = group
    assert [row[1] - row[0] + 1 for row in listing.leaves(MOCK, walk_mock(ram), RIGHTS)] == [
        1 << 26
    ] * 4
    for address in (TABLES, TABLES + 0x1000):
        ram.write(address, table(address + 0x1000), ENTRY)
    pages = TABLES + 0x2000
    ram.table(pages, 8, ENTRY)[:] = [*[leaf(1)] * 4, *[grouped(2, 14)] * 4]
    graph = walk_mock(ram, (0, (1 << 17) - 1))
    assert [row[:4] for row in listing.leaves(MOCK, graph, RIGHTS)] == [
        *((n << 12, (n << 12) + 4095, 1, BASE + (1 << 40)) for n in range(4)),
        (0x4000, 0x7FFF, 1, BASE + (2 << 40)),
    ]
    result = translate(MOCK, ram, u64(*ROOTS), u64(0x4000, 0x5123, 0x7FFF))
    assert result.pa.tolist() == [BASE + (2 << 40) + offset for offset in (0, 0x1123, 0x3FFF)]
    assert result.page_bits.tolist() == [14] * 3


def test_entries_of_a_group_that_disagree_are_all_shown() -> None:
    ram = PlainRam(RAM_SIZE, BASE)
    ram.write(ROOTS[0], table(TABLES), ENTRY)
    ram.write(TABLES, table(TABLES + 0x1000), ENTRY)
    ram.write(TABLES + 0x1000, table(TABLES + 0x2000), ENTRY)
    wrong = [grouped(2, 14), grouped(3, 14), grouped(3, 14, USER | EXECUTE), grouped(3, 13)]
    ram.table(TABLES + 0x2000, 4, ENTRY)[:] = wrong
    shown = [(row[3], row[5]) for row in listing.leaves(MOCK, walk_mock(ram), RIGHTS)]
    assert shown == [(BASE + (entry >> 12 << 40), entry) for entry in wrong]


def test_what_does_not_fit_is_malformed() -> None:
    ram = PlainRam(RAM_SIZE, BASE)
    ram.write(ROOTS[0], table(TABLES), ENTRY)
    ram.write(TABLES, table(TABLES + 0x1000, bits=14), ENTRY)  # 2**14 entries of 2**12 bytes
    # Of a table whose entries span 2**12 bytes:
    wrong = [
        table(TABLES + 0x1000, bits=13),  # entries of half a byte
        grouped(1, 24),  # fits in the table, which spans 2**26
        leaf(1, USER | RSVD_LEAF),
        table(TABLES, USER | RSVD_TABLE),
        leaf(1, USER | RSVD_TABLE),  # not reserved in a leaf
    ]
    ram.table(TABLES + 0x1000, 5, ENTRY)[:] = wrong
    kinds = walk_mock(ram).floors[2].kind.tolist()
    assert kinds == [Kind.MALFORMED, Kind.LEAF, Kind.MALFORMED, Kind.MALFORMED, Kind.LEAF]
    ram.write(TABLES, table(TABLES + 0x1000, bits=3), ENTRY)  # 8 entries of 2**23 bytes
    ram.table(TABLES + 0x1000, 1, ENTRY)[:] = table(TABLES + 0x2000, bits=15)
    ram.write(TABLES + 0x2000, grouped(1, 24), ENTRY)  # 2**15 entries of 2**8: the span is 2**23
    graph = walk_mock(ram)
    assert graph.floors[3].kind.tolist() == [Kind.MALFORMED]


def test_every_column_is_uint64() -> None:
    ram = PlainRam(RAM_SIZE, BASE)
    ram.write(ROOTS[0], table(TABLES), ENTRY)
    graph = walk_mock(ram)
    for floor in graph.floors:
        assert all(column.dtype == np.uint64 for column in floor.nodes)
        assert floor.entry.dtype == floor.rights.dtype == np.uint64
