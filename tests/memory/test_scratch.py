"""A file that QEMU writes: writable by whoever knows its name, and gone afterwards."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

import pytest

from ptlive.errors import PtliveError
from ptlive.memory.scratch import Scratch, folders, scratch

if TYPE_CHECKING:
    from pathlib import Path


def test_it_can_be_written_by_name_and_is_gone_afterwards(tmp_path: Path) -> None:
    told: list[str] = []
    with scratch(str(tmp_path), told.append) as file:
        (folder,) = tmp_path.iterdir()
        assert told == [str(folder)]
        assert stat.S_IMODE(folder.stat().st_mode) == 0o711, "others may not list it"
        assert stat.S_IMODE(os.stat(file.path).st_mode) == 0o622, "others may not read it"
        with open(file.path, "wb") as written:
            written.write(b"RAM")
        assert os.pread(file.file, 10, 0) == b"RAM"
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(file.file)


def test_it_is_gone_after_an_exception(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), scratch(str(tmp_path), lambda _: None):
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_it_is_announced_before_it_is_there(tmp_path: Path) -> None:
    def announce(path: str) -> None:
        assert not os.path.exists(path)
        raise PtliveError("nobody would remove it")

    with pytest.raises(PtliveError, match="nobody"), scratch(str(tmp_path), announce):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_takes_no_file_is_named(tmp_path: Path) -> None:
    gone = str(tmp_path / "gone")
    sentence = f"cannot keep a file in {gone}: No such file"
    with pytest.raises(PtliveError, match=sentence), scratch(gone, lambda _: None):
        pass


def test_a_path_is_quoted_as_the_monitor_reads_it() -> None:
    assert Scratch(0, '/tmp/a b"c\\d').quoted == r'"/tmp/a b\"c\\d"'


def test_folders_without_room_are_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert folders(1)[-1] == str(tmp_path)
    assert folders(1 << 62) == []
