"""Copies of RAM by each way, from a monitor and memories that are played."""

from __future__ import annotations

import errno
import os
import re
from typing import TYPE_CHECKING

import numpy as np
import pytest

from ptlive.errors import PtliveError
from ptlive.memory import capture
from ptlive.memory.layout import Layout, Piece
from ptlive.memory.ram import PlainRam

if TYPE_CHECKING:
    from pathlib import Path

    from ptlive.arrays import U8
    from ptlive.memory.open_file import OpenFile

MB = 1 << 20
# A hole that is no RAM at 640 KB, and a split around 4 GB.
LAYOUT = Layout(
    size=6 * MB,
    low=4 * MB,
    pieces=(
        Piece(0, 0x9FFFF, 0),
        Piece(MB, 4 * MB - 1, MB),
        Piece(1 << 32, (1 << 32) + 2 * MB - 1, 4 * MB),
    ),
    whole=True,
)


def contents() -> U8:
    ram = np.random.default_rng(1).integers(1, 256, 6 * MB, dtype=np.uint8)
    ram[2 * MB : 4 * MB] = 0
    ram[4 * MB - 1] = 7
    return ram


def expected(ram: U8) -> bytes:
    copy = ram.copy()
    copy[0xA0000:MB] = 0
    return copy.tobytes()


def all_of(file: OpenFile) -> bytes:
    return os.pread(file.fileno(), 1 << 30, 0)


class Monitor:
    """QEMU's monitor, with `pmemsave` (cpus.c, qmp_pmemsave) only."""

    def __init__(self, ram: U8, *, says: str = "", short: int = 0) -> None:
        self.ram, self.says, self.short = ram, says, short
        self.asked: list[tuple[int, int]] = []

    def __call__(self, command: str) -> str:
        match = re.fullmatch(r'pmemsave (\w+) (\w+) "(.*)"', command)
        assert match is not None
        first, size = int(match[1], 0), int(match[2], 0)
        self.asked.append((first, size))
        piece = next(p for p in LAYOUT.pieces if p.first <= first <= p.last)
        assert first + size - 1 <= piece.last, "that is not all RAM"
        at = first - piece.first + piece.offset
        if not self.says:
            with open(match[3], "wb") as file:
                file.write(self.ram[at : at + size - self.short].tobytes())
        return self.says


@pytest.mark.parametrize("step", [64 * MB, 0x30000])
def test_qemu_saves_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    monkeypatch.setattr(capture, "_SAVED", step)
    ram, told = contents(), []
    copy = capture.save(
        Monitor(ram), LAYOUT, str(tmp_path), lambda _: None, lambda *done: told.append(done)
    )
    assert all_of(copy) == expected(ram)
    assert os.fstat(copy.fileno()).st_blocks * 512 < 6 * MB, "zeros take no room"
    assert os.readlink(f"/proc/self/fd/{copy.fileno()}").endswith(" (deleted)")
    size = 6 * MB - 0x60000
    assert told[0] == (0, size)
    assert told[-1] == (size, size)
    assert list(tmp_path.iterdir()) == []


def test_it_is_read_through_the_stub() -> None:
    ram = contents()
    pieces = {p.first: ram[p.offset : p.offset + p.size] for p in LAYOUT.pieces}
    assert all_of(capture.read(PlainRam(pieces), LAYOUT)) == expected(ram)
    del pieces[1 << 32]
    with pytest.raises(PtliveError, match="RAM at 0x100000000 cannot be read whole"):
        capture.read(PlainRam(pieces), LAYOUT)


def test_it_is_copied_from_a_file(tmp_path: Path) -> None:
    ram, path = contents(), tmp_path / "ram"
    path.write_bytes(ram.tobytes())
    with path.open("rb") as file:
        assert all_of(capture.copy_file(file.fileno(), LAYOUT)) == expected(ram)
    path.write_bytes(ram[:MB].tobytes())
    with path.open("rb") as file, pytest.raises(PtliveError, match="shorter than its RAM"):
        capture.copy_file(file.fileno(), LAYOUT)


@pytest.mark.parametrize(
    ("monitor", "words"),
    [
        (Monitor(contents(), says="Error: Could not open '/x': Permission denied\r\n"), "denied"),
        (Monitor(contents(), short=4096), "a short file"),
    ],
    ids=["refused", "disk full"],
)
def test_where_qemu_cannot_it_says_so(tmp_path: Path, monitor: Monitor, words: str) -> None:
    files = len(os.listdir("/proc/self/fd"))
    with pytest.raises(PtliveError, match=f"does not save the guest's RAM: .*{words}$") as caught:
        capture.save(monitor, LAYOUT, str(tmp_path), lambda _: None)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []
    assert len(os.listdir("/proc/self/fd")) == files


def test_it_is_found_out_first_where_qemu_can(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(capture, "folders", lambda room: ["/nowhere", str(tmp_path)])
    monitor = Monitor(contents())
    assert capture.where_saved(monitor, lambda _: None) == (str(tmp_path), "")
    assert monitor.asked == [(0, 4096)]
    monkeypatch.setattr(capture, "folders", lambda room: [str(tmp_path)])
    refuses = Monitor(contents(), says="Error: no\r\n")
    assert capture.where_saved(refuses, lambda _: None) == (None, "Error: no")
    # Whatever said nothing wrote its file elsewhere: it is on another machine.
    assert capture.where_saved(lambda _: "", lambda _: None) == (None, "no file arrives")
    monkeypatch.setattr(capture, "folders", lambda room: [])
    assert capture.where_saved(monitor, lambda _: None) == (None, "no folder has 128 MB left")


def test_a_copy_on_disk_has_no_name_either(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capture, "_available", lambda: 0)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    ram = contents()
    copy = capture.save(Monitor(ram), LAYOUT, str(tmp_path), lambda _: None)
    assert list(tmp_path.iterdir()) == []
    assert all_of(copy) == expected(ram)


def test_without_room_nothing_is_begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capture, "_available", lambda: 0)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    layout = Layout(1 << 60, 1 << 31, LAYOUT.pieces, whole=True)
    monitor = Monitor(contents())
    with pytest.raises(PtliveError, match=r"no room for a copy of .*, \d+ MB"):
        capture.save(monitor, layout, str(tmp_path), lambda _: None)
    assert monitor.asked == []


def test_a_disk_that_fills_up_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "pwrite", full)
    files = len(os.listdir("/proc/self/fd"))
    with pytest.raises(PtliveError, match="cannot copy the guest's RAM: No space left on device"):
        capture.save(Monitor(contents()), LAYOUT, str(tmp_path), lambda _: None)
    assert len(os.listdir("/proc/self/fd")) == files
    assert list(tmp_path.iterdir()) == []
