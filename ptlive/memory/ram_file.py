"""The file that a memory backend of QEMU is: where, and from which byte on.

QEMU tells the backend's name with each stretch of the memory map, whether it is shared,
and perhaps a path. Which of the files that a process has open it is, tells the kernel.
"""

from __future__ import annotations

import json
import os
import re
import stat
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ptlive.errors import PtliveError
from ptlive.memory.host import FRAME
from ptlive.memory.open_file import OpenFile
from ptlive.memory.ram_map import Kind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ptlive.arrays import U8, U64
    from ptlive.memory.host import Host

NOT_SHARED = "the guest's RAM is not shared"
_NOT_FOUND = "the file of the guest's RAM is not found"
_NOT_SEEN = "the file of the guest's RAM is one that only QEMU's own user can find"
# How many frames must be alike: of a file that the kernel says it is, and of another.
_FEW, _MANY = 4, 64
# proc(5): first-last permissions offset device inode path.
_MAPPING = re.compile(
    r"^([0-9a-f]+)-([0-9a-f]+) ..(.)(.) ([0-9a-f]+) ([0-9a-f]+):([0-9a-f]+) (\d+)", re.MULTILINE
)


@dataclass(frozen=True)
class RamFile:
    """An open file, and where the memory backend begins in it, in bytes."""

    file: OpenFile
    offset: int


@dataclass(frozen=True)
class _Mapped:
    """Which file QEMU has mapped, as the kernel tells it; offset: of the backend in it."""

    device: int
    inode: int
    offset: int


def find_file(host: Host, name: str) -> RamFile:
    """Return the file of the memory backend that is QEMU's memory region `name`.

    Raises PtliveError with the reason why there is none that we can read.
    """
    regions = [r for r in host.ram_map.regions if r.name == name and r.kind is not Kind.DEVICE]
    # Machines before 4.1 name the region by the whole path (backends/hostmem.c).
    path = name if name.startswith("/") else f"/objects/{name}"
    share, mem_path, begin = _properties(host, path, ("share", "mem-path", "offset"))
    if share != "true":
        raise PtliveError(NOT_SHARED)
    mapped = _mapped(host, regions[0].first, regions[0].offset)
    size = max(region.offset + region.last - region.first + 1 for region in regions)
    why = _NOT_FOUND
    descriptors = f"/proc/{host.pid}/fd"
    if os.path.exists(descriptors) and not os.access(descriptors, os.R_OK | os.X_OK):
        why = _NOT_SEEN
    # Under the names that QEMU gives it, and, unnamed or in another place, as QEMU has it open.
    for candidate in _candidates(host, mem_path):
        try:
            about = os.stat(candidate)
            if not stat.S_ISREG(about.st_mode):
                continue
            # Another file that holds the same now need not do so later. (Of a file the kernel
            # may tell another device than stat does, as on btrfs, but no other inode.)
            if mapped is not None and about.st_ino != mapped.inode:
                continue
            is_it = mapped is not None and about.st_dev == mapped.device
            offset = mapped.offset if mapped else int(begin) if begin.isdigit() else 0
            if about.st_size < offset + size:
                continue
            file = OpenFile(os.open(candidate, os.O_RDONLY | os.O_CLOEXEC))
        except OSError as error:
            # QEMU's descriptors come and go.
            if not candidate.startswith("/proc/"):
                why = f"the file of the guest's RAM cannot be read ({candidate}: {error.strerror})"
            continue

        def read(frames: U64, file: OpenFile = file, offset: int = offset) -> U8:
            rows = np.zeros((frames.size, FRAME), np.uint8)
            for row, frame in zip(rows, frames.tolist(), strict=True):
                region = next(r for r in regions if r.first <= frame <= r.last)
                os.preadv(file.fileno(), [row.data], offset + region.offset + frame - region.first)
            return rows

        alike, telling = host.alike(read, regions, _FEW if is_it else _MANY)
        # Any file may be as empty as RAM that was never written.
        if alike and (is_it or telling):
            return RamFile(file, offset)
        file.close()
    raise PtliveError(why)


def _properties(host: Host, path: str, names: tuple[str, ...]) -> list[str]:
    """Return properties of an object, "" for what it has not."""
    found = []
    for said in host.monitor_many([f"qom-get {path} {name}" for name in names]):
        value = ""
        # An error is no JSON.
        with suppress(ValueError):
            loaded = json.loads(said)
            value = loaded if isinstance(loaded, str) else said.strip()
        found.append(value)
    return found


def _candidates(host: Host, path: str) -> Iterator[str]:
    if host.known is not None:
        yield host.known
    if path.startswith("/") and not path.startswith("/proc/"):
        yield path
    if host.pid is not None:
        try:
            names = sorted(os.listdir(f"/proc/{host.pid}/fd"), key=int)
        except OSError:
            return
        yield from (str(Path("/proc", str(host.pid), "fd", name)) for name in names)


def _mapped(host: Host, address: int, offset: int) -> _Mapped | None:
    """Return what the kernel says is at a physical address, `offset` bytes into a backend."""
    (at,) = host.addresses([address])
    if at is None or host.pid is None:
        return None
    try:
        text = Path("/proc", str(host.pid), "maps").read_text(errors="replace")
    except OSError:
        return None
    for match in _MAPPING.finditer(text):
        first, last = int(match[1], 16), int(match[2], 16)
        if first <= at < last and match[4] == "s":
            device = os.makedev(int(match[6], 16), int(match[7], 16))
            return _Mapped(device, int(match[8]), int(match[5], 16) + at - first - offset)
    return None
