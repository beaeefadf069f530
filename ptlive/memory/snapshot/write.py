"""Write a snapshot: frames as they come, then where each is, then what is known besides."""

from __future__ import annotations

import json
import os
import zlib
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import zstandard

from ptlive.errors import PtliveError
from ptlive.files import whole, writing
from ptlive.memory.snapshot.layout import (
    CHUNK,
    CHUNK_FRAMES,
    HEADER_SIZE,
    MOST_ABOUT,
    RUN,
    ZEROS,
    Header,
    Section,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ptlive.arrays import U8, U64

# Level 1: of a booted Linux 93 MB became 28.0 MB at 310 MB/s; at level 3, 27.1 MB at 200 MB/s.
# zlib's level 1: 26.7 MB at 34 MB/s, and its decompression takes four times as long.
_LEVEL = 1
_SHIFT = np.uint64(12)


class Writer:
    """Takes frames and, at the end, what is known of the guest."""

    def __init__(self, file: int, path: Path) -> None:
        """Write to an open file; path: what to call it, should that fail."""
        self._file, self._path = file, path
        self._at = HEADER_SIZE
        self._codec = zstandard.ZstdCompressor(level=_LEVEL, write_checksum=False)
        self._pending: list[U8] = []
        self._waiting = self._slots = 0
        self._chunks: list[tuple[int, int, int]] = []
        self._frames: list[U64] = []
        self._places: list[U64] = []

    @property
    def frames(self) -> int:
        """How many frames have come, zeros included."""
        return sum(map(len, self._frames))

    @property
    def stored(self) -> int:
        """How many of them hold anything."""
        return self._slots

    @property
    def size(self) -> int:
        """How many bytes are written."""
        return self._at

    def add(self, addresses: U64, rows: U8) -> None:
        """Take frames by their physical addresses; rows: uint8[n, 4096].

        None may come twice. Those that are read together had best come together.
        """
        holding = np.ascontiguousarray(rows).view("<u8").any(axis=1)
        count = int(np.count_nonzero(holding))
        place = np.full(len(addresses), ZEROS, np.uint64)
        place[holding] = np.arange(self._slots, self._slots + count, dtype=np.uint64)
        self._frames.append(addresses >> _SHIFT)
        self._places.append(place)
        self._slots += count
        kept = rows[holding]
        while self._waiting + len(kept) >= CHUNK_FRAMES:
            taken = CHUNK_FRAMES - self._waiting
            self._chunk([*self._pending, kept[:taken]])
            self._pending, self._waiting, kept = [], 0, kept[taken:]
        if len(kept):
            self._pending.append(kept.copy())
            self._waiting += len(kept)

    def zeros(self, addresses: U64) -> None:
        """Take frames that are known to hold nothing but zeros."""
        self._frames.append(addresses >> _SHIFT)
        self._places.append(np.full(len(addresses), ZEROS, np.uint64))

    def finish(self, about: dict[str, Any]) -> None:
        """Write what is known of the guest, and close the file's books."""
        if self._waiting:
            self._chunk(self._pending)
            self._pending, self._waiting = [], 0
        runs = self._section(_runs(self._frames, self._places).tobytes())
        chunks = self._section(np.array(self._chunks, CHUNK).tobytes())
        told = json.dumps(about).encode()
        if len(told) > MOST_ABOUT:
            raise PtliveError("what is known of the guest is too long for a snapshot")
        header = Header(self._slots, self._section(told), runs, chunks, self._at)
        self._write(header.pack(), 0)

    def _chunk(self, rows: list[U8]) -> None:
        data = self._codec.compress(np.concatenate(rows).tobytes())
        self._chunks.append((self._at, len(data), zlib.crc32(data)))
        self._append(data)

    def _section(self, data: bytes) -> Section:
        packed = self._codec.compress(data)
        section = Section(self._at, len(packed), len(data), zlib.crc32(packed))
        self._append(packed)
        return section

    def _append(self, data: bytes) -> None:
        self._write(data, self._at)
        self._at += len(data)

    def _write(self, data: bytes, at: int) -> None:
        rest = memoryview(data)
        with writing(self._path):
            while rest:
                done = os.pwrite(self._file, rest, at)
                rest, at = rest[done:], at + done


@contextmanager
def create(path: Path, *, force: bool = False) -> Iterator[Writer]:
    """Write a snapshot in a `with` block; at its end the file is there, if nothing failed.

    force: replace what has that name. Only this user may read it: a guest's memory has
    the guest's secrets in it. Raises PtliveError if it cannot be written.
    """
    with whole(path, force=force, private=True) as draft:
        with writing(path):
            file = os.open(draft, os.O_WRONLY | os.O_CLOEXEC)
        try:
            yield Writer(file, path)
            with writing(path):
                os.fsync(file)
        finally:
            os.close(file)


def _runs(frames: list[U64], places: list[U64]) -> np.ndarray[Any, Any]:
    """Return stretches of frames that follow each other, ascending, and where they are."""
    frame = np.concatenate([np.empty(0, np.uint64), *frames])
    slot = np.concatenate([np.empty(0, np.uint64), *places])
    order = np.argsort(frame, kind="stable")
    frame, slot = frame[order], slot[order]
    zeros = slot == np.uint64(ZEROS)
    one = np.uint64(1)
    assert (frame[1:] > frame[:-1]).all(), "a frame came twice"
    follows = frame[1:] == frame[:-1] + one
    follows &= (zeros[1:] & zeros[:-1]) | (~zeros[1:] & ~zeros[:-1] & (slot[1:] == slot[:-1] + one))
    first = np.flatnonzero(np.concatenate((np.ones(min(len(frame), 1), np.bool_), ~follows)))
    runs = np.empty(len(first), RUN)
    runs["frame"], runs["slot"] = frame[first], slot[first]
    runs["count"] = np.diff(np.append(first, len(frame)))
    return runs
