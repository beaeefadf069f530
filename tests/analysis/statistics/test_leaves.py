"""Statistics, held against sums over every single leaf and table that the reference finds."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from ptlive.analysis.statistics.leaves import Kinds, distinct_bytes
from ptlive.analysis.statistics.tables import tables
from ptlive.arrays import u64
from ptlive.paging import rights
from ptlive.paging.formats.x86_64 import make_levels
from ptlive.paging.sums import paths_from
from ptlive.paging.walk import walk
from tests.analysis.regions.naive import alike, espfix, target
from tests.paging.builder import Builder
from tests.paging.plain_ram import FRAME
from tests.paging.tables import PWU, RAM_SIZE, RW, Case, D, P, cases
from tests.paging.tables import A as ACCESSED
from tests.reference.terms import Leaf

if TYPE_CHECKING:
    from ptlive.arrays import Bool
    from ptlive.paging.graph import Graph

ADDRESS = 0x000F_FFFF_FFFF_F000


def everything(graph: Graph) -> Bool:
    return np.ones(graph.tops.node.size, dtype=np.bool_)


def sums(case: Case, leaves: list[Leaf]) -> dict[tuple[object, ...], tuple[int, int, int]]:
    """Return entries, times reached and bytes for each size, rights, target, A and D."""
    entries: dict[tuple[object, ...], set[int]] = {}
    reached: Counter[tuple[object, ...]] = Counter()
    for leaf in leaves:
        bits = (leaf.last_va - leaf.va + 1).bit_length() - 1
        lies_in = int(target(u64(leaf.pa), u64(bits))[0])
        used = bool(leaf.entry & ACCESSED), bool(leaf.entry & D)
        key = bits, (leaf.write, leaf.user, leaf.execute), lies_in, *used
        entries.setdefault(key, set()).add(leaf.entry_pa)
        reached[key] += 1
    return {
        key: (len(entries[key]), count, count << int(str(key[0]))) for key, count in reached.items()
    }


@settings(max_examples=60, deadline=None)
@given(cases(), st.data())
def test_each_kind_of_leaf_is_counted_exactly_for_each_root(
    case: Case, data: st.DataObject
) -> None:
    frames = st.integers(0, RAM_SIZE // FRAME - 1).map(lambda n: case.ram.base + n * FRAME)
    other = Case(case.machine, case.ram, data.draw(frames))
    graph = walk(case.fmt, case.ram, u64(case.root, other.root))
    kinds = Kinds(graph, target)

    def counted(tops: Bool) -> dict[tuple[object, ...], tuple[int, int, int]]:
        found: dict[tuple[object, ...], tuple[int, int, int]] = {}
        for cell, (entries, reached) in kinds.count(paths_from(graph, tops)).cells.items():
            granted = rights.names(case.fmt, cell.rights)
            folded = granted["write"], granted["user"], granted["execute"]
            key = (cell.bits, folded, cell.target, cell.accessed, cell.dirty)
            found[key] = entries, reached, reached << cell.bits
        return found

    first, second = ([Leaf(*row) for row in each.leaves] for each in (case, other))
    assert counted(graph.tops.space == 0) == sums(case, first)
    assert counted(graph.tops.space == 1) == sums(case, second)
    assert counted(everything(graph)) == sums(case, first + second)
    # An entry that is reached with several rights is one entry all the same.
    paths = paths_from(graph, everything(graph))
    entries = {(leaf.level, leaf.entry_pa) for leaf in first + second}
    assert kinds.count(paths).total.entries == len(entries) == graph.leaves
    sizes = dict.fromkeys({12 + 9 * (level - 1) for level, _ in entries}, 0)
    for level, _ in entries:
        sizes[12 + 9 * (level - 1)] += 1
    by_size = kinds.count(paths).by(lambda cell: cell.bits)
    assert {bits: count.entries for bits, count in by_size.items()} == sizes
    mapped = sorted({(leaf.pa, leaf.pa + leaf.last_va - leaf.va) for leaf in first + second})
    total, at = 0, 0
    for begin, last in mapped:
        total += max(last + 1 - max(begin, at), 0)
        at = max(at, last + 1)
    assert distinct_bytes(graph, paths_from(graph, everything(graph))) == total


def test_a_page_at_65536_addresses_counts_once_and_65536_times() -> None:
    made = espfix()
    graph = walk(made.fmt, made.ram, made.roots)
    paths = paths_from(graph, everything(graph))
    total = Kinds(graph, alike).count(paths).total
    # 32 entries of one table.
    assert (total.entries, total.reached, total.bytes) == (32, 65_536, 65_536 * FRAME)
    assert distinct_bytes(graph, paths) == FRAME
    by_level = {one.lvl: one for one in tables(graph, paths)}
    assert [(one.lvl, one.tables, one.paths, one.shared) for one in by_level.values()] == [
        (4, 1, 1, 0),
        (3, 1, 1, 0),
        (2, 1, 4, 1),
        (1, 1, 2048, 1),
    ]
    assert [(one.used, one.full) for one in by_level.values()] == [
        (1, 0),
        (4, 0),
        (512, 1),
        (32, 0),
    ]


def full_table(made: Builder, va: int, pa: int, flags: int = PWU) -> None:
    """Map 2M by 4K pages that follow each other."""
    for n in range(512):
        made.map(va + n * FRAME, (pa + n * FRAME) | flags)


def mergeable(made: Builder) -> dict[int, int]:
    graph = walk(made.fmt, made.ram, made.roots)
    return {one.lvl: one.mergeable for one in tables(graph, paths_from(graph, everything(graph)))}


def test_a_table_is_as_one_page_only_if_nothing_differs_but_what_the_mmu_writes() -> None:
    made = Builder(levels=4)
    full_table(made, 0, 0x4000_0000)
    assert mergeable(made) == {4: 0, 3: 0, 2: 0, 1: 1}
    for entry, still in (
        (0x4000_5000 | PWU | ACCESSED | D, 1),
        (0x4000_5000 | P | RW, 0),  # not for user mode
        (0x4000_5000 | PWU | 1 << 8, 0),  # global
        (0x4000_6000 | PWU, 0),  # another frame
        (0, 0),
    ):
        made.map(5 * FRAME, entry)
        assert mergeable(made)[1] == still, hex(entry)


def test_a_table_is_not_as_one_page_where_no_page_can_begin() -> None:
    made = Builder(levels=4)
    full_table(made, 0, 0x4000_1000)
    assert mergeable(made)[1] == 0


def test_tables_of_several_roots_are_counted_once_together() -> None:
    """Two roots share the table of their upper half, as processes do the kernel's."""
    made = Builder(levels=4)
    made.map(0xFFFF_8000_0000_0000, 0x5000 | PWU)
    other = made.table()
    made.ram.write(other + 8 * 256, made.ram.value(made.root + 8 * 256))
    graph = walk(make_levels(4), made.ram, u64(made.root, other))
    together = {one.lvl: one for one in tables(graph, paths_from(graph, everything(graph)))}
    assert [(one.tables, one.shared) for one in together.values()] == [
        (2, 0),
        (1, 1),
        (1, 1),
        (1, 1),
    ]
    alone = {one.lvl: one for one in tables(graph, paths_from(graph, graph.tops.space == 1))}
    assert [(one.tables, one.shared) for one in alone.values()] == [(1, 0)] * 4


def test_tables_that_lie_in_no_memory_are_none() -> None:
    made = Builder(levels=4)
    made.map(0, 0x40_0000_0000 | PWU, level=2)
    graph = walk(made.fmt, made.ram, made.roots)
    found = tables(graph, paths_from(graph, everything(graph)))
    assert [(one.lvl, one.tables, one.used, one.paths) for one in found] == [
        (4, 1, 1, 1),
        (3, 1, 1, 1),
        (2, 1, 1, 1),
        (1, 0, 0, 0),
    ]
