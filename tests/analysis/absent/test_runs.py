"""Runs of entries that are not present but hold something."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from hypothesis import given, settings

from ptlive.analysis.absent.runs import absent_runs
from ptlive.analysis.profile import Explained, Profile
from ptlive.paging.walk import walk
from tests.paging.builder import Builder
from tests.paging.tables import PWU, Case, cases

if TYPE_CHECKING:
    from ptlive.arrays import U8, U64, Bool

VA, LAST_VA, LEVEL, ENTRY_PA, ENTRY, KIND = range(6)


def by_bit_1(lvl: int, entries: U64, kernel: Bool | bool = False) -> tuple[U8, tuple[str, ...]]:
    """Explain entries by one of their bits, and by whose they are."""
    assert lvl > 0
    codes = (entries >> np.uint64(1) & np.uint64(1)).astype(np.uint8)
    return codes + 2 * np.asarray(kernel, dtype=np.uint8), ("a", "b", "kernel's a", "kernel's b")


PROFILE = Profile("x", (), (), by_bit_1, lambda *_: Explained("a", {}, "a"))


@settings(max_examples=60, deadline=None)
@given(cases())
def test_they_are_the_references_holes_merged(case: Case) -> None:
    expected: list[list[Any]] = []
    for row in case.holes:
        if row[KIND] != "absent" or not row[ENTRY]:
            continue
        name = "ab"[row[ENTRY] >> 1 & 1]
        name = f"kernel's {name}" if row[VA] >> 63 else name
        last = expected[-1] if expected else None
        if last and last[1] + 1 == row[VA] and last[2:4] == [row[LEVEL], name]:
            last[1] = row[LAST_VA]
            last[4] += 1
        else:
            expected.append([*row[:3], name, 1, row[ENTRY]])
    found = absent_runs(walk(case.fmt, case.ram, case.roots), PROFILE, 10_000)
    assert found.complete
    assert [list(run[1:]) for run in found.runs] == expected


def test_zeros_cost_nothing_and_a_limit_is_told() -> None:
    made = Builder(levels=4)
    for n in range(4):
        made.map(n << 21, 0x5000 | PWU)
    for n in (5, 6, 9):
        made.map((3 << 21) + (n << 12), 0x7700)
    graph = walk(made.fmt, made.ram, made.roots)
    found = absent_runs(graph, None, 100)
    assert [(run.va, run.entries, run.name) for run in found.runs] == [
        ((3 << 21) + 0x5000, 2, "not present"),
        ((3 << 21) + 0x9000, 1, "not present"),
    ]
    less = absent_runs(graph, None, 1)
    assert (len(less.runs), less.complete) == (1, False)
