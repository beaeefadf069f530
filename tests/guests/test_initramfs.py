"""The archive, read back by a parser written from the format's description alone."""

from __future__ import annotations

import gzip
import stat

from hypothesis import given
from hypothesis import strategies as st

from ptlive.guests import initramfs

FIELDS = (
    *("ino", "mode", "uid", "gid", "nlink", "mtime", "filesize"),
    *("maj", "min", "rmaj", "rmin", "namesize", "chksum"),
)


def members(packed: bytes) -> list[tuple[str, dict[str, int], bytes]]:
    """Read a newc archive: per member the name, the header's fields, the content."""
    raw, found, at = gzip.decompress(packed), [], 0
    while True:
        assert raw[at : at + 6] == b"070701"
        head = raw[at + 6 : at + 110].decode()
        fields = {name: int(head[8 * i : 8 * i + 8], 16) for i, name in enumerate(FIELDS)}
        name_end = at + 110 + fields["namesize"]
        assert raw[name_end - 1] == 0
        name = raw[at + 110 : name_end - 1].decode()
        data_start = (name_end + 3) // 4 * 4
        data_end = data_start + fields["filesize"]
        assert not any(raw[name_end:data_start])
        found.append((name, fields, raw[data_start:data_end]))
        at = (data_end + 3) // 4 * 4
        if name == "TRAILER!!!":
            assert at == len(raw)
            return found


def test_files_folders_and_devices_come_back() -> None:
    packed = initramfs.archive(
        [
            initramfs.folder("dev"),
            initramfs.character_device("dev/console", 5, 1),
            initramfs.program("init", b"#!/bin/sh\n"),
        ]
    )
    folder, device, program, trailer = members(packed)
    assert folder[0] == "dev"
    assert stat.S_ISDIR(folder[1]["mode"])
    assert stat.S_ISCHR(device[1]["mode"])
    assert (device[1]["rmaj"], device[1]["rmin"]) == (5, 1)
    assert program[2] == b"#!/bin/sh\n"
    assert program[1]["mode"] == 0o100755
    assert trailer[0] == "TRAILER!!!"
    assert len({entry[1]["ino"] for entry in (folder, device, program)}) == 3


@given(st.lists(st.tuples(st.text("abc/", min_size=1, max_size=9), st.binary(max_size=9))))
def test_any_length_of_name_and_content_comes_back(files: list[tuple[str, bytes]]) -> None:
    packed = initramfs.archive([initramfs.program(name, data) for name, data in files])
    assert [(name, data) for name, _, data in members(packed)[:-1]] == files


def test_the_same_content_gives_the_same_bytes() -> None:
    entries = [initramfs.program("init", b"x" * 5000)]
    assert initramfs.archive(entries) == initramfs.archive(entries)
