"""Ranges of addresses as commands take them."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import TYPE_CHECKING

import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ptlive.answers.ranges import united
from tests.paging.plain_ram import FRAME

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.conftest import Done

LAST = (1 << 64) - 1
AT = ("--gdb", "x:1")
TWICE = ("0x70000000..0x70001fff", "0x70001000..0x70ffffff", "0x70001800")


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 9)), max_size=8))
def test_each_address_is_in_one_range(drawn: list[tuple[int, int]]) -> None:
    ranges = [(va, va + more) for va, more in drawn]
    found = united(ranges)
    listed = [va for first, last in found for va in range(first, last + 1)]
    assert listed == sorted({va for first, last in ranges for va in range(first, last + 1)})
    assert all(later[0] > one[1] + 1 for one, later in pairwise(found))


def test_everything_twice_is_everything() -> None:
    assert united([(5, LAST), (0, LAST), (LAST, LAST)]) == ((0, LAST),)
    assert united([]) == ()


@pytest.mark.usefixtures("guest")
def test_ranges_that_overlap_count_once(ptlive: Callable[..., Done], tmp_path: Path) -> None:
    mapped = json.loads(ptlive("map", *AT, *TWICE, "--json").out)["roots"][0]["result"]
    assert (mapped["reached"], len(mapped["regions"]), len(mapped["bad_entries"])) == (2, 2, 1)
    counted = json.loads(ptlive("stats", *AT, *TWICE, "--json").out)["roots"][0]["result"]
    assert (counted["leaves"]["reached"], counted["leaves"]["bytes"]) == (2, 2 * FRAME)
    file = tmp_path / "pages.parquet"
    assert ptlive("export", str(file), *TWICE, *AT).status == 0
    assert pyarrow.parquet.read_table(file).num_rows == 2
