"""The tree of tables: what is alike is one run, what is shared stands there once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import given, settings

from ptlive.analysis.tree import Run, Tree, merged_tables
from ptlive.arrays import u64
from ptlive.paging.format import Kind
from ptlive.paging.formats.x86_64 import make_levels
from ptlive.paging.walk import walk
from tests.analysis.regions.naive import alike, espfix, linear, target
from tests.paging.builder import Builder
from tests.paging.plain_ram import FRAME, PlainRam
from tests.paging.tables import PWU, RAM_SIZE, Case, cases

if TYPE_CHECKING:
    from ptlive.paging.graph import Graph


def runs_of(graph: Graph, depth: int | None = None) -> list[Run]:
    return list(merged_tables(Tree(graph, target, depth).runs()))


@settings(max_examples=50, deadline=None)
@given(cases())
def test_every_leaf_that_the_reference_finds_is_behind_an_entry_of_the_tree(case: Case) -> None:
    graph = walk(case.fmt, case.ram, case.roots)
    runs = runs_of(graph)
    assert sum(run.leaves for run in runs if run.depth == 0) == len(case.leaves)
    # Where no table was seen before, the tree shows a leaf's own address.
    shown = [run for run in runs if run.kind is Kind.LEAF]
    entries = {(row[2], row[4]): row for row in case.leaves}
    assert sum(run.entries for run in shown) >= len(entries)
    starts = {(row[0], row[2], row[3]) for row in case.leaves}
    assert all((run.va, run.lvl, run.refers_to) in starts for run in shown)


def test_alike_neighbours_are_one_run_and_others_are_not() -> None:
    made = Builder(levels=4)
    for n in (0, 1, 2, 4, 5):
        made.map(n * FRAME, (0x4000_0000 + n * FRAME) | PWU)
    made.map(5 * FRAME, 0x9000_0000 | PWU)
    found = list(Tree(walk(made.fmt, made.ram, made.roots), alike).runs())
    assert [(run.depth, run.first, run.last) for run in found] == [
        (0, 0, 0),
        (1, 0, 0),
        (2, 0, 0),
        (3, 0, 2),
        (3, 4, 5),
    ]
    assert [run.contiguous for run in found[3:]] == [True, False]
    assert all(run.leaves == 5 for run in found[:3])


def test_a_shared_table_is_shown_once_and_says_how_often() -> None:
    made = espfix()
    found = list(Tree(walk(made.fmt, made.ram, made.roots), alike).runs())
    directory = next(run for run in found if run.depth == 1)
    assert (directory.entries, directory.same, directory.paths) == (4, True, 4)
    table = next(run for run in found if run.depth == 2)
    assert (table.entries, table.same, table.leaves) == (512, True, 512 * 32)
    assert table.paths == 2048
    assert len([run for run in found if run.depth == 3]) == 32


def test_a_table_that_comes_again_is_referred_to() -> None:
    ram = PlainRam(RAM_SIZE)
    linear(ram, 4)  # each table's entries 0 and 511 refer to the next table
    ram.write(3 * FRAME, 0x7000 | PWU)
    found = list(Tree(walk(make_levels(4), ram, u64(0)), alike).runs())
    # The halves of the address space are two parts of the root, and share all below.
    assert [(run.depth, run.first, run.again) for run in found] == [
        (0, 0, False),
        (1, 0, False),
        (2, 0, False),
        (3, 0, False),
        (2, 511, True),
        (1, 511, True),
        (0, 511, True),
    ]
    assert found[0].leaves == 4


def test_tables_that_are_not_shown_are_joined() -> None:
    made = Builder(levels=4)
    for n in range(3):
        made.map(n << 21, 0x5000 | PWU)
    graph = walk(made.fmt, made.ram, made.roots)
    found = runs_of(graph, depth=3)
    assert [(run.depth, run.first, run.last, run.cut) for run in found] == [
        (0, 0, 0, False),
        (1, 0, 0, False),
        (2, 0, 2, True),
    ]
    assert (found[-1].entries, found[-1].leaves) == (3, 3)
    (top,) = runs_of(graph, depth=1)
    assert top.cut
