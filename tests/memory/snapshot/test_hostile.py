"""A file is not trusted: whatever is in it, reading ends soon, with a sentence or what it holds."""

from __future__ import annotations

import json
import struct
import tracemalloc
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from ptlive.arrays import u64
from ptlive.errors import PtliveError
from ptlive.memory.snapshot.layout import MOST_RUNS
from ptlive.memory.snapshot.read import open_snapshot
from ptlive.memory.snapshot.write import create

if TYPE_CHECKING:
    from pathlib import Path

FRAME = 4096
FRAMES = np.arange(0, 200, dtype=np.uint64) << np.uint64(12)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("whole") / "one"
    random = np.random.default_rng(5)
    with create(path) as writer:
        data = np.zeros((200, FRAME), np.uint8)
        data[:, :64] = random.integers(0, 256, (200, 64), np.uint8)
        data[50:60] = 0
        writer.add(FRAMES, data)
        writer.finish({"guest": "any"})
    return path.read_bytes()


def made(
    path: Path,
    *,
    about: bytes = b"{}",
    runs: bytes = b"",
    chunks: bytes = b"",
    slots: int = 0,
    each: int = 64,
    body: bytes = b"",
    change: Any = lambda header: header,
) -> Path:
    """Write a file by the README, by other code than the writer's, with whatever is asked for."""
    at, rest, sections = 144 + len(body), b"", b""
    for data in (about, runs, chunks):
        packed = zstandard.compress(data)
        sections += struct.pack(
            "<QQQII", at + len(rest), len(packed), len(data), zlib.crc32(packed), 0
        )
        rest += packed
    head = struct.pack("<8sIIIIQ", b"\x89PTLIVE\n", 1, FRAME, each, 1, slots) + sections
    head = change(head + struct.pack("<QI", at + len(rest), 0))
    path.write_bytes(head + struct.pack("<I", zlib.crc32(head)) + body + rest)
    return path


def refused(path: Path) -> str:
    def read() -> None:
        open_snapshot(path).memory.read(FRAMES, FRAME)

    with pytest.raises(PtliveError) as caught:
        read()
    said = str(caught.value)
    assert said.startswith(f"cannot read {path}: ")
    assert "\n" not in said
    return said.removeprefix(f"cannot read {path}: ")


def run(*rows: tuple[int, int, int]) -> bytes:
    return b"".join(struct.pack("<QQQ", *row) for row in rows)


def chunk(offset: int, data: bytes) -> bytes:
    return struct.pack("<QII", offset, len(data), zlib.crc32(data))


def test_what_is_made_by_the_readme_is_read(tmp_path: Path) -> None:
    body = zstandard.compress(b"\7" * FRAME)
    path = made(tmp_path / "a", runs=run((5, 1, 0)), slots=1, body=body, chunks=chunk(144, body))
    data, valid = open_snapshot(path).memory.read(u64(0x5000, 0x6000), FRAME)
    assert valid.tolist() == [True, False]
    assert (data[0] == 7).all()


def test_files_that_are_cut_short(whole: bytes, tmp_path: Path) -> None:
    path = tmp_path / "cut"
    for size in (*range(0, 150, 7), 1000, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:size])
        said = refused(path)
        assert said.startswith("it is cut short") or (size < 8 and said == "it is no snapshot")


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_any_flipped_bit_is_noticed(whole: bytes, tmp_path_factory: Any, data: Any) -> None:
    at = data.draw(st.integers(0, len(whole) - 1) | st.integers(0, 160))
    bit = data.draw(st.integers(0, 7))
    changed = bytearray(whole)
    changed[at] ^= 1 << bit
    path = tmp_path_factory.mktemp("flip") / "one"
    path.write_bytes(changed)
    refused(path)


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=400), st.booleans())
def test_any_bytes(tmp_path_factory: Any, data: bytes, begun: bool) -> None:
    path = tmp_path_factory.mktemp("any") / "one"
    path.write_bytes(b"\x89PTLIVE\n" * begun + data)
    refused(path)


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_any_header_with_a_good_checksum(tmp_path_factory: Any, data: Any) -> None:
    """Huge lengths, offsets beyond the end, sections in one another: a sentence, or no frames."""
    number = st.sampled_from([0, 1, 143, 144, 4096, 1 << 31, 1 << 32, 1 << 63, 2**64 - 1])
    words = data.draw(st.lists(st.none() | number, min_size=14, max_size=14))

    def change(header: bytes) -> bytes:
        fields = [*struct.unpack_from("<16Q", header, 8)]
        for at, word in enumerate(words):
            fields[at + 1] = fields[at + 1] if word is None else word
        return header[:8] + struct.pack("<16Q", *fields)

    path = made(tmp_path_factory.mktemp("header") / "one", change=change)
    try:
        _, valid = open_snapshot(path).memory.read(FRAMES, FRAME)
    except PtliveError:
        refused(path)
    else:
        assert not valid.any()


@pytest.mark.parametrize(
    "rows",
    [
        [(5, 2, 0), (6, 1, 0)],  # overlapping
        [(6, 1, 0), (5, 1, 0)],  # not ascending
        [(5, 1, 0), (5, 1, 0)],
        [(5, 0, 0)],
        [(5, 3, 0)],  # more than there are
        [(5, 1, 2)],
        [(5, 1, 2**64 - 2)],
        [(5, 2, 2**64 - 2)],
        [(5, 2**64 - 1, 0)],
        [(2**64 - 1, 1, 0)],
        [(5, 2**64 - 5, 2**64 - 1)],
        [(2**52, 1, 2**64 - 1)],
    ],
)
def test_runs_that_make_no_sense(tmp_path: Path, rows: list[tuple[int, int, int]]) -> None:
    body = zstandard.compress(bytes(2 * FRAME))
    path = made(tmp_path / "a", runs=run(*rows), slots=2, body=body, chunks=chunk(144, body))
    assert refused(path) == "its index of frames makes no sense"


@pytest.mark.parametrize("offset", [0, 1 << 20, 2**64 - 1])
def test_chunks_elsewhere(tmp_path: Path, offset: int) -> None:
    """Cyclic ones, too: whose bytes are the header's own."""
    body = zstandard.compress(bytes(FRAME))
    path = made(tmp_path / "a", runs=run((5, 1, 0)), slots=1, body=body, chunks=chunk(offset, body))
    assert "makes no sense" in (said := refused(path)) or "damaged" in said


def test_bombs_are_not_unpacked(tmp_path: Path) -> None:
    """What says that it is larger than it may be is not made room for."""
    size = 64 << 20
    bomb = zstandard.compress(bytes(size))
    assert len(bomb) < 1 << 14
    # One that does not tell its size, and one that tells another (RFC 8878 3.1.1.1.4).
    silent = zstandard.ZstdCompressor(write_content_size=False).compress(bytes(size))
    lying = bomb.replace(struct.pack("<I", size), struct.pack("<I", FRAME), 1)
    assert zstandard.frame_content_size(lying) == FRAME
    path = tmp_path / "a"
    for body in (bomb, silent, lying):
        made(path, runs=run((5, 1, 0)), slots=1, body=body, chunks=chunk(144, body))
        tracemalloc.start()
        try:
            assert "a part of it is damaged" in refused(path)
            assert tracemalloc.get_traced_memory()[1] < 8 << 20
        finally:
            tracemalloc.stop()

    def claim(header: bytes) -> bytes:
        return header[:80] + struct.pack("<Q", MOST_RUNS + 24) + header[88:]

    assert refused(made(path, change=claim)) == "its header makes no sense"


@pytest.mark.parametrize(
    "about", [b"", b"[]", b"1", b"{", b"\xff", b'{"a": ' + b"1" * 5000 + b"}", b"[" * 100_000]
)
def test_what_is_said_makes_no_sense(tmp_path: Path, about: bytes) -> None:
    said = refused(made(tmp_path / "a", about=about))
    assert said.startswith("what it says of the guest ")


def test_versions_to_come_and_other_files(tmp_path: Path) -> None:
    path = made(tmp_path / "a", change=lambda h: h[:8] + struct.pack("<I", 2) + h[12:])
    assert refused(path) == "it has version 2, and this ptlive reads 1"
    path.write_text(json.dumps({}))
    assert refused(path) == "it is no snapshot"
    assert refused(tmp_path / "none") == "No such file or directory"
    assert refused(tmp_path) == "Is a directory"
