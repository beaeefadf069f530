"""Matrices of characters, held against what Python's own formatting makes of each cell."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from ptlive.arrays import u64
from ptlive.show import grid
from ptlive.show.grid import Aligned, Column, Hex, Words, blocks, distinct, numbered

numbers = st.one_of(st.integers(0, (1 << 64) - 1), st.integers(0, 40), st.just((1 << 64) - 1))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(numbers, numbers, st.booleans()), min_size=1, max_size=40), st.data())
def test_lines_are_those_of_python(rows: list[tuple[int, int, bool]], data: st.DataObject) -> None:
    long, short = (np.array([row[at] for row in rows], dtype=np.uint64) for at in (0, 1))
    marked = np.array([row[2] for row in rows])
    columns: list[Column] = [
        Aligned(Words(short % np.uint64(5), "w".__mul__, right=True), 3, right=True),
        Hex(long),
        Words(short, str),
        Hex(short, short=True, marked=marked),
    ]
    begin = data.draw(st.integers(0, len(rows) - 1))
    with_words = max(max(row[1] % 5 for row in rows), 3)
    with_numbers = max(len(str(row[1])) for row in rows)
    expected = [
        f"{'w' * (b % 5):>{with_words}}  {a:#018x}  {b:<{with_numbers}}  {b:#x}{' ...' * mark}"
        for a, b, mark in rows[begin:]
    ]
    grid_some = grid._SOME
    try:
        grid._SOME = 7  # so that lines are made in several portions
        assert "".join(blocks(columns, begin, len(rows))).splitlines() == expected
    finally:
        grid._SOME = grid_some


def test_narrow_numbers_have_as_many_digits_as_any_of_them_may() -> None:
    columns = [Hex(u64(1, 0xFFFF_F000), bits=32)]
    assert "".join(blocks(columns, 0, 2)).splitlines() == ["0x00000001", "0xfffff000"]


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), max_size=30))
def test_a_number_stands_for_equal_rows(rows: list[tuple[int, int]]) -> None:
    columns = np.array(rows, dtype=np.int64).reshape(-1, 2).T
    found = numbered(len(rows), columns).tolist()
    for one, number in zip(rows, found, strict=True):
        assert [other == one for other in rows] == [each == number for each in found]


@given(st.lists(st.integers(0, 5), max_size=40), st.integers(1, 9))
def test_distinct_values_are_those_that_a_sort_finds(values: list[int], sample: int) -> None:
    usual = grid._SAMPLE
    try:
        grid._SAMPLE = sample  # so that it misses some
        found, which = distinct(np.array(values, dtype=np.uint64))
    finally:
        grid._SAMPLE = usual
    assert found.tolist() == sorted(set(values))
    assert found[which].tolist() == values


def test_no_lines_are_none() -> None:
    assert list(blocks([Hex(np.zeros(0, dtype=np.uint64))], 0, 0)) == []
