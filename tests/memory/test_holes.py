"""Where a file of RAM was never written."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import numpy as np
import pytest

from ptlive.arrays import u64
from ptlive.memory.holes import Part, SparseRam, holes
from ptlive.memory.open_file import OpenFile
from ptlive.memory.ram import PlainRam

if TYPE_CHECKING:
    from collections.abc import Iterator

FRAME = 4096
BASE = 1 << 32


@pytest.fixture
def file() -> Iterator[OpenFile]:
    """A file in memory of 64 frames, of which only 3, 4 and 60 were written."""
    made = OpenFile(os.memfd_create("ram"))
    os.ftruncate(made.fileno(), 64 * FRAME)
    for frame in (3, 4, 60):
        os.pwrite(made.fileno(), b"x", frame * FRAME + 100)
    yield made
    made.close()


def test_holes_lie_between_what_was_written(file: OpenFile) -> None:
    found = [(begin // FRAME, end // FRAME) for begin, end in holes(file.fileno(), 0, 64 * FRAME)]
    assert found == [(0, 3), (5, 60), (61, 64)]
    assert list(holes(file.fileno(), 4 * FRAME, 6 * FRAME)) == [(5 * FRAME, 6 * FRAME)]
    assert list(holes(file.fileno(), 3 * FRAME, 4 * FRAME)) == []


def test_rows_are_told_by_their_physical_addresses(file: OpenFile) -> None:
    parts = [Part(0, 32 * FRAME, file, 0), Part(BASE, 32 * FRAME, file, 32 * FRAME)]
    memory = SparseRam(PlainRam({}), PlainRam({}), parts)
    frames = np.concatenate([np.arange(32), np.arange(32) + BASE // FRAME]).astype(np.uint64)
    written = memory.written(frames * np.uint64(FRAME), FRAME)
    assert np.flatnonzero(written).tolist() == [3, 4, 60]
    outside = u64(100 * FRAME, 2 * FRAME + 8)  # in no file; across the end of a hole
    assert memory.written(outside, FRAME).tolist() == [True, True]


def test_what_is_told_is_what_holds_now(file: OpenFile) -> None:
    memory = SparseRam(PlainRam({}), PlainRam({}), [Part(0, 64 * FRAME, file, 0)])
    assert not memory.written(u64(10 * FRAME), FRAME)[0]
    os.pwrite(file.fileno(), b"y", 10 * FRAME)
    assert memory.written(u64(10 * FRAME), FRAME)[0]


def test_a_file_that_does_not_know_has_no_holes() -> None:
    reading, writing = os.pipe()
    try:
        assert list(holes(reading, 0, FRAME)) == []
    finally:
        os.close(reading)
        os.close(writing)
