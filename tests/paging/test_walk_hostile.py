"""Tables made to make a walker hang or eat all memory: the cost follows distinct tables."""

from __future__ import annotations

import time
import tracemalloc
from typing import TYPE_CHECKING

import numpy as np
import pytest

from ptlive.arrays import u64
from ptlive.paging import paths
from ptlive.paging.format import Kind
from ptlive.paging.formats import x86_64
from ptlive.paging.graph import HOLES
from ptlive.paging.translate import translate
from ptlive.paging.walk import walk
from tests.paging import listing
from tests.paging.formats.test_x86_64 import SIX
from tests.paging.plain_ram import FRAME, PlainRam
from tests.paging.tables import PWU, RW, US, XD, P

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = 0x10_0000
BUDGET_SECONDS = 5.0  # on a loaded machine; alone each takes a few hundredths
BUDGET_BYTES = 256 << 20


@pytest.fixture(autouse=True)
def _bounded() -> Iterator[None]:
    """Fail what takes long or much memory, whatever it answers."""
    tracemalloc.start()
    began = time.process_time()
    yield
    seconds = time.process_time() - began
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert seconds < BUDGET_SECONDS
    assert peak < BUDGET_BYTES


def self_map() -> PlainRam:
    """Build one frame, all of whose entries refer to it."""
    ram = PlainRam(FRAME, ROOT)
    ram.table(ROOT)[:] = ROOT | PWU
    return ram


@pytest.mark.parametrize("levels", [4, 5])
def test_a_table_of_itself_counts_exactly(levels: int) -> None:
    graph = walk(x86_64.make_levels(levels), self_map(), u64(ROOT))
    assert graph.reached(Kind.LEAF) == 512**levels
    assert graph.reached(Kind.TABLE) == sum(512**n for n in range(1, levels))
    assert graph.reached(*HOLES) == 0
    assert graph.leaves == 512
    assert graph.tables == 1
    # One node for each level and, below the root, for each clip: there is but the whole.
    assert [floor.nodes.table.size for floor in graph.floors] == [2] + [1] * (levels - 1)


def test_six_levels_of_itself() -> None:
    assert walk(SIX, self_map(), u64(ROOT)).reached(Kind.LEAF) == 128 * 512**5


def test_many_roots_of_itself_add_up_without_overflow() -> None:
    graph = walk(SIX, self_map(), np.full(4096, ROOT, dtype=np.uint64))
    assert graph.reached(Kind.LEAF) == 4096 * 128 * 512**5
    assert 4096 * 128 * 512**5 == 1 << 64  # one more than uint64 can hold


@pytest.mark.parametrize("levels", [4, 5])
def test_the_first_chunk_of_2_to_the_45_leaves_is_there_at_once(levels: int) -> None:
    fmt = x86_64.make_levels(levels)
    graph = walk(fmt, self_map(), u64(ROOT))
    first = next(paths.leaves(graph))
    assert 0 < len(first) <= paths.CHUNK
    assert (first.va == np.arange(len(first), dtype=np.uint64) << np.uint64(12)).all()
    assert (first.pa == np.uint64(ROOT)).all()
    assert next(paths.holes(graph), None) is None


def test_the_last_addresses_of_2_to_the_45_are_there_at_once() -> None:
    fmt = x86_64.make_levels(5)
    va, last_va = (1 << 64) - (1 << 30) - 4096, (1 << 64) - 1
    graph = walk(fmt, self_map(), u64(ROOT), (u64(va), u64(last_va)))
    assert graph.reached(Kind.LEAF) == (1 << 18) + 1
    chunks = list(paths.leaves(graph))
    assert sum(len(chunk) for chunk in chunks) == (1 << 18) + 1
    assert int(chunks[0].va[0]) == va
    assert int(chunks[-1].last_va[-1]) == last_va


def test_a_range_over_almost_all_is_counted_exactly() -> None:
    fmt = x86_64.make_levels(5)
    graph = walk(fmt, self_map(), u64(ROOT), (u64(4096), u64((1 << 64) - 4097)))
    assert graph.reached(Kind.LEAF) == 512**5 - 2
    assert graph.leaves == 512


def test_all_rights_of_all_paths_make_few_nodes() -> None:
    # Two frames that refer to each other and themselves with all eight sets of rights.
    ram = PlainRam(2 * FRAME, ROOT)
    for n in range(1024):
        rights = (RW if n & 1 else 0) | (US if n & 2 else 0) | (XD if n & 4 else 0)
        ram.write(ROOT + 8 * n, ROOT + (n >> 3 & 1) * FRAME | P | rights)
    graph = walk(x86_64.make_levels(5), ram, u64(ROOT))
    assert graph.reached(Kind.LEAF) == 512**5
    # Tables times rights, whatever the number of paths.
    assert all(floor.nodes.table.size <= 16 for floor in graph.floors[1:])
    assert graph.tables == 2


def test_a_shared_shadow_counts_each_path_and_costs_its_tables() -> None:
    # As KASAN's zero shadow: a chain of tables, each full of references to the next.
    ram = PlainRam(5 * FRAME, ROOT)
    for n in range(4):
        ram.table(ROOT + n * FRAME)[:] = ROOT + (n + 1) * FRAME | PWU
    ram.table(ROOT + 4 * FRAME)[:] = np.arange(512, dtype=np.uint64) << np.uint64(12) | np.uint64(P)
    ram.write(ROOT + 4 * FRAME + 8 * 7, 0)
    graph = walk(x86_64.make_levels(5), ram, u64(ROOT))
    assert graph.reached(Kind.LEAF) == 512**4 * 511
    assert graph.reached(Kind.ABSENT) == 512**4
    assert graph.count(Kind.ABSENT) == 1
    hole = next(paths.holes(graph, limit=1))
    assert hole.va.tolist() == [7 << 12]


def test_sparse_answers_in_a_vast_graph_are_found_at_once() -> None:
    # 2**45 leaves and a single malformed entry, which the very last address reaches.
    ram = PlainRam(10 * FRAME, ROOT)
    full, edge = ROOT + 5 * FRAME, ROOT
    for n in range(5):
        below = min(n + 1, 4)
        ram.table(full + n * FRAME)[:] = full + below * FRAME | PWU
        ram.table(edge + n * FRAME)[:] = full + below * FRAME | PWU
        ram.write(edge + n * FRAME + 8 * 511, edge + (n + 1) * FRAME | PWU)
    ram.write(edge + 4 * FRAME + 8 * 511, 1 << 51 | PWU)
    graph = walk(x86_64.make_levels(5, maxphyaddr=46), ram, u64(ROOT))
    assert [row[:3] for row in listing.holes(graph)] == [((1 << 64) - 4096, (1 << 64) - 1, 1)]
    assert graph.reached(Kind.LEAF) == 512**5 - 1


def test_a_translation_in_a_self_map_ends() -> None:
    va = np.random.default_rng(2).integers(0, 1 << 57, 1000, dtype=np.uint64)
    canonical = np.where(va >> np.uint64(56), va | np.uint64(0xFE << 56), va)
    result = translate(x86_64.make_levels(5), self_map(), u64(ROOT), canonical)
    assert result.mapped.all()
    assert (result.pa == (va & np.uint64(4095)) + np.uint64(ROOT)).all()
