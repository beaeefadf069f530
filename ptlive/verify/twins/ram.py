"""How the twin comes to the guest's RAM, and how long that takes."""

from __future__ import annotations

import json
import os
import stat
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ptlive.memory import capture
from ptlive.memory.bounded import BoundedMemory
from ptlive.memory.layout import Layout, read_layout
from ptlive.memory.open_file import OpenFile
from ptlive.memory.stub import StubMemory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ptlive.target.attach import Target
    from ptlive.target.running import Guest

FRAME = 1 << 12
# Measured, bytes a second: QEMU writes a file, and we read it; gdb reads.
_SAVED, _READ = 600e6, 8e6
# How many frames must be alike for a file to be the guest's RAM.
_SAMPLES = 64


@dataclass
class Ram:
    """The RAM of an attached guest, as the twin can have it.

    way: SHARED (its file, in place), COPIED (from its file), SAVED (QEMU writes it),
        or READ (through the stub)
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
                memory = BoundedMemory(StubMemory(target.stub), target.ram_map)
                self.file = capture.read(memory, self.layout, progress)
        return self.file


def find_ram(target: Target, guest: Guest | None = None) -> Ram:
    """Return the fastest way to a stopped guest's RAM; copies nothing.

    guest: the bundled guest that it is. Raises PtliveError if its RAM lies where no
    twin can have it.
    """
    monitor = target.stub.monitor
    layout = read_layout(monitor, target.ram_map)
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
    return Ram(target, layout, Ram.READ, layout.size / _READ, why)


def _shared(target: Target, layout: Layout, guest: Guest | None) -> tuple[OpenFile | None, str]:
    """Return the file that QEMU's RAM is, or why there is none."""
    if not layout.whole:
        return None, "the guest's RAM consists of several memory backends"

    def of(path: str, name: str) -> str:
        """Return a property of an object, "" if it has none."""
        said = target.stub.monitor(f"qom-get {path} {name}").strip()
        with suppress(ValueError):
            value = json.loads(said)
            return value if isinstance(value, str) else said
        return ""

    backend = of("/machine", "memory-backend")
    if not backend or of(backend, "share") != "true":
        return None, "the guest's RAM is not shared"
    if of(backend, "offset") not in ("", "0"):
        return None, "the guest's RAM does not begin where its file begins"
    why = "the file of the guest's RAM is not found"
    # Under the names that QEMU gives it, and, unnamed or in another place, as QEMU has it open.
    for path in _candidates(guest, of(backend, "mem-path"), _pid(target, guest)):
        try:
            if not stat.S_ISREG(os.stat(path).st_mode) or os.stat(path).st_size < layout.size:
                continue
            file = OpenFile(os.open(path, os.O_RDONLY | os.O_CLOEXEC))
        except OSError as error:
            why = f"the file of the guest's RAM cannot be read ({path}: {error.strerror})"
            continue
        if _same(target, layout, file):
            return file, ""
        file.close()
    return None, why


def _pid(target: Target, guest: Guest | None) -> int | None:
    if guest is not None:
        return guest.pid
    return (target.qmp.pid if target.qmp else None) or target.pid


def _candidates(guest: Guest | None, path: str, pid: int | None) -> Iterator[str]:
    if guest is not None:
        yield guest.ram
    if path.startswith("/") and not path.startswith("/proc/"):
        yield path
    if pid is not None:
        try:
            names = sorted(os.listdir(f"/proc/{pid}/fd"), key=int)
        except OSError:
            return
        yield from (str(Path("/proc", str(pid), "fd", name)) for name in names)


def _same(target: Target, layout: Layout, file: OpenFile) -> bool:
    """Tell whether a file has the guest's RAM: the root tables, and frames here and there."""
    roots = {cpu.cr3 & (1 << 52) - FRAME for cpu in target.cpus}
    for piece in layout.pieces:
        count = max(_SAMPLES * piece.size // layout.size, 1)
        step = max(piece.size // count // FRAME, 1) * FRAME
        inside = {root for root in roots if piece.first <= root <= piece.last}
        frames = np.array(sorted({*inside, *range(piece.first, piece.last, step)}), np.uint64)
        data, valid = target.memory.read(frames, FRAME)
        for address, row in zip(frames[valid].tolist(), data[valid], strict=True):
            at = piece.offset + address - piece.first
            if os.pread(file.fileno(), FRAME, at) != row.tobytes():
                return False
    return True
