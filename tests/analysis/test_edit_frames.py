"""Where new tables go: into what somebody names, in order, never where a table is."""

from __future__ import annotations

import pytest

from ptlive.analysis.edit_frames import Frames
from ptlive.errors import PtliveError

FRAME = 1 << 12


def test_tables_are_where_somebody_says() -> None:
    frames = Frames([(0x5001, 0x7FFF), (0x1000, 0x2FFF)])
    assert [frames.take(FRAME) for _ in range(4)] == [0x6000, 0x7000, 0x1000, 0x2000]
    frames.check()


def test_no_table_is_put_over_another() -> None:
    frames = Frames([(0x1000, 0x4FFF)], tables=frozenset([0x1000, 0x3000]))
    assert [frames.take(FRAME) for _ in range(2)] == [0x2000, 0x4000]


def test_a_place_for_a_table_overlaps_none_of_another_size() -> None:
    frames = Frames([(0x10000, 0x2FFFF)], tables=frozenset([0x11000]))
    sizes = [0x20, 0x10000, 0x1000, 0x20, 0x1000, 0x20]
    taken = [frames.take(size) for size in sizes]
    assert taken == [0x10000, 0x20000, 0x12000, 0x10020, 0x13000, 0x10040]
    with pytest.raises(PtliveError, match=r"needs 6 new tables .* room for 6"):
        frames.take(0x10000)


def test_what_overlaps_by_name_is_taken_once() -> None:
    frames = Frames([(0x1000, 0x2FFF), (0x2000, 0x3FFF)])
    assert [frames.take(FRAME) for _ in range(3)] == [0x1000, 0x2000, 0x3000]
    with pytest.raises(PtliveError, match="room for 3"):
        frames.take(FRAME)


def test_how_many_are_needed_is_counted_elsewhere_from_the_top() -> None:
    frames = Frames([(0x1000, 0x1FFF)], [(0x0, 0xFFFF)], frozenset([0xF000]))
    assert [frames.take(FRAME) for _ in range(3)] == [0x1000, 0xE000, 0xD000]
    with pytest.raises(PtliveError, match=r"needs 3 new tables of 4096 bytes, .* room for 1"):
        frames.check()
