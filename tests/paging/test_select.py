"""Some leaves of a walk, held against the scalar reference's leaves."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from ptlive.paging import rights
from ptlive.paging.format import Kind
from ptlive.paging.select import only
from ptlive.paging.walk import walk
from tests.paging import listing
from tests.paging.plain_ram import FRAME, PlainRam
from tests.paging.tables import PS, PWU, Case, cases, machine

VA, LAST_VA, PA, WRITE = 0, 1, 3, 6


@settings(max_examples=50)
@given(cases(), st.data())
def test_the_leaves_of_some_frames_are_those_that_the_reference_finds(
    case: Case, data: st.DataObject
) -> None:
    bounds = st.one_of(
        st.integers(0, (1 << 52) - 1), *(st.just(row[PA]) for row in case.leaves[:50])
    )
    first, last = sorted((data.draw(bounds), data.draw(bounds)))
    graph = walk(case.fmt, case.ram, case.roots)
    some = only(
        graph, lambda leaf: (leaf.pa <= np.uint64(last)) & (leaf.last_pa >= np.uint64(first))
    )
    expected = [
        row for row in case.leaves if row[PA] <= last and row[PA] + row[LAST_VA] - row[VA] >= first
    ]
    assert listing.leaves(case.fmt, some) == expected
    assert some.reached(Kind.LEAF) == len(expected)
    assert listing.holes(some) == case.holes


@settings(max_examples=50)
@given(cases())
def test_rights_are_those_of_the_whole_path(case: Case) -> None:
    graph = walk(case.fmt, case.ram, case.roots)
    some = only(graph, lambda leaf: rights.granted(case.fmt, leaf.rights, "write"))
    assert listing.leaves(case.fmt, some) == [row for row in case.leaves if row[WRITE]]


def test_a_size_is_chosen_by_its_bits() -> None:
    ram = PlainRam(4 * FRAME)
    for table, slot, entry in ((0, 0, FRAME), (1, 0, 2 * FRAME), (2, 0, 3 * FRAME), (2, 1, PS)):
        ram.write(table * FRAME + 8 * slot, entry | PWU)
    ram.write(3 * FRAME, PWU)
    case = Case(machine(4), ram, 0)
    some = only(walk(case.fmt, ram, case.roots), lambda leaf: leaf.bits == 21)
    assert [row[:2] for row in listing.leaves(case.fmt, some)] == [(1 << 21, (1 << 22) - 1)]
