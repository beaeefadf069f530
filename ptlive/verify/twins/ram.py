"""How the twin comes to the guest's RAM, and how long that takes."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ptlive.errors import PtliveError
from ptlive.memory import capture
from ptlive.memory.bounded import BoundedMemory
from ptlive.memory.layout import Layout, read_layout
from ptlive.memory.ram_file import find_file
from ptlive.memory.stub import StubMemory
from ptlive.target.sources import host_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from ptlive.arrays import Memory
    from ptlive.memory.open_file import OpenFile
    from ptlive.target.attach import Target
    from ptlive.target.running import Guest

FRAME = 1 << 12
# Measured, bytes a second: QEMU writes a file, and we read it; what reads piece by piece.
_SAVED = 600e6
_READ = {"shared": 1e9, "proc": 1e9, "qmp": 300e6, "stub": 60e6, "gdb": 8e6}
# Of a snapshot: as fast as it is decompressed.
_UNPACKED = 300e6
# Those that need no cache, which would hold all RAM once more.
_DIRECT = ("shared", "proc")


@dataclass
class Ram:
    """The RAM of an attached guest, as the twin can have it.

    way: SHARED (its file, in place), COPIED (from its file), SAVED (QEMU writes it),
        or READ (through what reads its memory)
    seconds: how long it takes, estimated; why: why not a better way
    folder: where QEMU can write a file for us
    """

    SHARED, COPIED, SAVED, READ = "shared", "copied", "saved", "read"

    target: Target
    layout: Layout
    way: str
    seconds: float
    why: str = ""
    folder: str = ""
    file: OpenFile | None = field(default=None, repr=False)

    def open(self, progress: Callable[[int, int], None] = lambda *_: None) -> OpenFile:
        """Return the file, after copying where that is needed; once for all who ask.

        progress: told (bytes done, all bytes). Raises PtliveError if it cannot be had.
        """
        if self.way == Ram.COPIED and self.file is not None:
            self.file, self.way = (
                capture.copy_file(self.file.fileno(), self.layout, progress),
                Ram.SHARED,
            )
        if self.file is None:
            target = self.target
            if self.way == Ram.SAVED:
                announce = target.journal.record_folder
                self.file = capture.save(
                    target.stub.monitor, self.layout, self.folder, announce, progress
                )
            else:
                self.file = capture.read(_memory(target), self.layout, progress)
        return self.file


def find_ram(target: Target, guest: Guest | None = None) -> Ram:
    """Return the fastest way to a stopped guest's RAM; copies nothing.

    guest: the bundled guest that it is. Raises PtliveError if its RAM lies where no
    twin can have it.
    """
    if target.file is not None and target.file.no_twin:
        raise PtliveError(target.file.no_twin)
    monitor = target.stub.monitor
    layout = read_layout(monitor, target.ram_map)
    if target.file is not None:
        return Ram(
            target, layout, Ram.READ, layout.size / _UNPACKED, "the guest's RAM is in a file"
        )
    file, why = _shared(target, layout, guest)
    if file is not None:
        # Private mappings of huge pages would be taken out of the guest's own pool; and a
        # file that only can be read QEMU does not map, not even privately (util/mmap-alloc.c).
        huge = os.fstatvfs(file.fileno()).f_bsize > FRAME
        if huge or not os.access(f"/proc/self/fd/{file.fileno()}", os.W_OK):
            why = "the file of the guest's RAM cannot be mapped"
            return Ram(target, layout, Ram.COPIED, layout.size / _SAVED, why, file=file)
        return Ram(target, layout, Ram.SHARED, 0.0, file=file)
    folder, why_not = capture.where_saved(monitor, target.journal.record_folder)
    if folder is not None:
        return Ram(target, layout, Ram.SAVED, layout.size / _SAVED, why, folder)
    why = f"{why}, and QEMU saves it to no file here ({why_not})"
    return Ram(target, layout, Ram.READ, layout.size / _READ[target.memory_source], why)


def _memory(target: Target) -> Memory:
    if target.memory_source in _DIRECT:
        return target.memory
    return BoundedMemory(StubMemory(target.stub), target.ram_map)


def _shared(target: Target, layout: Layout, guest: Guest | None) -> tuple[OpenFile | None, str]:
    """Return the file that QEMU's RAM is, or why there is none."""
    if not layout.whole:
        return None, "the guest's RAM consists of several memory backends"
    # Compared with what the stub reads, which may be slower than what the walker reads.
    memory = BoundedMemory(StubMemory(target.stub), target.ram_map)
    name = next(r.name for r in target.ram_map.regions if r.first == layout.pieces[0].first)
    try:
        found = find_file(host_of(target, guest, memory), name)
    except PtliveError as error:
        return None, str(error)
    if found.offset:
        return None, "the guest's RAM does not begin where its file begins"
    if os.fstat(found.file.fileno()).st_size < layout.size:
        return None, "the file of the guest's RAM is shorter than its RAM"
    return found.file, ""
