"""A Linux initramfs: a gzipped cpio archive in the "newc" format.

The format is described in the Linux sources,
Documentation/driver-api/early-userspace/buffer-format.rst.
"""

from __future__ import annotations

import gzip
import stat
from dataclasses import dataclass


@dataclass(frozen=True)
class Entry:
    """One file, folder, link or device node of an archive.

    `mode` holds the type and the rights (stat(2)); `data` a file's content or a
    symbolic link's target; `device` the major and minor number of a device node.
    """

    name: str
    mode: int
    data: bytes = b""
    device: tuple[int, int] = (0, 0)


def folder(name: str) -> Entry:
    """Return a folder that all may read."""
    return Entry(name, stat.S_IFDIR | 0o755)


def program(name: str, data: bytes) -> Entry:
    """Return an executable file."""
    return Entry(name, stat.S_IFREG | 0o755, data)


def character_device(name: str, major: int, minor: int) -> Entry:
    """Return a character device node."""
    return Entry(name, stat.S_IFCHR | 0o600, device=(major, minor))


def archive(entries: list[Entry]) -> bytes:
    """Return the entries as a gzipped newc archive, owned by root.

    The same entries always give the same bytes: nothing in it tells the time.
    """
    parts = [_member(number, entry) for number, entry in enumerate(entries, start=1)]
    parts.append(_member(0, Entry("TRAILER!!!", 0)))
    return gzip.compress(b"".join(parts), compresslevel=1, mtime=0)


def _member(number: int, entry: Entry) -> bytes:
    name = entry.name.encode() + b"\0"
    links = 2 if stat.S_ISDIR(entry.mode) else 1
    # ino mode uid gid nlink mtime filesize maj min rmaj rmin namesize chksum
    fields = (number, entry.mode, 0, 0, links, 0, len(entry.data), 0, 0, *entry.device)
    head = b"070701" + b"".join(b"%08X" % field for field in (*fields, len(name), 0))
    return _pad(head + name) + _pad(entry.data)


def _pad(data: bytes) -> bytes:
    return data + b"\0" * (-len(data) % 4)
