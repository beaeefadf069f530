"""Nothing forgotten: graphs from which something was taken away, and counts by hand."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from ptlive.analysis.report import Report
from ptlive.arrays import u64
from ptlive.paging import paths
from ptlive.paging.format import Kind
from ptlive.paging.formats import x86_64
from ptlive.paging.walk import walk
from ptlive.verify import census, tiling
from tests.paging.plain_ram import FRAME, PlainRam

if TYPE_CHECKING:
    from ptlive.paging.graph import Graph

FULL, PS = 7, 1 << 7
MACHINE = census.Machine(levels=4, maxphyaddr=40, nxe=True)
FMT = x86_64.make_levels(4, maxphyaddr=40)


def ram() -> PlainRam:
    """One path in each half, a 2M page, a table used twice, reserved bits, a table nowhere."""
    memory = PlainRam(16 * FRAME)

    def put(frame: int, index: int, entry: int) -> None:
        memory.write(frame * FRAME + 8 * index, entry)

    put(0, 0, 1 * FRAME | FULL)
    put(0, 511, 1 * FRAME | FULL)
    put(0, 7, 1 * FRAME | FULL | PS)  # reserved in a PML4E
    put(1, 0, 2 * FRAME | FULL)
    put(1, 1, 2 * FRAME | FULL | 1 << 45)  # beyond MAXPHYADDR
    put(1, 2, 99 * FRAME | FULL)  # in no memory
    put(2, 0, 3 * FRAME | FULL)
    put(2, 1, PS | FULL)
    put(3, 5, 9 * FRAME | FULL)
    return memory


def found(graph: Graph, memory: PlainRam, machine: census.Machine = MACHINE) -> Report:
    report = Report(tables=0, leaves=0, reached=0, holes=0, version="")
    tiling.compare(report, graph, None, census.count(memory, machine, 0), "ptlive verify")
    return report


def test_the_census_is_what_one_counts_by_hand() -> None:
    counts = {one.lvl: one.paths for one in census.count(ram(), MACHINE, 0)}
    # The PDPT, the page directory and the page table stand at two addresses each.
    assert counts == {4: 510, 3: 2 * 511, 2: 2 * 511, 1: 2 * 512}


def test_the_sums_are_those_of_the_addresses() -> None:
    memory = PlainRam(4 * FRAME)
    memory.write(8 * 511, 1 * FRAME | FULL)
    top, pdpt = census.count(memory, MACHINE, 0)
    first = [i << 39 if i < 256 else (i << 39) + (0xFFFF << 48) for i in range(511)]
    assert top.first == sum(first) % (1 << 64)
    base = (511 << 39) + (0xFFFF << 48)
    assert pdpt.first == sum(base + (i << 30) for i in range(512)) % (1 << 64)


def test_a_whole_walk_tiles_the_space() -> None:
    memory = ram()
    report = found(walk(FMT, memory, u64(0)), memory)
    assert report.disagreements == []
    total = 510 + 2 * (511 + 511 + 512)
    assert [(one.aspect, one.agreed) for one in report.checks] == [
        *(("coverage", total), ("census", total))
    ]


def without(graph: Graph, lvl: int, keep: Any) -> Graph:
    """Return a graph whose edges on one level are only those to keep."""
    floors = []
    for floor in graph.floors:
        if floor.lvl == lvl:
            floor = floor.without(~keep(floor))
        floors.append(floor)
    return dataclasses.replace(graph, floors=floors)


@pytest.mark.parametrize("lvl", [4, 3, 2, 1])
def test_a_region_that_the_walk_forgot_is_a_gap_that_is_named(lvl: int) -> None:
    memory = ram()
    graph = without(walk(FMT, memory, u64(0)), lvl, lambda floor: np.arange(floor.kind.size) > 0)
    report = found(graph, memory)
    assert {one.aspect for one in report.disagreements} == {"coverage", "census"}
    told = [one for one in report.disagreements if one.aspect == "coverage"]
    first = 5 * FRAME if lvl == 1 else 0
    assert told[0].va == first
    last = first + (1 << 9 * lvl + 3) - 1
    assert told[0].observed.startswith("nothing up to ")
    if lvl == 1:
        assert told[0].observed == f"nothing up to {last:#x}"


def test_a_table_taken_for_a_hole_tiles_but_is_counted() -> None:
    memory = ram()
    graph = walk(FMT, memory, u64(0))
    floor = graph.floors[2]
    kind = np.where(floor.kind == Kind.TABLE, Kind.MALFORMED, floor.kind).astype(np.uint8)
    graph.floors[2] = dataclasses.replace(floor, kind=kind)
    report = found(graph, memory)
    assert {one.aspect for one in report.disagreements} == {"census"}


def test_a_range_listed_too_long_is_an_overlap(monkeypatch: pytest.MonkeyPatch) -> None:
    memory = ram()
    expand = paths.leaves

    def longer(graph: Graph, limit: int | None = None) -> Any:
        for chunk in expand(graph, limit):
            chunk.bits = chunk.bits + np.uint8(1)
            yield chunk

    monkeypatch.setattr(tiling, "leaves", longer)
    report = found(walk(FMT, memory, u64(0)), memory)
    assert {one.aspect for one in report.disagreements} == {"coverage"}


def test_a_range_is_covered_too_and_a_gap_in_it_told() -> None:
    memory = ram()
    ranges = (u64(0), u64((1 << 21) - 1))
    graph = walk(FMT, memory, u64(0), ranges)
    for one, gaps in ((graph, 0), (without(graph, 1, lambda f: f.kind != Kind.LEAF), 1)):
        report = Report(tables=0, leaves=0, reached=0, holes=0, version="")
        tiling.compare(report, one, ranges, [], "")
        assert report.disagreed == gaps
        assert [check.aspect for check in report.checks] == ["coverage"]


def test_a_self_map_of_all_entries_is_added_up_and_not_listed() -> None:
    memory = PlainRam(2 * FRAME)
    memory.table(0)[:] = FULL
    graph = walk(FMT, memory, u64(0))
    report = found(graph, memory)
    assert report.disagreements == []
    assert report.check("tiling", "reference", "census").agreed == 512**4
    graph.floors[3].nodes.paths[:] -= np.uint64(1)
    assert {one.aspect for one in found(graph, memory).disagreements} == {"coverage", "census"}


def test_samples_are_mapped_and_rare_ones_are_among_them() -> None:
    memory = ram()
    va = census.sample(memory, MACHINE, 0, 500, 1)
    page = set((va >> np.uint64(12)).tolist())
    assert {5, (511 << 27 | 0xFFFF << 36) + 5} <= page
    assert all(v < 1 << 47 or v >= (1 << 64) - (1 << 47) for v in va.tolist())
