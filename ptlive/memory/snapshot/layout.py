"""The bytes of a snapshot: README.md beside this, as data."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass

import numpy as np

from ptlive.errors import PtliveError

# As PNG's: no text begins so, and a copy that changes the ends of lines does not keep it.
MAGIC = b"\x89PTLIVE\n"
VERSION = 1
FRAME = 1 << 12
ZSTD = 1
# A chunk is what is compressed and decompressed at once: of 64 frames, 256 KB, 27 MB came of
# 93 MB of a booted Linux; of 16 frames 28 MB, and more would be decompressed for one frame.
CHUNK_FRAMES = 64
MOST_CHUNK_FRAMES = 1 << 12

_HEAD = struct.Struct("<8sIIIIQ")
_SECTION = struct.Struct("<QQQII")
_TAIL = struct.Struct("<QII")
HEADER_SIZE = _HEAD.size + 3 * _SECTION.size + _TAIL.size

RUN = np.dtype([("frame", "<u8"), ("count", "<u8"), ("slot", "<u8")])
CHUNK = np.dtype([("offset", "<u8"), ("length", "<u4"), ("crc", "<u4")])
#: The slot of frames that hold nothing but zeros.
ZEROS = (1 << 64) - 1

# What a file may make us hold, in bytes: what is told of thousands of vCPUs; and 8 million runs,
# 32 GB of which every second frame is zeros (a booted Linux of 512 MB has 561 of them).
MOST_ABOUT, MOST_RUNS = 16 << 20, RUN.itemsize << 23
# A compressed part has some bytes at least (RFC 8878 3.1.1), and not many more than it holds.
_LEAST = 9
FRAMES_LIMIT = 1 << 52  # a frame number has 52 bits at most


@dataclass(frozen=True)
class Section:
    """A compressed part of the file; size: of what it holds; crc: of the compressed bytes."""

    offset: int
    length: int
    size: int
    crc: int

    def sane(self, file_size: int, most: int) -> bool:
        """Tell whether it can be in a file of that size, and holds at most so much."""
        inside = self.offset >= HEADER_SIZE and self.offset + self.length <= file_size
        return inside and self.size <= most and self.length <= longest(self.size)


def longest(size: int) -> int:
    """Return how long so many bytes can be when compressed (zstd.h, ZSTD_COMPRESSBOUND)."""
    return size + (size >> 8) + (1 << 10)


@dataclass(frozen=True)
class Header:
    """What the first bytes of a snapshot say."""

    slots: int
    about: Section
    runs: Section
    chunks: Section
    file_size: int
    chunk_frames: int = CHUNK_FRAMES

    def pack(self) -> bytes:
        """Return the header's bytes."""
        data = _HEAD.pack(MAGIC, VERSION, FRAME, self.chunk_frames, ZSTD, self.slots)
        for one in (self.about, self.runs, self.chunks):
            data += _SECTION.pack(one.offset, one.length, one.size, one.crc, 0)
        data += _TAIL.pack(self.file_size, 0, 0)[:-4]
        return data + struct.pack("<I", zlib.crc32(data))

    @classmethod
    def parse(cls, data: bytes, file_size: int) -> Header:
        """Read the header of a file of that size. Raises PtliveError for what is none."""
        if data[: len(MAGIC)] != MAGIC:
            raise PtliveError("it is no snapshot")
        if len(data) < HEADER_SIZE:
            raise PtliveError("it is cut short")
        _, version, frame, chunk_frames, compression, slots = _HEAD.unpack_from(data)
        if version != VERSION:
            raise PtliveError(f"it has version {version}, and this ptlive reads {VERSION}")
        sections = [
            Section(*_SECTION.unpack_from(data, _HEAD.size + at * _SECTION.size)[:4])
            for at in range(3)
        ]
        size, _, crc = _TAIL.unpack_from(data, HEADER_SIZE - _TAIL.size)
        if crc != zlib.crc32(data[: HEADER_SIZE - 4]):
            raise PtliveError("its header is damaged")
        if file_size < size:
            raise PtliveError(f"it is cut short: {size - file_size:,} bytes are missing")
        about, runs, index = sections
        header = cls(slots, about, runs, index, size, chunk_frames)
        sane = frame == FRAME and compression == ZSTD and 0 < chunk_frames <= MOST_CHUNK_FRAMES
        chunks = -(-slots // max(chunk_frames, 1))
        sane &= chunks * _LEAST <= size and header.chunks.size == chunks * CHUNK.itemsize
        sane &= header.runs.size % RUN.itemsize == 0
        limits = (MOST_ABOUT, MOST_RUNS, header.chunks.size)
        if not sane or not all(map(Section.sane, sections, [size] * 3, limits)):
            raise PtliveError("its header makes no sense")
        return header
