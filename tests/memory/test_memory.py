"""The contract that every memory keeps, and what each of them adds."""

from __future__ import annotations

import os
import time
from collections import Counter
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ptlive.arrays import pieces, u64
from ptlive.memory.bounded import BoundedMemory
from ptlive.memory.cache import FrameCache
from ptlive.memory.layered import Layered
from ptlive.memory.live import Witness
from ptlive.memory.proc import ProcMemory
from ptlive.memory.qmp import QmpMemory
from ptlive.memory.ram import PlainRam
from ptlive.memory.ram_map import Kind, RamMap, Region
from ptlive.memory.snapshot.read import open_snapshot
from ptlive.memory.snapshot.write import create
from ptlive.memory.stub import StubMemory
from tests.memory.fake_qmp import FakeQmp
from tests.wire.memory_stub import MemoryStub

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ptlive.arrays import U8, U64, Bool, Memory

# Two blocks of RAM with a hole between; the second one ends inside a frame, as RAM may.
LOW, HIGH = 0x4000, 0x10_0000_0000
LOW_SIZE, HIGH_SIZE = 0x3000, 0x2800
MAP = RamMap(
    [
        Region(0, 0xFFF, Kind.DEVICE, "device", 0),
        Region(LOW, LOW + LOW_SIZE - 1, Kind.RAM, "ram", 0),
        Region(HIGH, HIGH + HIGH_SIZE - 1, Kind.RAM, "ram", LOW_SIZE),
    ]
)


def content(size: int, seed: int) -> U8:
    return np.random.default_rng(seed).integers(0, 256, size, np.uint8)


BYTES = np.concatenate((content(LOW_SIZE, 1), content(HIGH_SIZE, 2)))
BLOCKS = {LOW: BYTES[:LOW_SIZE], HIGH: BYTES[LOW_SIZE:]}


class TwoBlockStub(MemoryStub):
    """Answers every read, as QEMU does: where nothing is, with zeros."""

    def read_physical(self, addresses: U64, length: int) -> tuple[U8, Bool]:
        assert (addresses >= np.uint64(0x1000)).all(), "a device was read"
        data, _ = PlainRam(BLOCKS).read(addresses, length)
        return data, np.ones(len(addresses), np.bool_)


class Counting:
    """Counts how often each address is asked for."""

    def __init__(self, source: Memory) -> None:
        self.source = source
        self.asked: Counter[int] = Counter()
        self.calls = 0

    def read(self, addresses: U64, length: int) -> tuple[U8, Bool]:
        self.asked.update(addresses.tolist())
        self.calls += 1
        return self.source.read(addresses, length)


WAYS = [
    "plain",
    "file",
    "bounded",
    "cached",
    "stub",
    "layered",
    "proc",
    "qmp",
    "witness",
    "snapshot",
]


@pytest.fixture(params=WAYS)
def memory(request: pytest.FixtureRequest, tmp_path: Path) -> Memory:
    if request.param == "plain":
        return PlainRam(BLOCKS)
    if request.param == "file":
        BYTES.tofile(tmp_path / "ram")
        file = np.memmap(tmp_path / "ram", np.uint8, mode="r")
        return PlainRam({LOW: file[:LOW_SIZE], HIGH: file[LOW_SIZE:]})
    if request.param == "layered":
        return Layered(PlainRam({HIGH: BLOCKS[HIGH]}), PlainRam({LOW: BLOCKS[LOW]}))
    if request.param == "proc":
        host = BYTES.ctypes.data
        low = (LOW, LOW + LOW_SIZE - 1, host)
        return ProcMemory(os.getpid(), [low, (HIGH, HIGH + HIGH_SIZE - 1, host + LOW_SIZE)])
    if request.param == "qmp":
        return QmpMemory(FakeQmp(PlainRam(BLOCKS)), MAP, lambda folder: None)  # type: ignore[arg-type]  # as far as it is used
    if request.param == "witness":
        return Witness(PlainRam(BLOCKS))
    if request.param == "snapshot":
        return BoundedMemory(snapshot(tmp_path / "snapshot"), MAP)
    if request.param == "cached":
        return FrameCache(PlainRam(BLOCKS))
    bounded = BoundedMemory(StubMemory(TwoBlockStub(BYTES)), MAP)
    return bounded if request.param == "bounded" else FrameCache(bounded)


def snapshot(path: Path) -> Memory:
    """Write all frames, the last with zeros behind the RAM's end, and open the file."""
    with create(path) as writer:
        for base, block in BLOCKS.items():
            padded = np.zeros((-(-len(block) // 4096), 4096), np.uint8)
            padded.reshape(-1)[: len(block)] = block
            writer.add(
                np.arange(len(padded), dtype=np.uint64) * np.uint64(4096) + u64(base), padded
            )
        writer.finish({})
    return open_snapshot(path).memory


def expected(address: int, length: int) -> bytes | None:
    for base, block in BLOCKS.items():
        if base <= address and address + length <= base + len(block):
            return block[address - base :][:length].tobytes()
    return None


def check(memory: Memory, addresses: list[int], length: int) -> None:
    data, valid = memory.read(u64(*addresses), length)
    assert data.dtype == np.uint8
    assert valid.dtype == np.bool_
    assert data.shape == (len(addresses), length)
    for row, good, address in zip(data, valid.tolist(), addresses, strict=True):
        wanted = expected(address, length)
        assert good == (wanted is not None), hex(address)
        assert row.tobytes() == (wanted or bytes(length)), hex(address)


def test_whole_frames(memory: Memory) -> None:
    check(memory, [LOW, LOW + 0x1000, HIGH + 0x1000, HIGH, LOW], 4096)


def test_entries_in_any_order_and_twice(memory: Memory) -> None:
    check(memory, [HIGH + 8, LOW, LOW + 0x2FF8, LOW, HIGH + 0x27F8, LOW + 16], 8)


def test_unaligned_rows_across_frames(memory: Memory) -> None:
    check(memory, [LOW + 0xFFC, LOW + 3, LOW + 0x1FFF], 8)
    check(memory, [LOW + 1, LOW + 0x800], 0x2001)


def test_rows_longer_than_a_frame(memory: Memory) -> None:
    check(memory, [LOW, HIGH, LOW + 0x1000], 0x2000)


def test_rows_that_are_not_all_there(memory: Memory) -> None:
    check(memory, [0, LOW - 8, LOW - 4, LOW + LOW_SIZE - 4, LOW + LOW_SIZE, HIGH - 1, LOW], 8)
    check(memory, [2**64 - 1, 2**64 - 8, 1 << 63, HIGH + HIGH_SIZE - 8, LOW], 8)
    check(memory, [2**64 - 4095, HIGH + 0x2000, LOW], 4096)


def test_a_last_frame_that_ram_fills_in_part(memory: Memory) -> None:
    check(memory, [HIGH + 0x2000, HIGH + 0x2700], 0x100)
    check(memory, [HIGH + 0x2780, HIGH + 0x2000], 0x100)


def test_nothing(memory: Memory) -> None:
    check(memory, [], 8)


@given(st.data())
def test_any_rows(data: st.DataObject) -> None:
    addresses = data.draw(
        st.lists(
            st.integers(LOW - 40, LOW + LOW_SIZE + 40)
            | st.integers(HIGH - 40, HIGH + HIGH_SIZE + 40)
            | st.integers(0x1000, 2**64 - 1)
        )
    )
    length = data.draw(st.sampled_from([1, 4, 8, 12, 64, 4096, 6000]))
    cached = FrameCache(BoundedMemory(StubMemory(TwoBlockStub(BYTES)), MAP))
    for memory in (cached, cached, PlainRam(BLOCKS)):
        check(memory, addresses, length)


def test_a_device_is_never_asked() -> None:
    # TwoBlockStub asserts it.
    memory = FrameCache(BoundedMemory(StubMemory(TwoBlockStub(BYTES)), MAP))
    _, valid = memory.read(u64(0, 0xFF8, LOW), 8)
    assert valid.tolist() == [False, False, True]


def test_each_frame_is_read_once() -> None:
    source = Counting(PlainRam(BLOCKS))
    cache = FrameCache(source)
    for addresses in (u64(LOW, LOW + 8, HIGH), u64(LOW + 0x1000, LOW, HIGH + 0xFF8)):
        for length in (8, 1, 3):
            cache.read(addresses, length)
    assert source.asked == {LOW: 1, LOW + 0x1000: 1, HIGH: 1}
    assert source.calls == 2
    assert len(cache) == 3


def test_what_was_read_is_forgotten_when_the_guest_may_have_changed() -> None:
    stub = MemoryStub(np.zeros(0x10000, np.uint8))
    source = StubMemory(stub)
    cache = FrameCache(source, source.generation)
    address = u64(0x3000)
    cache.read(address, 8)
    stub.ram[0x3000] = 1  # behind our back
    assert cache.read(address, 8)[0][0, 0] == 0
    cache.drop()
    assert cache.read(address, 8)[0][0, 0] == 1
    stub.write_physical([(0x3000, b"\2")])
    assert cache.read(address, 8)[0][0, 0] == 2
    stub.ram[0x3000] = 3
    stub.step(1)
    assert cache.read(address, 8)[0][0, 0] == 3
    assert stub.calls["read_physical"] == 4


def test_results_are_the_readers_own() -> None:
    """Who changes what he was given changes neither the cache nor the RAM."""
    cache = FrameCache(PlainRam(BLOCKS))
    for length in (4096, 8):
        data, _ = cache.read(u64(LOW, LOW + 0x1000), length)
        data[:] = 0
        check(cache, [LOW, LOW + 0x1000], length)
    check(PlainRam(BLOCKS), [LOW], 4096)


def test_a_failed_read_leaves_the_cache_usable() -> None:
    class Failing:
        fails = True

        def read(self, addresses: U64, length: int) -> tuple[U8, Bool]:
            if self.fails:
                raise KeyboardInterrupt
            return PlainRam(BLOCKS).read(addresses, length)

    source = Failing()
    cache = FrameCache(source)
    with pytest.raises(KeyboardInterrupt):
        cache.read(u64(LOW), 8)
    source.fails = False
    check(cache, [LOW, HIGH], 8)
    source.fails = True
    with pytest.raises(KeyboardInterrupt):
        cache.read(u64(LOW + 0x1000), 8)
    check(cache, [LOW, HIGH], 8)


def test_cost_is_linear_in_frames() -> None:
    """100,000 frames, and entries of all of them, in a time that leaves no doubt."""

    class Pattern:
        def read(self, addresses: U64, length: int) -> tuple[U8, Bool]:
            data = np.zeros((len(addresses), length), np.uint8)
            data[:, :8] = addresses.view(np.uint8).reshape(-1, 8)
            return data, np.ones(len(addresses), np.bool_)

    frames = np.arange(100_000, dtype=np.uint64) << np.uint64(13)
    np.random.default_rng(0).shuffle(frames)
    cache = FrameCache(Pattern())
    started = time.process_time()
    for piece in np.array_split(frames, 50):
        cache.read(piece, 8)
    data, valid = cache.read(frames, 8)
    assert valid.all()
    assert (data.view("<u8")[:, 0] == frames).all()
    assert time.process_time() - started < 10


def test_plain_ram_is_written_in_place() -> None:
    ram = PlainRam.zeros(0x2000, base=0x5000)
    ram.write(0x5FFC, b"12345678")
    assert ram.read(u64(0x5FFC), 8)[0].tobytes() == b"12345678"
    for address in (0x4FFF, 0x6FF9, 0x7000):
        with pytest.raises(ValueError, match="outside the RAM"):
            ram.write(address, b"12345678")


def test_overlapping_blocks_are_a_mistake() -> None:
    with pytest.raises(ValueError, match="overlap"):
        PlainRam({0: np.zeros(8, np.uint8), 7: np.zeros(8, np.uint8)})


def test_a_stream_is_a_read_in_pieces(memory: Memory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ptlive.arrays._PIECE", 2 << 12)
    addresses = u64(LOW + 0x1000, HIGH, 0x2000, LOW, HIGH + 0x2000, HIGH + 0x1000, LOW + 0x2000)
    for length in (4096, 64):
        data, valid = memory.read(addresses, length)
        came = [(rows.copy(), good.copy()) for rows, good in pieces(memory, addresses, length)]
        assert (np.concatenate([rows for rows, _ in came]) == data).all()
        assert np.concatenate([good for _, good in came]).tolist() == valid.tolist()
        assert sum(len(rows) for rows, _ in pieces(memory, addresses[:0], length)) == 0


class Streamed(Counting):
    """Streams three rows at a time, and counts what it is asked for."""

    def stream(self, addresses: U64, length: int) -> Iterator[tuple[U8, Bool]]:
        for at in range(0, len(addresses), 3):
            yield self.read(addresses[at : at + 3], length)


FRAMES = np.arange(40, dtype=np.uint64) << np.uint64(12)
RAM = PlainRam({0: content(40 << 12, 3)})


def streamed(memory: Memory, addresses: U64) -> U8:
    rows = np.concatenate([data for data, _ in pieces(memory, addresses, 4096)])
    assert (rows == RAM.read(addresses, 4096)[0]).all()
    return rows


@given(st.lists(st.lists(st.integers(0, 39), min_size=1, unique=True), max_size=4))
def test_a_cache_streams_each_frame_once(walks: list[list[int]]) -> None:
    source = Streamed(RAM)
    cache = FrameCache(source)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ptlive.arrays._PIECE", 5 << 12)
        for walk in walks:
            streamed(cache, FRAMES[walk])
            cache.read(FRAMES[walk[:2]], 8)
    assert set(source.asked.values()) <= {1}
    assert len(cache) == len(source.asked)


def test_a_stream_that_is_given_up_keeps_what_came() -> None:
    source = Streamed(RAM)
    cache = FrameCache(source)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ptlive.arrays._PIECE", 4 << 12)
        stream = cache.stream(FRAMES, 4096)
        next(stream)
        stream.close()  # type: ignore[attr-defined]  # it is a generator
    assert 4 <= len(cache) < 40
    streamed(cache, FRAMES)
    assert set(source.asked.values()) == {1}


def test_more_frames_than_are_kept_are_only_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ptlive.memory.cache._MOST", 39)
    cache = FrameCache(Streamed(RAM))
    streamed(cache, FRAMES)
    assert len(cache) == 0
    streamed(cache, FRAMES[:39])
    assert len(cache) == 39


def test_ram_split_over_one_file_is_read_in_any_order() -> None:
    file = content(40 << 12, 3)
    split = PlainRam({0: file[: 7 << 12], 1 << 40: file[7 << 12 :], 1 << 44: content(1 << 12, 4)})
    order = np.random.default_rng(1).permutation(40)
    places = FRAMES[order] + np.where(order >= 7, np.uint64((1 << 40) - (7 << 12)), np.uint64(0))
    data, valid = split.read(places, 4096)
    assert valid.all()
    assert (data.reshape(40, -1) == file.reshape(40, -1)[order]).all()
    beyond = u64(7 << 12, (1 << 40) - 4096, (1 << 40) + (33 << 12), 1 << 44)
    assert split.read(beyond, 4096)[1].tolist() == [False, False, False, True]
