"""What twins are asked beyond one word of each entry, with an MMU that is the twin's own.

The guests never ran: their tables are made in a RAM file.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from ptlive.access_kind import ACCESS_KINDS
from ptlive.analysis.report import Report
from ptlive.errors import PtliveError
from ptlive.paging.format import Kind
from ptlive.paging.formats import x86_64
from ptlive.verify import census
from ptlive.verify.twins import batches, sharing
from ptlive.verify.twins import run as twin
from ptlive.verify.twins.strays import strays
from tests.verify.made import FRAME, FULL, MB, PHYS_BITS, PS, RW, XD, Made, P, scattered
from tests.verify.test_tiling import without

if TYPE_CHECKING:
    from pathlib import Path

    from ptlive.paging.graph import Graph

ALL = tuple(ACCESS_KINDS.values())
pytestmark = pytest.mark.qemu


def ask(made: Made, graph: Graph | None = None, levels: int = 4, **wanted: Any) -> Report:
    """Verify by twins, with random addresses near what a second reader finds mapped."""
    space = made.space(levels)
    graph = graph or space.walk()
    report = Report(0, 0, graph.reached(Kind.LEAF), 0, version="")
    machine = census.Machine(levels, PHYS_BITS, nxe=True)
    near = census.sample(made, machine, FRAME, 1000, 0)
    wanted = {"kinds": ALL, "strays": strays(levels, near, 1000, 0), **wanted}
    twin.verify_twin(report, space, graph, made.fork(levels), "TCG", twin.Wanted(**wanted))
    return report


def fault(report: Report) -> Any:
    return report.check("twin", "TCG", "fault")


def small(folder: Path) -> Made:
    """A few thousand scattered pages, and some pages of 2M."""
    made = Made(folder / "ram", 16 * MB)
    scattered(made, 4096)
    made.put(3, 20, 1 << 22 | PS | FULL)
    made.put(3, 21, 1 << 22 | PS | P | RW | XD)
    return made


def test_several_twins_find_what_one_finds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each begins from the guest's RAM: A and D are those of its own accesses."""
    made = small(tmp_path)
    one = ask(made)
    assert one.disagreements == []
    monkeypatch.setattr(batches, "BATCH", 1000)
    monkeypatch.setattr("ptlive.paging.paths.CHUNK", 1000)
    several = ask(made)
    assert several.disagreements == []
    assert several.accesses == one.accesses
    assert several.addresses == one.addresses
    dirty = [report.check("twin", "TCG", "dirty").agreed for report in (one, several)]
    assert dirty[1] > dirty[0]  # the upper tables are on the way of several


def test_each_frame_inside_larger_pages(tmp_path: Path) -> None:
    made = small(tmp_path)
    report = ask(made, each_frame=True)
    assert report.disagreements == []
    assert report.addresses["frames inside"] == 2 * 512
    assert report.addresses["first words"] == report.addresses["last words"]


def test_both_ends_of_each_entry_are_asked_whatever_the_kind(tmp_path: Path) -> None:
    made = small(tmp_path)
    entries = made.space().walk()
    total = entries.reached(Kind.LEAF, Kind.ABSENT)
    report = ask(made, kinds=(ACCESS_KINDS["user-read"],), strays=np.zeros(0, np.uint64))
    assert report.disagreements == []
    assert report.accesses["user-read"] == 2 * total + report.addresses["inside"]


@pytest.mark.parametrize("lvl", [2, 3, 4])
def test_a_forgotten_region_is_caught_by_random_addresses(tmp_path: Path, lvl: int) -> None:
    """The walk knows neither leaf nor hole there, so only other addresses can tell."""
    made = small(tmp_path)
    graph = without(made.space().walk(), lvl, lambda floor: np.arange(floor.kind.size) != 0)
    forgotten = 3 << 39, (3 << 39) + (1 << 9 * lvl + 3)
    report = ask(made, graph)
    assert report.disagreed
    told = [one for one in report.disagreements if one.aspect == "fault"]
    assert all(forgotten[0] <= one.va < forgotten[1] for one in told)
    assert any(one.predicted.startswith("#GP") for one in told)


def test_non_canonical_addresses_are_among_the_random_ones(tmp_path: Path) -> None:
    made = small(tmp_path)
    for levels in (4, 5):
        va = strays(levels, np.zeros(0, np.uint64), 400, 1)
        half = 1 << 9 * levels + 11
        outside = [one for one in va.tolist() if half <= one < (1 << 64) - half]
        assert {half, (1 << 64) - half - 8} <= set(outside)
        assert len(outside) >= 100
    assert ask(made, strays=va[va >= np.uint64(1 << 60)]).disagreements == []


@pytest.mark.parametrize("levels", [4, 5])
def test_a_self_map_that_reaches_everything_ends_soon(tmp_path: Path, levels: int) -> None:
    """All but two entries refer to the root itself: 510**levels paths."""
    made = Made(tmp_path / "ram", 8 * MB)
    made.words[512:1024] = FRAME | P | RW | XD
    made.put(1, 7, 0)
    made.put(1, 300, 0)
    report = ask(made, levels=levels)
    assert report.disagreements == []
    shared = fault(report).unchecked["shared: along other paths it was asked"]
    assert shared > 500**levels
    assert report.addresses["edges of shared subtrees"] > 0


def test_of_a_shared_subtree_every_entry_is_asked_and_the_rest_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A shadow like KASAN's: one page table under many page directories' entries."""
    monkeypatch.setattr(batches, "WHOLE", 1000)
    made = Made(tmp_path / "ram", 8 * MB)
    made.put(1, 2, 2 * FRAME | FULL)
    made.put(2, 0, 3 * FRAME | FULL)
    made.words[3 * 512 : 3 * 512 + 100] = 4 * FRAME | FULL
    made.put(3, 200, 5 * FRAME | FULL)
    made.put(4, 9, 100 * FRAME | P | RW)
    made.put(5, 9, 101 * FRAME | FULL)
    graph = made.space().walk()
    report = ask(made, graph)
    assert report.disagreements == []
    assert fault(report).unchecked["shared: along other paths it was asked"] == 99 * 512
    thin = sharing.thin(graph)
    for kind in (Kind.LEAF, Kind.ABSENT):
        assert thin.count(kind) == graph.count(kind)
    first = (2 << 39) + 0 * (2 << 20)
    edges = sharing.edges(graph, np.random.default_rng(0))
    ends = {first, first + (1 << 21) - 8, first + (99 << 21), first + (100 << 21) - 8}
    assert ends <= set(edges.tolist())
    assert 2 * 10 <= edges.size <= 2 * sharing.FEW


def test_a_wrong_entry_in_a_shared_table_is_caught(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "WHOLE", 1000)
    made = Made(tmp_path / "ram", 8 * MB)
    made.put(1, 2, 2 * FRAME | FULL)
    made.put(2, 0, 3 * FRAME | FULL)
    made.words[3 * 512 : 3 * 512 + 100] = 4 * FRAME | FULL
    made.put(4, 9, 100 * FRAME | P | RW)
    graph = made.space().walk()
    made.put(4, 9, 100 * FRAME | P)
    report = ask(made, graph)
    entry = 4 * FRAME + 8 * 9
    assert {one.path[-1][1] for one in report.disagreements if one.path} == {entry}


def test_one_twin_that_fails_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "BATCH", 1000)
    monkeypatch.setattr("ptlive.paging.paths.CHUNK", 1000)
    made = small(tmp_path)
    space, fork = made.space(), dataclasses.replace(made.fork(), qemu="no-such-qemu")
    report = Report(0, 0, 0, 0, version="")
    with pytest.raises(PtliveError, match="twin"):
        twin.verify_twin(report, space, space.walk(), fork, "TCG", twin.Wanted(ALL))


def test_a_1g_page_on_a_cpu_that_shows_none_is_a_quirk_of_tcg(tmp_path: Path) -> None:
    made = Made(tmp_path / "ram", 8 * MB)
    made.put(1, 0, 2 * FRAME | FULL)
    for index, flags in enumerate((FULL, P, P | RW | XD, FULL | 1 << 13)):
        made.put(2, index, PS | flags)
    fmt = x86_64.make_levels(4, maxphyaddr=PHYS_BITS, gbpages=False)
    space = dataclasses.replace(made.space(), format=fmt)
    fork = dataclasses.replace(made.fork(), cpu="max,-pdpe1gb")
    report = Report(0, 0, 0, 0, version="")
    twin.verify_twin(report, space, space.walk(), fork, "TCG", twin.Wanted(ALL))
    assert report.disagreements == []
    counts = {quirk.name: count for quirk, count in report.quirks.items()}
    # Reads alone are asked: two for the first word, one for the last and one inside.
    assert counts["tcg-1g-without-pdpe1gb"] == 3 * 4
    # One has a reserved bit besides: it faults, as TCG's do.
    assert counts["tcg-rsvd-without-p"] == 4


@pytest.mark.long
@pytest.mark.timeout(600)
def test_four_million_leaves_are_verified_whole(tmp_path: Path) -> None:
    made = Made(tmp_path / "ram", 128 * MB)
    scattered(made, 4 << 20)
    report = ask(made)
    assert report.disagreements == []
    assert fault(report).unchecked == {}
    assert fault(report).checked > 8 * (4 << 20)
