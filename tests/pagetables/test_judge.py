"""What the judge makes of an order of events."""

from __future__ import annotations

import pytest

from tests.pagetables.judge import frees
from tests.pagetables.machine import FLUSH_ALL, FLUSH_ONE, TABLE_ALLOC, TABLE_FREE

FREE, OTHER, MADE = (TABLE_FREE, 0x1000), (TABLE_FREE, 0x2000), (TABLE_FREE, 0x3000)
SPLIT = [(TABLE_ALLOC, 0x3000), (FLUSH_ONE, 0x200000)]


@pytest.mark.parametrize(
    "events",
    [
        [(FLUSH_ONE, 0), FREE, OTHER],
        [(FLUSH_ALL, 0), FREE],
        [*SPLIT, (FLUSH_ONE, 0), FREE],
        [(FLUSH_ONE, 0), FREE, (TABLE_ALLOC, 0x1000)],
        [(TABLE_ALLOC, 0x3000), MADE],
        [*SPLIT],
    ],
)
def test_a_table_is_free_after_a_flush(events: list[tuple[int, int]]) -> None:
    frees(events)


@pytest.mark.parametrize(
    "events",
    [
        [FREE],
        [FREE, (FLUSH_ONE, 0)],
        [*SPLIT, FREE],
        [*SPLIT, OTHER, FREE, (FLUSH_ONE, 0)],
        [(FLUSH_ONE, 0), (TABLE_ALLOC, 0x3000), FREE],
    ],
)
def test_a_table_that_is_free_before_is_found(events: list[tuple[int, int]]) -> None:
    with pytest.raises(AssertionError, match="was free before it was flushed"):
        frees(events)
