"""What both pillars share of arrays, held against rows one by one."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ptlive.arrays import changes


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 1))))
def test_a_row_begins_something_new_if_any_column_differs(rows: list[tuple[int, int]]) -> None:
    columns = np.array(rows, dtype=np.uint64).reshape(-1, 2).T
    assert changes(*columns).tolist() == [
        at == 0 or row != rows[at - 1] for at, row in enumerate(rows)
    ]
