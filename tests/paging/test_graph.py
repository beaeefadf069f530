"""The graph of a walk: its nodes, and counts that are exact however much is shared."""

from __future__ import annotations

import numpy as np

from ptlive.arrays import u64
from ptlive.paging.format import Kind
from ptlive.paging.walk import walk
from tests.paging.builder import Builder
from tests.paging.tables import PS, PWU, P

TOP = 0xFFFF_FFFF_8000_0000


def shared(upper: int) -> Builder:
    """Build a page table of two pages that two PDEs refer to, the second with these flags."""
    built = Builder(5)
    built.map(TOP, 0x5000_0000 | PWU)
    built.map(TOP + 4096, 0x5000_1000 | PWU)
    built.map(TOP + (1 << 21), (built.free - 4096) | upper, level=2)
    return built


def test_a_table_reached_with_equal_rights_is_one_node_of_two_paths() -> None:
    built = shared(PWU)
    floor = walk(built.fmt, built.ram, built.roots).floors[-1]
    assert floor.nodes.paths.tolist() == [2]
    assert floor.start.tolist() == [0, 512]


def test_a_table_reached_with_other_rights_is_another_node_but_read_once() -> None:
    built = shared(P)
    graph = walk(built.fmt, built.ram, built.roots)
    assert graph.floors[-1].nodes.paths.tolist() == [1, 1]
    assert len(built.ram.reads[-1][0]) == 1
    assert (graph.tables, graph.leaves, graph.reached(Kind.LEAF)) == (5, 2, 4)


def test_a_table_partly_in_range_by_one_path_is_two_nodes_of_distinct_entries() -> None:
    built = shared(PWU)
    # From the second page of the first path to the first page of the second.
    limits = (u64(TOP + 4096), u64(TOP + (1 << 21) + 4095))
    graph = walk(built.fmt, built.ram, built.roots, limits)
    floor = graph.floors[-1]
    assert sorted(np.diff(floor.start).tolist()) == [1, 511]
    assert (graph.leaves, graph.reached(Kind.LEAF)) == (2, 2)
    assert (graph.count(Kind.ABSENT), graph.reached(Kind.ABSENT)) == (510, 510)


def test_an_entry_is_counted_at_each_level_that_uses_it() -> None:
    # A recursive slot: the root is a table of each level, and its entries are leaves of one.
    built = Builder(4)
    built.map(0x1000, 0x5000_0000 | PWU)
    built.ram.write(built.root + 8 * 493, built.root | PWU)
    graph = walk(built.fmt, built.ram, built.roots)
    assert graph.tables == 4
    # Tables of level 1 are the page table, and by the slot the PD, the PDPT, and the root,
    # which has two entries: its own and the PDPT's.
    assert graph.floors[-1].nodes.table.size == 4
    assert graph.reached(Kind.LEAF) == graph.leaves == 5


def test_counts_by_kind_do_not_overlap() -> None:
    built = Builder(5)
    built.map(TOP, 0x5000_0000 | PWU)
    built.map(TOP + (1 << 30), 0x4000_0000 | PWU | PS, level=3)
    built.map(TOP + (1 << 21), 0x0000_2000 | PWU | PS, level=2)  # reserved bit 13
    built.map(0, 1 << 50 | PWU, level=4)
    graph = walk(built.fmt, built.ram, built.roots)
    assert {kind: graph.reached(kind) for kind in Kind} == {
        Kind.LEAF: 2,
        Kind.TABLE: 5,
        Kind.MALFORMED: 1,
        Kind.UNREADABLE: 1,
        Kind.ABSENT: 6 * 512 - 9,
    }
    assert graph.reached(*Kind) == graph.count(*Kind) == 6 * 512


def test_floors_tell_where_their_entries_stand() -> None:
    built = Builder(5)
    place = built.map(TOP + 0x5000, 0x5000_0000 | PWU)
    graph = walk(built.fmt, built.ram, built.roots, (u64(TOP + 0x4000), u64(TOP + 0x6FFF)))
    floor = graph.floors[-1]
    edge = np.array([0], dtype=np.intp)
    assert floor.index(edge).tolist() == [5]
    assert floor.offset(edge).tolist() == [0x5000]
    assert floor.entry_address(floor.position, floor.node).tolist() == [place]
    assert floor.kinds().tolist() == [Kind.ABSENT, Kind.LEAF, Kind.ABSENT]
    assert floor.leaf_bits(edge).tolist() == [12]


def test_entries_of_nodes_that_are_asked_for_again_and_again_are_those_of_each() -> None:
    built = shared(P)  # two nodes of one table, of two pages each
    (floor,) = walk(built.fmt, built.ram, built.roots).floors[-1:]
    for kinds in ((Kind.LEAF,), (Kind.TABLE,)):
        for nodes in ([], [1], [0, 1], [1, 0], [1, 1, 0, 1, 0, 0, 1]):
            found = floor.select(np.array(nodes, dtype=np.intp), kinds)
            one_by_one = [floor.select(np.array([node]), kinds) for node in nodes]
            assert found.owned.tolist() == [int(one.owned.sum()) for one in one_by_one]
            assert found.position.tolist() == [at for one in one_by_one for at in one.position]
            assert floor.position[found.edge].tolist() == found.position.tolist()
