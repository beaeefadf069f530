"""What is told of a long read."""

from __future__ import annotations

import numpy as np

from ptlive.memory.ram import PlainRam
from ptlive.memory.told import ToldMemory


def told(frames: int) -> tuple[list[tuple[str, int, int]], int]:
    """Stream so many frames; return what was told, and how many bytes came."""
    said: list[tuple[str, int, int]] = []
    memory = ToldMemory(PlainRam.zeros(frames << 12), lambda *words: said.append(words))
    addresses = np.arange(frames, dtype=np.uint64) << np.uint64(12)
    size = sum(data.size for data, _ in memory.stream(addresses, 4096))
    return said, size


def test_a_short_read_is_not_worth_telling() -> None:
    assert told(100) == ([], 100 << 12)


def test_a_long_read_is_told_from_none_to_all() -> None:
    said, size = told(2000)
    assert size == 2000 << 12
    assert {(what, total) for what, _, total in said} == {("reading 2,000 tables", 2000)}
    done = [number for _, number, _ in said]
    assert done[0] == 0
    assert done[-1] == 2000
    assert done == sorted(set(done))
    assert len(done) > 2


def test_reading_at_once_is_not_told() -> None:
    memory = ToldMemory(PlainRam.zeros(1 << 12), lambda *_: None)
    data, valid = memory.read(np.zeros(1, np.uint64), 8)
    assert (data.shape, valid.tolist()) == ((1, 8), [True])
