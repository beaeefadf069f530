"""Leaves and holes on demand: their order, their limits, their chunks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ptlive.arrays import u64
from ptlive.paging import paths
from ptlive.paging.format import Kind
from ptlive.paging.walk import walk
from tests.paging import listing
from tests.paging.builder import Builder
from tests.paging.tables import PWU, Case, cases

if TYPE_CHECKING:
    from ptlive.paging.graph import Graph

TOP = 0xFFFF_FFFF_8000_0000


def dense(pages: int = 40) -> tuple[Builder, Graph]:
    built = Builder(5)
    for n in range(pages):
        built.map(TOP + (n << 12), 0x5000_0000 | n << 12 | PWU)
    return built, walk(built.fmt, built.ram, built.roots)


@settings(max_examples=30)
@given(cases(), st.sampled_from([1, 2, 7, 100]))
def test_the_size_of_chunks_makes_no_difference(case: Case, size: int) -> None:
    graph = walk(case.fmt, case.ram, case.roots)
    names = ("va", "last_va", "lvl", "kind", "entry", "entry_pa", "rights", "pa", "space")
    leaves = listing.columns(paths.leaves(graph), *names)
    holes = listing.columns(paths.holes(graph, limit=2000), *names)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(paths, "CHUNK", size)
        chunks = list(paths.leaves(graph, limit=500))
        assert all(len(chunk) <= size for chunk in chunks)
        assert listing.columns(chunks, *names) == leaves[:500]
        assert listing.columns(paths.holes(graph, limit=500), *names) == holes[:500]


@pytest.mark.parametrize("limit", [0, 1, 39, 40, 41, 1 << 40])
def test_a_limit_is_honoured(limit: int) -> None:
    _, graph = dense()
    rows = listing.columns(paths.leaves(graph, limit), "va")
    assert rows == [(TOP + (n << 12),) for n in range(min(limit, 40))]


def test_a_limit_at_the_end_of_a_chunk_ends_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paths, "CHUNK", 10)
    _, graph = dense()
    assert [len(chunk) for chunk in paths.leaves(graph)] == [10] * 4
    assert [len(chunk) for chunk in paths.leaves(graph, 20)] == [10, 10]
    assert [len(chunk) for chunk in paths.leaves(graph, 25)] == [10, 10, 5]


def test_the_order_is_by_root_then_range_then_address() -> None:
    built, _ = dense(4)
    roots = u64(built.root, built.root)
    ranges = (u64(TOP + 0x2000, TOP, 0), u64(TOP + 0x3FFF, TOP + 0x1FFF, (1 << 64) - 1))
    graph = walk(built.fmt, built.ram, roots, ranges)
    rows = listing.columns(paths.leaves(graph), "space", "va")
    pages = [2, 3, 0, 1, 0, 1, 2, 3]
    assert rows == [(space, TOP + (n << 12)) for space in (0, 1) for n in pages]


def test_a_graph_of_nothing_yields_nothing() -> None:
    built = Builder(5)
    graph = walk(built.fmt, built.ram, built.roots, (u64(1 << 60), u64(1 << 60)))
    assert list(paths.leaves(graph)) == list(paths.holes(graph)) == []
    assert list(paths.leaves(walk(built.fmt, built.ram, built.roots))) == []


def test_bad_are_the_holes_that_are_not_absent() -> None:
    built, _ = dense(2)
    place = built.map(TOP + (1 << 30), 1 << 50 | PWU, level=2)
    graph = walk(built.fmt, built.ram, built.roots)
    assert listing.columns(paths.bad(graph), "entry_pa", "kind") == [(place, Kind.UNREADABLE)]


def test_columns_keep_their_types_above_2_to_the_63() -> None:
    built = Builder(5)
    place = built.map((1 << 64) - 4096, 0x000F_FFFF_FFFF_F000 | PWU)
    (chunk,) = paths.leaves(walk(built.fmt, built.ram, built.roots))
    for name in ("va", "last_va", "entry", "entry_pa", "rights", "pa"):
        assert getattr(chunk, name).dtype == np.uint64
    assert (int(chunk.va[0]), int(chunk.last_va[0])) == ((1 << 64) - 4096, (1 << 64) - 1)
    assert (int(chunk.pa[0]), int(chunk.entry_pa[0])) == (0x000F_FFFF_FFFF_F000, place)
