"""What is asked about: everything if there is room, else something of every class."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ptlive.arrays import u64
from ptlive.paging import paths
from ptlive.paging.format import Kind
from ptlive.paging.formats.x86_64 import make_levels
from ptlive.paging.walk import walk
from ptlive.verify import targets as module
from ptlive.verify.targets import choose
from tests.paging.plain_ram import FRAME, PlainRam
from tests.paging.tables import PS, PWU, RW, US, XD, Case, P, cases

if TYPE_CHECKING:
    from ptlive.paging.graph import Graph


def crowd() -> Graph:
    """Two full page tables all alike, and one odd page of each kind among them."""
    ram = PlainRam(8 * FRAME)
    for n in range(3):
        ram.write(n * FRAME, (n + 1) * FRAME | PWU)
    ram.write(2 * FRAME + 8, 4 * FRAME | PWU)
    for table in (3, 4):
        ram.table(table * FRAME)[:] = np.uint64(0x7000 | PWU)
    for slot, entry in ODD.items():
        ram.write(3 * FRAME + 8 * slot, entry)
    ram.write(2 * FRAME + 8 * 7, 0x20_0000 | PWU | PS)
    return walk(make_levels(4, maxphyaddr=46), ram, u64(0))


ODD = {
    17: 0x7000 | P | RW,  # supervisor
    99: 0x7000 | P | US,  # read-only
    123: 0x7000 | PWU | XD,
    200: 0x7000 | PWU | 5 << 59,  # another key
    301: 0x7000 | PWU | 1 << 51,  # malformed
    302: 0xABC0,  # absent, and not zero
    303: 0,  # the only absent one at this level
    511: 0x7000 | PWU | 1 << 4,
}


def whose(graph: Graph, va: int) -> tuple[int, int, int]:
    """The leaf or hole that an address lies in: level and range."""
    for kinds in (paths.leaves, paths.holes):
        for chunk in kinds(graph):
            at = np.flatnonzero((chunk.va <= np.uint64(va)) & (chunk.last_va >= np.uint64(va)))
            if at.size:
                return (int(chunk.lvl[at[0]]), int(chunk.va[at[0]]), int(chunk.last_va[at[0]]))
    raise AssertionError


@pytest.mark.parametrize("seed", range(5))
def test_a_rare_class_is_always_drawn(seed: int) -> None:
    graph = crowd()
    found = choose(graph, 30, seed)
    assert found.va.size == 30
    pages = {int(va) >> 12 for va in found.va}
    assert set(ODD) <= pages
    assert any(va >> 21 == 7 for va in found.va.tolist())
    assert found.entries == graph.reached(*Kind) - graph.reached(Kind.TABLE)


def test_fewer_than_the_classes_are_leaves_first() -> None:
    graph = crowd()
    for va in choose(graph, 4, 0).va.tolist():
        assert va >> 12 in ODD or va >> 21 in (0, 1, 7)
        assert va >> 12 not in (301, 302, 303)


def test_the_same_seed_chooses_the_same_and_another_others() -> None:
    graph = crowd()
    first = choose(graph, 100, 1).va
    assert np.array_equal(first, choose(graph, 100, 1).va)
    assert not np.array_equal(first, choose(graph, 100, 2).va)


def test_nothing_to_choose_from_is_nothing() -> None:
    graph = walk(make_levels(4), PlainRam(FRAME), u64(0), (u64(1 << 60), u64(1 << 61)))
    found = choose(graph, 10, 0)
    assert (found.va.size, found.entries) == (0, 0)
    assert found.va.dtype == np.uint64


@settings(max_examples=15, deadline=None)
@given(cases(), st.integers(0, 1 << 40))
def test_with_room_for_all_each_leaf_and_hole_is_chosen_once(case: Case, seed: int) -> None:
    graph = walk(case.fmt, case.ram, case.roots)
    slots = sorted(row[:2] for row in case.leaves + case.holes)
    found = choose(graph, len(slots), seed)
    assert found.entries == len(slots)
    for va, (first, last) in zip(found.va.tolist(), slots, strict=True):
        assert first <= va
        assert va + 7 <= last  # the whole access lies inside
        assert va % 8 == 0


@settings(max_examples=15, deadline=None)
@given(cases(), st.integers(1, 40))
def test_never_more_than_asked_for_and_no_entry_twice(case: Case, count: int) -> None:
    graph = walk(case.fmt, case.ram, case.roots)
    slots = sorted(row[:2] for row in case.leaves + case.holes)
    found = choose(graph, count, 3)
    assert found.va.size == min(count, len(slots))
    starts = np.array([first for first, _ in slots], dtype=np.uint64)
    assert np.unique(np.searchsorted(starts, found.va, side="right")).size == found.va.size


def test_only_so_many_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LIMIT", 100)
    found = choose(crowd(), 1000, 0)
    assert found.va.size == 200
    assert found.entries > 1000
