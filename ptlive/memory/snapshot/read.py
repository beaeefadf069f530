"""Read a snapshot: what is known of the guest, and frames as they are asked for.

The file is not trusted: whatever is in it, reading ends soon, with what it holds or with a
sentence, and holds no more than the limits in `layout`.
"""

from __future__ import annotations

import json
import os
import zlib
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import zstandard

from ptlive.arrays import portions
from ptlive.errors import PtliveError
from ptlive.memory.open_file import OpenFile
from ptlive.memory.snapshot.layout import (
    CHUNK,
    FRAME,
    FRAMES_LIMIT,
    HEADER_SIZE,
    RUN,
    ZEROS,
    Header,
    Section,
    longest,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ptlive.arrays import U8, U64, Bool, Index

_SHIFT, _OFFSET = np.uint64(12), np.uint64(FRAME - 1)
# Bytes of decompressed chunks that are kept: all tables of most guests.
_KEPT = 64 << 20


@dataclass(frozen=True)
class Snapshot:
    """An open snapshot; about: what its JSON says, of which nothing is checked yet."""

    about: dict[str, Any]
    memory: SnapshotMemory


def open_snapshot(path: Path) -> Snapshot:
    """Open a snapshot. Raises PtliveError if it cannot be read, or is not whole."""
    try:
        file = OpenFile(os.open(path, os.O_RDONLY | os.O_CLOEXEC))
        size = os.fstat(file.fileno()).st_size
        header = Header.parse(os.pread(file.fileno(), HEADER_SIZE, 0), size)
        about = json.loads(_section(file, header.about))
        if not isinstance(about, dict):
            raise PtliveError("what it says of the guest makes no sense")
        runs = np.frombuffer(_section(file, header.runs), RUN)
        chunks = np.frombuffer(_section(file, header.chunks), CHUNK)
        return Snapshot(about, SnapshotMemory(file, str(path), header, runs, chunks))
    except OSError as error:
        raise PtliveError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, RecursionError):
        raise PtliveError(f"cannot read {path}: what it says of the guest is damaged") from None
    except PtliveError as error:
        raise PtliveError(f"cannot read {path}: {error}") from error


class SnapshotMemory:
    """The frames of a snapshot; one that it does not hold is invalid.

    Raises PtliveError, when it is made, for an index that makes no sense, and, when it is
    read, for a chunk that is damaged.
    """

    def __init__(
        self,
        file: OpenFile,
        name: str,
        header: Header,
        runs: np.ndarray[Any, Any],
        chunks: np.ndarray[Any, Any],
    ) -> None:
        self._file, self._name = file, name
        self._slots, self._each = header.slots, header.chunk_frames
        self._first, self._count, self._slot = (
            np.ascontiguousarray(runs[column], np.uint64) for column in ("frame", "count", "slot")
        )
        self._chunks = chunks
        self._codec = zstandard.ZstdDecompressor()
        self._held: OrderedDict[int, U8] = OrderedDict()
        self._check(header)

    def _check(self, header: Header) -> None:
        first, count, slot = self._first, self._count, self._slot
        limit, slots = np.uint64(FRAMES_LIMIT), np.uint64(self._slots)
        # In this order: a sum of two numbers below the limit fits.
        sane = bool((first < limit).all() and ((count > 0) & (count <= limit)).all())
        sane = sane and bool((first[1:] >= first[:-1] + count[:-1]).all())
        stored = slot != np.uint64(ZEROS)
        inside = (slot[stored] < slots) & (count[stored] <= slots)
        sane = sane and bool(inside.all() and (slot[stored] + count[stored] <= slots).all())
        end = self._chunks["offset"] + self._chunks["length"].astype(np.uint64)
        size, most = np.uint64(header.file_size), longest(self._each * FRAME)
        sane = sane and bool((self._chunks["offset"] <= size).all() and (end <= size).all())
        sane = sane and bool((self._chunks["length"] <= most).all())
        if not sane:
            raise PtliveError("its index of frames makes no sense")

    @property
    def stored(self) -> int:
        """How many frames are in it that hold anything."""
        return self._slots

    @property
    def frames(self) -> int:
        """How many frames are in it."""
        return int(self._count.sum())

    def holds(self, frames: U64) -> Bool:
        """Tell which frames, by their numbers, are in the file."""
        return self._find(frames)[1]

    def read(self, addresses: U64, length: int) -> tuple[U8, Bool]:
        """See `ptlive.arrays.Memory.read`."""
        data = np.zeros((len(addresses), length), np.uint8)
        if not length:
            return data, np.zeros(len(addresses), np.bool_)
        valid = addresses <= np.uint64(2**64 - length)
        # Each row may begin somewhere in a frame, and go on in others.
        rows, done = np.flatnonzero(valid), np.zeros(int(valid.sum()), np.intp)
        while rows.size:
            at = addresses[rows] + done.astype(np.uint64)
            offset = (at & _OFFSET).astype(np.intp)
            size = np.minimum(FRAME - offset, length - done)
            held = self._copy(data, rows, done, at >> _SHIFT, offset, size)
            valid[rows[~held]] = False
            done += size
            more = held & (done < length)
            rows, done = rows[more], done[more]
        data[~valid] = 0
        return data, valid

    def stream(self, addresses: U64, length: int) -> Iterator[tuple[U8, Bool]]:
        """See `ptlive.arrays.Streaming.stream`."""
        for some in portions(addresses, length):
            yield self.read(some, length)

    def _find(self, frames: U64) -> tuple[U64, Bool]:
        """Return the slot of each frame, and whether it is in the file."""
        slots = np.full(len(frames), ZEROS, np.uint64)
        if not len(self._first):
            return slots, np.zeros(len(frames), np.bool_)
        run = np.searchsorted(self._first, frames, side="right") - 1
        into = frames - self._first[run]  # of a frame below all, far too much
        held = (run >= 0) & (into < self._count[run])
        stored = held & (self._slot[run] != np.uint64(ZEROS))
        slots[stored] = self._slot[run[stored]] + into[stored]
        return slots, held

    def _copy(
        self, data: U8, rows: Index, column: Index, frames: U64, offset: Index, size: Index
    ) -> Bool:
        """Copy a part of one frame into each of these rows; return which are in the file.

        column: where in the row; offset: where in the frame; size: how much
        """
        slots, held = self._find(frames)
        stored = np.flatnonzero(slots != np.uint64(ZEROS))
        chunk = (slots[stored] // np.uint64(self._each)).astype(np.intp)
        within = (slots[stored] % np.uint64(self._each)).astype(np.intp)
        order = np.argsort(chunk, kind="stable")
        cuts = np.flatnonzero(np.diff(chunk[order])) + 1
        for some in np.split(order, cuts) if order.size else []:
            source = self._chunk(int(chunk[some[0]]))
            which, part = stored[some], within[some]
            if data.shape[1] == FRAME == size[which].min():
                data[rows[which]] = source[part]
                continue
            for length in np.unique(size[which]).tolist():
                like = size[which] == length
                at, of, step = which[like], part[like], np.arange(length)
                part_of_row = (rows[at][:, None], column[at][:, None] + step)
                data[part_of_row] = source[of[:, None], offset[at][:, None] + step]
        return held

    def _chunk(self, number: int) -> U8:
        """Return the frames of a chunk."""
        if number in self._held:
            self._held.move_to_end(number)
            return self._held[number]
        place = self._chunks[number]
        count = min(self._each, self._slots - number * self._each)
        section = Section(
            int(place["offset"]), int(place["length"]), count * FRAME, int(place["crc"])
        )
        try:
            data = _section(self._file, section, self._codec)
        except PtliveError as error:
            raise PtliveError(f"cannot read {self._name}: {error}") from error
        rows = np.frombuffer(data, np.uint8).reshape(-1, FRAME)
        while self._held and (len(self._held) + 1) * self._each * FRAME > _KEPT:
            self._held.popitem(last=False)
        self._held[number] = rows
        return rows


def _section(
    file: OpenFile, section: Section, codec: zstandard.ZstdDecompressor | None = None
) -> bytes:
    """Return what a compressed part of the file holds. Raises PtliveError if it is damaged."""
    packed = os.pread(file.fileno(), section.length, section.offset)
    if len(packed) != section.length or zlib.crc32(packed) != section.crc:
        raise PtliveError("a part of it is damaged: its checksum is another")
    codec = codec or zstandard.ZstdDecompressor()
    try:
        # As much is made room for as the compressed bytes themselves say.
        if zstandard.frame_content_size(packed) != section.size:
            raise PtliveError("a part of it is damaged: it is of another size")
        data = codec.decompress(packed, max_output_size=section.size, allow_extra_data=False)
    except zstandard.ZstdError:
        raise PtliveError("a part of it is damaged: it cannot be decompressed") from None
    if len(data) != section.size:
        raise PtliveError("a part of it is damaged: it is of another size")
    return data
