"""What is counted below roots, held against all leaves that the reference lists."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from ptlive.analysis.roots.count import count, covering
from ptlive.analysis.roots.frames import Frames
from ptlive.arrays import u64
from ptlive.paging.walk import walk
from tests.paging.plain_ram import FRAME
from tests.paging.tables import RAM_SIZE, Case, cases
from tests.reference.sdm import enumerate_leaves


def frames_of(case: Case) -> Frames:
    return Frames(u64(case.ram.base), u64(case.ram.base + RAM_SIZE - 1), FRAME)


@settings(max_examples=40, deadline=None)
@given(cases())
def test_leaves_are_counted_as_often_as_addresses_reach_them(case: Case) -> None:
    frames = frames_of(case)
    found = count(case.fmt, case.ram, frames, case.roots, None)
    leaves = list(enumerate_leaves(case.machine, case.ram.qword, case.root))
    assert found.known.all()
    assert found.leaves[0] == len(leaves)
    assert found.bytes[0] == sum(leaf.last_va - leaf.va + 1 for leaf in leaves)
    assert found.user[0] == sum(leaf.user for leaf in leaves)
    inside = range(case.ram.base, case.ram.base + RAM_SIZE)
    assert found.in_ram[0] == sum(leaf.pa in inside for leaf in leaves)


@settings(max_examples=40, deadline=None)
@given(cases(), st.integers(0, 5))
def test_each_root_of_one_walk_has_its_own_numbers(case: Case, other: int) -> None:
    frames = frames_of(case)
    second = case.ram.base + other * FRAME
    both = count(case.fmt, case.ram, frames, u64(case.root, second), None)
    for row, root in enumerate((case.root, second)):
        alone = count(case.fmt, case.ram, frames, u64(root), None)
        assert [int(column[row]) for column in both[:7]] == [int(one[0]) for one in alone[:7]]


@settings(max_examples=40, deadline=None)
@given(cases())
def test_how_often_a_frame_is_mapped(case: Case) -> None:
    graph = walk(case.fmt, case.ram, case.roots)
    asked = [case.ram.base + n * FRAME for n in range(6)]
    leaves = {
        (leaf.entry_pa, leaf.pa, leaf.last_va - leaf.va, leaf.level)
        for leaf in enumerate_leaves(case.machine, case.ram.qword, case.root)
    }
    # Of each entry once: an entry that stands at several levels maps other bytes at each.
    levels = [[lvl for _, pa, span, lvl in leaves if pa <= at <= pa + span] for at in asked]
    found = covering(graph, np.array(asked, dtype=np.uint64))
    assert found.times.tolist() == [len(some) for some in levels]
    assert found.lvl.tolist() == [max(some, default=0) for some in levels]
