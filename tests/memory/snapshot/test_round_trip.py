"""What was written is read, by the reader and by the one that the README prints."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ptlive.arrays import pieces, u64
from ptlive.errors import PtliveError
from ptlive.memory import snapshot
from ptlive.memory.snapshot import read
from ptlive.memory.snapshot.layout import CHUNK_FRAMES
from ptlive.memory.snapshot.missing import Missing
from ptlive.memory.snapshot.read import open_snapshot
from ptlive.memory.snapshot.write import create

FRAME = 4096
README = Path(snapshot.__file__).with_name("README.md")


def rows(count: int, seed: int = 1) -> np.ndarray[tuple[int, int], np.dtype[np.uint8]]:
    """Frames of which every third holds nothing but zeros."""
    made = np.random.default_rng(seed).integers(0, 256, (count, FRAME), np.uint8)
    made[::3] = 0
    return made


@given(
    st.lists(st.integers(0, 400), unique=True, max_size=300),
    st.lists(st.integers(0, 300), max_size=4),
    st.integers(0, 1 << 39),
)
def test_frames_in_any_order_come_back(
    tmp_path_factory: pytest.TempPathFactory, numbers: list[int], cuts: list[int], base: int
) -> None:
    """However they were handed over; what was not is invalid."""
    path = tmp_path_factory.mktemp("snapshot") / "one"
    frames = (np.array(numbers, np.uint64) + np.uint64(base)) << np.uint64(12)
    data = rows(len(frames))
    with create(path) as writer:
        edges = [0, *sorted(min(cut, len(frames)) for cut in cuts), len(frames)]
        for first, end in pairwise(edges):
            writer.add(frames[first:end], data[first:end])
        writer.finish({"any": ["thing", None]})
        assert writer.frames == len(frames)
    opened = open_snapshot(path)
    assert opened.about == {"any": ["thing", None]}
    assert opened.memory.frames == len(frames)
    assert opened.memory.stored == int(data.any(axis=1).sum()) == writer.stored
    asked = (np.arange(402, dtype=np.uint64) + np.uint64(base)) << np.uint64(12)
    got, valid = opened.memory.read(asked, FRAME)
    wanted = {int(frame): row for frame, row in zip(frames, data, strict=True)}
    for frame, row, good in zip(asked.tolist(), got, valid.tolist(), strict=True):
        assert good == (frame in wanted)
        assert (row == wanted.get(frame, 0)).all()


def test_any_part_of_frames_and_across_them(tmp_path: Path) -> None:
    data = rows(8, 2)
    with create(tmp_path / "one") as writer:
        writer.add(u64(*range(0x5000, 0xD000, FRAME)), data)
        writer.finish({})
    memory = open_snapshot(tmp_path / "one").memory
    flat = data.reshape(-1)
    random = np.random.default_rng(3)
    for length in (1, 8, 24, 4096, 6000, 9000):
        at = random.integers(0x5000, 0xD000 - length, 50).astype(np.uint64)
        got, valid = memory.read(at, length)
        assert valid.all()
        for place, row in zip(at.tolist(), got, strict=True):
            assert (row == flat[place - 0x5000 :][:length]).all()
    got, valid = memory.read(u64(0x4FFC, 0xCFFC, 0xCFF8, 2**64 - 4, 2**64 - 8), 8)
    assert valid.tolist() == [False, False, True, False, False]
    assert not got[~valid].any()
    assert memory.read(u64(), 8)[0].shape == (0, 8)
    streamed = list(pieces(memory, u64(0x6000, 0x1000, 0x7000), FRAME))
    assert np.concatenate([good for _, good in streamed]).tolist() == [True, False, True]


def test_zeros_cost_nothing_and_a_frame_may_not_come_twice(tmp_path: Path) -> None:
    with create(tmp_path / "zeros") as writer:
        for at in range(0, 1 << 16, 1 << 12):
            frames = np.arange(at, at + (1 << 12), dtype=np.uint64) << np.uint64(12)
            writer.add(frames, np.zeros((len(frames), FRAME), np.uint8))
        writer.finish({})
    assert (tmp_path / "zeros").stat().st_size < 300
    assert open_snapshot(tmp_path / "zeros").memory.frames == 1 << 16
    with create(tmp_path / "twice", force=True) as writer:
        writer.add(u64(0x1000, 0x1000), rows(2))
        with pytest.raises(AssertionError, match="twice"):
            writer.finish({})


def test_few_chunks_are_kept_and_each_is_unpacked_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = 10 * CHUNK_FRAMES
    data = np.full((count, FRAME), 7, np.uint8)
    with create(tmp_path / "one") as writer:
        frames = np.arange(count, dtype=np.uint64) << np.uint64(12)
        writer.add(frames, data)
        writer.finish({})
    unpacked: list[object] = []
    section = read._section

    def unpack(*what: Any) -> bytes:
        unpacked.append(what[1])
        return section(*what)

    monkeypatch.setattr(read, "_section", unpack)
    memory = open_snapshot(tmp_path / "one").memory
    unpacked.clear()
    memory.read(frames[::-1], FRAME)
    memory.read(frames, 8)
    assert len(unpacked) == 10
    monkeypatch.setattr(read, "_KEPT", 2 * CHUNK_FRAMES * FRAME)
    memory = open_snapshot(tmp_path / "one").memory
    memory.read(frames, 8)
    assert len(memory._held) == 2


def test_the_file_is_its_owners_and_there_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "one"
    with create(path) as writer:
        writer.add(u64(0x1000), rows(2)[1:])
        assert not path.exists()
        writer.finish({})
    assert path.stat().st_mode & 0o777 == 0o600
    before = path.read_bytes()

    def failing(error: BaseException) -> None:
        with create(path, force=True) as writer:
            writer.add(u64(0x1000), rows(2)[1:])
            writer.finish({})
            raise error

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    for error in (KeyboardInterrupt(), ValueError()):
        with pytest.raises(type(error)):
            failing(error)
    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", full)
        with pytest.raises(PtliveError, match=f"cannot write {path}: No space left on device"):
            failing(AssertionError())
    assert [one.name for one in tmp_path.iterdir()] == ["one"]
    assert path.read_bytes() == before
    with create(path, force=True) as writer:
        writer.finish({})
    assert path.read_bytes() != before


def test_nothing_is_replaced_unasked(tmp_path: Path) -> None:
    path = tmp_path / "one"
    path.write_text("mine")
    with pytest.raises(PtliveError, match="is there already: --force replaces it"):
        create(path).__enter__()
    with pytest.raises(PtliveError, match="is no file, and is not replaced"):
        create(tmp_path, force=True).__enter__()

    def raced() -> None:
        with create(tmp_path / "two") as writer:
            (tmp_path / "two").write_text("somebody else's, meanwhile")
            writer.finish({})

    with pytest.raises(PtliveError, match="is there already"):
        raced()
    with pytest.raises(PtliveError, match=r"cannot write .*: No such file or directory"):
        create(tmp_path / "none" / "one").__enter__()
    assert {one.name for one in tmp_path.iterdir()} == {"one", "two"}
    assert path.read_text() == "mine"


def test_the_script_of_the_readme_reads_it(tmp_path: Path) -> None:
    script = re.search(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    assert script is not None
    assert len([line for line in script[1].splitlines() if line]) <= 32
    table = np.zeros((1, FRAME), np.uint8)
    table.view("<u8")[0, [0, 5, 511]] = (0x2067, 0x8000_0000_0000_0001, 0x3063)
    path = tmp_path / "one"
    with create(path) as writer:
        writer.add(u64(*range(0x100000, 0x200000, FRAME)), rows(256, 4))
        writer.add(u64(0x1000, 0x3000), np.concatenate((table, table * 0)))
        writer.finish({"cpus": [{"registers": {"cr3": "0x1005"}}]})
    done = subprocess.run(
        [sys.executable, "-c", script[1], str(path)], capture_output=True, text=True, check=True
    )
    assert done.stdout == "0 0x2067\n5 0x8000000000000001\n511 0x3063\n"


def test_what_is_missing_is_counted_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ptlive.memory.snapshot.missing._SOME", 2)
    with create(tmp_path / "one") as writer:
        writer.add(u64(0x5000), rows(2)[1:])
        writer.finish({})
    memory = Missing(open_snapshot(tmp_path / "one").memory)
    assert memory.frames.tolist() == []
    for _ in range(3):
        memory.read(u64(0x5000, 0x9008, 0x9010, 0x1000), 8)
        for _ in memory.stream(u64(0x5000, 0xA000), FRAME):
            pass
    assert memory.frames.tolist() == [1, 9, 10]
    assert memory.frames.tolist() == [1, 9, 10]
