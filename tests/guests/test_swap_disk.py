"""The disk's first page, as swapon(2) wants it; that Linux takes it is seen in test_witness.py."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import pytest

from ptlive.guests import swap_disk

if TYPE_CHECKING:
    from pathlib import Path


def test_it_is_what_mkswap_makes_and_takes_no_space(tmp_path: Path) -> None:
    path = tmp_path / "swap"
    swap_disk.create(path, 1 << 26)
    assert path.stat().st_size == 1 << 26
    assert path.stat().st_blocks * 512 <= 1 << 16
    with open(path, "rb") as file:
        page = file.read(4096)
    assert page[4086:] == b"SWAPSPACE2"
    assert struct.unpack_from("<III", page, 1024) == (1, 16383, 0)
    assert set(page[:1024]) == {0}


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "swap"
    path.write_bytes(b"data")
    with pytest.raises(FileExistsError):
        swap_disk.create(path, 1 << 20)
    assert path.read_bytes() == b"data"
