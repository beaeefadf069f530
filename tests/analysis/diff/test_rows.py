"""Rows that repeat, on rows made by hand."""

from __future__ import annotations

import dataclasses

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from ptlive.analysis.diff.rows import KEY, Rows, fold_runs
from ptlive.arrays import u64

FRAME = 4096


def at(*places: int, change: tuple[int, ...] = (), pages: int = 1) -> Rows:
    """Return rows of one page each at these places, in pages, with their changes."""
    n = len(places)
    va = u64(*places) * np.uint64(FRAME)
    last = va + np.uint64(pages * FRAME - 1)
    once = np.ones(n, dtype=np.uint64)
    key = np.ones((n, len(KEY)), dtype=np.uint64)
    if change:
        key[:, 0] = change
    pa = np.stack([va, va], axis=1)
    return Rows(
        owner=np.zeros(n, dtype=np.intp),
        va=va,
        last_va=last,
        times=once,
        step=once - once,
        until=last,
        key=key,
        pa=pa,
        last_pa=pa,
        contiguous=np.ones((n, 2), dtype=np.bool_),
        pages=once[:, None] * np.uint64(pages),
    )


def told(rows: Rows) -> list[tuple[int, int, int, int]]:
    columns = (rows.va, rows.times, rows.step, rows.until + np.uint64(1))
    pages = [[value // FRAME for value in column.tolist()] for column in columns]
    return list(zip(pages[0], rows.times.tolist(), pages[2], pages[3], strict=True))


def test_what_follows_evenly_is_one_row() -> None:
    assert told(fold_runs(at(3, 5, 7, 9))) == [(3, 4, 2, 10)]
    assert told(fold_runs(at(3, 5, 7))) == [(3, 1, 0, 4), (5, 1, 0, 6), (7, 1, 0, 8)]


def test_where_the_distance_changes_another_run_begins() -> None:
    found = fold_runs(at(0, 2, 4, 6, 20, 22, 24, 26, 40))
    assert told(found) == [(0, 4, 2, 7), (20, 4, 2, 27), (40, 1, 0, 41)]
    assert found.pages[:, 0].tolist() == [4, 4, 1]


def test_what_differs_or_is_of_another_length_parts_runs() -> None:
    rows = at(0, 2, 4, 6, 8, 10, 12, 14, change=(1, 1, 1, 1, 2, 2, 2, 2))
    assert told(fold_runs(rows)) == [(0, 4, 2, 7), (8, 4, 2, 15)]
    rows = at(0, 2, 4, 6, 8)
    longer = rows.last_va.copy()
    longer[2] += np.uint64(512)
    assert len(fold_runs(dataclasses.replace(rows, last_va=longer))) == 5
    rows = at(0, 2, 4, 6)
    assert len(fold_runs(dataclasses.replace(rows, times=u64(1, 1, 9, 1)))) == 4


@settings(max_examples=200, deadline=None)
@given(st.sets(st.integers(0, 60)), st.data())
def test_nothing_is_lost_and_nothing_made_up(places: set[int], data: st.DataObject) -> None:
    ordered = sorted(places)
    change = tuple(data.draw(st.sampled_from([1, 1, 1, 2])) for _ in ordered)
    found = fold_runs(at(*ordered, change=change))
    unfolded = [
        (place + number * step, int(found.key[n, 0]))
        for n, (place, times, step, _) in enumerate(told(found))
        for number in range(times)
    ]
    assert unfolded == list(zip(ordered, change, strict=True))
    assert int(found.pages.sum()) == len(places)
