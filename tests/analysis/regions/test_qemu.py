"""Regions and counts of a Linux guest, held against the lines that QEMU's `info tlb` prints."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from ptlive.analysis.filters import Filter, filtered
from ptlive.analysis.regions.build import regions
from ptlive.analysis.statistics.leaves import Kinds
from ptlive.oracle import info_tlb
from ptlive.paging.sums import paths_from
from ptlive.space import open_space
from ptlive.target.attach import attach
from ptlive.wire.qmp import Qmp
from tests.analysis.regions.naive import each

if TYPE_CHECKING:
    from ptlive.target.running import Guest

PS, G = 1 << 7, 1 << 8


@pytest.mark.qemu
def test_regions_are_what_qemu_prints_page_by_page(linux_guest: Guest) -> None:
    with attach(linux_guest.gdb) as target, Qmp(linux_guest.qmp) as qmp:
        space = open_space(target.cpus[0], target.memory, target.ram_map)
        levels = space.format.top
        root = int(space.root[0])
        printed = info_tlb.ask(target.memory, target.ram_map, root, levels, 1, qmp)
        graph = space.walk()
        one_by_one = each(regions(graph, space.target_of, split_pa=True, fold=True))
        cells = Kinds(graph, space.target_of).count(paths_from(graph, graph.tops.space == 0))
        (global_, _) = filtered(graph, Filter(fields=(("G", None),)), space.target_of)
        of_global = regions(global_, space.target_of)
    lines = dict(zip(printed.va.tolist(), printed.pa.tolist(), strict=True))
    assert len(lines) > 1000
    for _, va, last_va, _, pa, contiguous, pages in one_by_one:
        assert contiguous
        here = [at for at in lines if va <= at <= last_va]
        assert len(here) == sum(pages.values())
        assert sum(count << bits for bits, count in pages.items()) == last_va - va + 1
        assert all(lines.pop(at) == pa + at - va for at in here)
    assert lines == {}, "pages that QEMU prints and no region has"
    large = (printed.flags & np.uint64(PS)) != 0
    by_size = cells.by(lambda cell: cell.bits > 12)
    assert {key: count.reached for key, count in by_size.items()} == {
        False: int((~large).sum()),
        True: int(large.sum()),
    }
    assert int(of_global.pages.sum()) == int(((printed.flags & np.uint64(G)) != 0).sum())
