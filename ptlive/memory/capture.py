"""A private copy of a stopped guest's RAM, where there is no file of it that can be mapped.

The copy has no name, so that it is gone with its last user. Frames of zeros are left out.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ptlive.errors import PtliveError
from ptlive.memory.open_file import OpenFile
from ptlive.memory.scratch import folders, scratch

if TYPE_CHECKING:
    from collections.abc import Callable

    from ptlive.arrays import U8, Memory
    from ptlive.memory.layout import Layout

Progress = "Callable[[int, int], None]"

FRAME = 1 << 12
# QEMU answers nobody while it writes one of these, which is for 0.2 s; our own reads are
# slower, and shorter.
_SAVED, _READ = 64 << 20, 4 << 20
_BLOCK = 1 << 20


def _silent(_done: int, _size: int) -> None:
    """Tell nobody how much is done."""


def where_saved(
    monitor: Callable[[str], str], announce: Callable[[str], None]
) -> tuple[str | None, str]:
    """Return the folder in which QEMU can write a file for us, or None and why not.

    monitor: runs a line of QEMU's human monitor; announce: see `scratch`.
    """
    why = f"no folder has {2 * _SAVED >> 20} MB left"
    for folder in folders(2 * _SAVED):
        try:
            with scratch(folder, announce) as file:
                why = monitor(f"pmemsave 0 {FRAME} {file.quoted}").strip()
                if not why and os.fstat(file.file).st_size == FRAME:
                    return folder, ""
        except PtliveError as error:
            why = str(error)
    return None, why or "no file arrives"


def save(
    monitor: Callable[[str], str],
    layout: Layout,
    folder: str,
    announce: Callable[[str], None],
    progress: Callable[[int, int], None] = _silent,
) -> OpenFile:
    """Return a copy of all RAM that QEMU itself writes (`pmemsave`), piece by piece.

    monitor, folder: see `where_saved`; announce: see `scratch`; progress: told (bytes
    done, all bytes). Raises PtliveError when QEMU cannot, or there is no room.
    """
    with scratch(folder, announce) as file:

        def fetch(first: int, _offset: int, data: U8) -> None:
            said = monitor(f"pmemsave {first:#x} {len(data):#x} {file.quoted}").strip()
            if said or os.preadv(file.file, [data.data], 0) != len(data):
                raise PtliveError(f"QEMU does not save the guest's RAM: {said or 'a short file'}")

        return _copy(layout, fetch, _SAVED, progress)


def read(
    memory: Memory, layout: Layout, progress: Callable[[int, int], None] = _silent
) -> OpenFile:
    """Return a copy of all RAM, read through `memory`; see `save`."""

    def fetch(first: int, _offset: int, data: U8) -> None:
        frames = np.arange(first, first + len(data), FRAME, dtype=np.uint64)
        rows, valid = memory.read(frames, FRAME)
        if not valid.all():
            raise PtliveError(f"the guest's RAM at {first:#x} cannot be read whole")
        data[:] = rows.reshape(-1)

    return _copy(layout, fetch, _READ, progress)


def copy_file(
    source: int, layout: Layout, progress: Callable[[int, int], None] = _silent
) -> OpenFile:
    """Return a copy of all RAM from an open file of it; see `save`."""

    def fetch(_first: int, offset: int, data: U8) -> None:
        if os.preadv(source, [data.data], offset) != len(data):
            raise PtliveError("the file of the guest's RAM is shorter than its RAM")

    return _copy(layout, fetch, _SAVED, progress)


def _copy(
    layout: Layout,
    fetch: Callable[[int, int, U8], None],
    step: int,
    progress: Callable[[int, int], None],
) -> OpenFile:
    """Copy piece by piece; fetch: fills an array from (physical address, offset in the file)."""
    size, done = sum(piece.size for piece in layout.pieces), 0
    progress(done, size)
    copy = _unnamed(layout.size)
    buffer = np.empty(step, np.uint8)
    try:
        for piece in layout.pieces:
            for at in range(0, piece.size, step):
                data = buffer[: min(step, piece.size - at)]
                fetch(piece.first + at, piece.offset + at, data)
                _write(copy, data, piece.offset + at)
                done += len(data)
                progress(done, size)
    except OSError as error:
        copy.close()
        raise PtliveError(f"cannot copy the guest's RAM: {error.strerror}") from error
    except BaseException:
        copy.close()
        raise
    return copy


def _unnamed(size: int) -> OpenFile:
    """Open a file of `size` zeros without a name: in memory, or on disk if that is short.

    Raises PtliveError if neither has room.
    """
    folder = tempfile.gettempdir()
    try:
        if size <= _available() // 2:
            file = os.memfd_create("ptlive-ram")
        else:
            disk = os.statvfs(folder)
            if size > disk.f_bavail * disk.f_frsize:
                raise PtliveError(
                    f"no room for a copy of the guest's RAM, {size >> 20} MB, in memory or {folder}"
                )
            file = os.open(folder, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
        copy = OpenFile(file)
        os.ftruncate(file, size)
    except OSError as error:
        raise PtliveError(f"cannot keep a copy of the guest's RAM: {error.strerror}") from error
    return copy


def _available() -> int:
    """Return how much memory can be had, in bytes."""
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) << 10
    return 0


def _write(copy: OpenFile, data: U8, offset: int) -> None:
    for at in range(0, len(data), _BLOCK):
        block = data[at : at + _BLOCK]
        if block.view(np.uint64).any() and os.pwrite(copy.fileno(), block.data, offset + at) != len(
            block
        ):
            raise PtliveError("cannot copy the guest's RAM: the disk is full")
