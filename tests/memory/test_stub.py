"""Memory through a stub: streamed where the stub can, else in portions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ptlive import arrays
from ptlive.arrays import pieces
from ptlive.memory.stub import StubMemory
from tests.wire.memory_stub import MemoryStub

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pytest

    from ptlive.arrays import U8, U64, Bool

RAM = np.random.default_rng(3).integers(0, 256, 1 << 20, np.uint8)
ADDRESSES = np.random.default_rng(4).permutation(1 << 8).astype(np.uint64) * np.uint64(4096)


class StreamingMemoryStub(MemoryStub):
    """Yields three rows at a time."""

    def stream_physical(self, addresses: U64, length: int) -> Iterator[tuple[U8, Bool]]:
        self.calls["stream_physical"] += 1
        for at in range(0, len(addresses), 3):
            yield self.read_physical(addresses[at : at + 3], length)


def rows(memory: StubMemory) -> U8:
    found = list(pieces(memory, ADDRESSES, 4096))
    assert all(valid.all() for _, valid in found)
    return np.concatenate([data for data, _ in found])


def test_a_streaming_stub_is_asked_once() -> None:
    stub = StreamingMemoryStub(RAM)
    memory = StubMemory(stub)
    assert (rows(memory) == RAM.reshape(-1, 4096)[(ADDRESSES // 4096).astype(np.intp)]).all()
    assert stub.calls["stream_physical"] == 1


def test_another_stub_is_asked_in_portions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrays, "_PIECE", 1 << 16)
    stub = MemoryStub(RAM)
    memory = StubMemory(stub)
    assert (rows(memory) == memory.read(ADDRESSES, 4096)[0]).all()
    assert stub.calls["read_physical"] > 2


def test_what_was_written_outdates_what_was_read() -> None:
    stub = MemoryStub(RAM.copy())
    memory = StubMemory(stub)
    before = memory.generation()
    stub.write_physical([(0, b"x")])
    assert memory.generation() > before
