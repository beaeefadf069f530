"""Bulk reads: which commands gdb gets, and where each byte ends up."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ptlive.arrays import u64
from ptlive.errors import PtliveError
from ptlive.wire import physical
from ptlive.wire.gdb import Reply
from ptlive.wire.physical import PhysicalReader

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ptlive.arrays import U64


class Gdb:
    """Appends to the file what `append binary memory` would; refuses one address."""

    def __init__(self, bad: int | None = None, short: bool = False) -> None:
        self.file = os.memfd_create("test")
        self.reader = PhysicalReader(self, self.file)
        self.batches: list[list[tuple[int, int]]] = []
        self.asked: list[tuple[int, int]] = []
        self.bad, self.short = bad, short

    def ask_physical(self, packets: Sequence[str]) -> list[str]:
        replies = []
        for packet in packets:
            match = re.fullmatch(r"m([0-9a-f]+),([0-9a-f]+)", packet)
            assert match
            first, size = int(match[1], 16), int(match[2], 16)
            self.asked.append((first, first + size))
            wrong = self.bad is not None and first <= self.bad < first + size
            data = byte_at(first + np.arange(size, dtype=np.uint64)).tobytes()
            replies.append("E14" if wrong else data.hex())
        return replies

    def run_physical(self, commands: Sequence[str]) -> list[Reply]:
        self.batches.append([])
        replies = []
        for command in commands:
            match = re.fullmatch(
                rf"append binary memory /proc/self/fd/{self.file} (\S+) (\S+)", command
            )
            assert match
            first, end = int(match[1], 16), int(match[2], 16)
            self.batches[-1].append((first, end))
            if self.bad is not None and first <= self.bad < end:
                replies.append(Reply("error", {"msg": "Cannot access memory"}))
                continue
            data = byte_at(first + np.arange(end - first, dtype=np.uint64)).tobytes()
            os.lseek(self.file, 0, os.SEEK_END)
            os.write(self.file, data[: len(data) - self.short])
            replies.append(Reply("done"))
        return replies


def byte_at(addresses: U64) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    mixed = (addresses * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(40)
    return mixed.astype(np.uint8)


@pytest.fixture
def gdb() -> Iterator[Gdb]:
    fake = Gdb()
    yield fake
    os.close(fake.file)


@given(
    st.lists(st.integers(0, 40).map(lambda n: n * 4) | st.integers(0, 2**52 - 1), max_size=40),
    st.sampled_from([1, 4, 8, 24]),
)
def test_every_byte_is_the_one_at_its_address(addresses: list[int], length: int) -> None:
    fake = Gdb()
    data, valid = fake.reader.read(u64(*addresses), length)
    os.close(fake.file)
    inside = [address + length <= 1 << 52 for address in addresses]
    assert valid.tolist() == inside
    places = np.add.outer(u64(*addresses), np.arange(length, dtype=np.uint64))
    expected = np.where(np.array(inside, np.bool_)[:, None], byte_at(places), np.uint8(0))
    assert (data == expected).all()


def test_adjacent_frames_are_one_command(gdb: Gdb) -> None:
    gdb.reader.read(u64(0x5000, 0x1000, 0x2000, 0x3000, 0x1000), 4096)
    assert gdb.batches == [[(0x1000, 0x4000), (0x5000, 0x6000)]]


def test_long_runs_and_large_batches_are_cut(gdb: Gdb, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(physical, "_COMMAND_BYTES", 4 * 4096)
    monkeypatch.setattr(physical, "_BATCH_BYTES", 6 * 4096)
    addresses = np.arange(10, dtype=np.uint64) * np.uint64(4096)
    data, valid = gdb.reader.read(addresses, 4096)
    assert valid.all()
    assert (data == byte_at(np.arange(40960, dtype=np.uint64)).reshape(10, 4096)).all()
    assert gdb.batches == [
        [(0, 0x4000), (0x4000, 0x6000)],
        [(0x6000, 0xA000)],
    ]


def test_a_row_beyond_52_bits_is_not_asked_for(gdb: Gdb) -> None:
    _, valid = gdb.reader.read(u64((1 << 52) - 8, (1 << 52) - 7, 1 << 63, 2**64 - 1), 8)
    assert valid.tolist() == [True, False, False, False]
    assert gdb.asked == [((1 << 52) - 8, 1 << 52)]


def test_nothing_is_asked_for_nothing(gdb: Gdb) -> None:
    assert gdb.reader.read(u64(), 8)[0].shape == (0, 8)
    assert gdb.reader.read(u64(1 << 60), 8)[1].tolist() == [False]
    assert not gdb.batches
    assert not gdb.asked


def test_a_run_that_gdb_refuses_is_invalid_and_the_rest_is_in_place(
    gdb: Gdb, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(physical, "_FEW_BYTES", 0)
    gdb.bad = 0x2004
    addresses = u64(0x1000, 0x2000, 0x2008, 0x3000)
    data, valid = gdb.reader.read(addresses, 8)
    assert valid.tolist() == [True, False, False, True]
    assert (data[0] == byte_at(np.arange(0x1000, 0x1008, dtype=np.uint64))).all()
    assert (data[3] == byte_at(np.arange(0x3000, 0x3008, dtype=np.uint64))).all()
    assert not data[1:3].any()


def test_a_few_bytes_come_by_packets_and_a_refused_one_is_invalid(gdb: Gdb) -> None:
    gdb.bad = 0x2004
    data, valid = gdb.reader.read(u64(0x3000, 0x2000, 0x2008), 8)
    assert valid.tolist() == [True, False, True]
    assert (data[0] == byte_at(np.arange(0x3000, 0x3008, dtype=np.uint64))).all()
    assert (data[2] == byte_at(np.arange(0x2008, 0x2010, dtype=np.uint64))).all()
    assert not data[1].any()
    assert gdb.batches == []


def test_missing_bytes_are_an_error(gdb: Gdb, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(physical, "_FEW_BYTES", 0)
    gdb.short = True
    with pytest.raises(PtliveError, match="gdb delivered 15 bytes of 16"):
        gdb.reader.read(u64(0x1000, 0x1008), 8)
