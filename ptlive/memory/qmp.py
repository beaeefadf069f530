"""The guest's memory over QMP: QEMU writes pieces of it into a file of ours.

It works while another client holds the stub, stopped or running. A command takes QEMU
0.3 to 1 ms, and then it writes more than 1 GB/s: frames that are not far apart come in
one piece, with what lies between.
"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from typing import TYPE_CHECKING

import numpy as np

from ptlive.errors import PtliveError
from ptlive.memory.ram_map import Kind
from ptlive.memory.scratch import folders, scratch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ptlive.arrays import U8, U64, Bool
    from ptlive.memory.ram_map import RamMap
    from ptlive.memory.scratch import Scratch
    from ptlive.wire.qmp import Qmp

# A gap that takes as long to write as another command; what one command writes at most
# (QEMU answers nobody meanwhile); how much is delivered at a time.
_GAP, _PIECE, _PORTION = 1 << 19, 16 << 20, 16 << 20
_FRAME = 1 << 12
# How many words one `xp` is asked for.
_WORDS = 512
_XP = re.compile(r"0x([0-9a-f]{16})")


class QmpMemory:
    """Reads what `ram_map` calls memory by `pmemsave`, or where no file of QEMU's is seen by `xp`.

    announce: told each folder that somebody is to remove should we be killed. Raises
    PtliveError when the connection is lost.
    """

    def __init__(self, qmp: Qmp, ram_map: RamMap, announce: Callable[[str], None]) -> None:
        self._qmp, self._ram_map, self._announce = qmp, ram_map, announce
        self._folder: str | None = None
        self.why_text: str | None = None
        """Why memory comes as text, some 3 MB a second; None if it does not."""
        try:
            self._folder = self._working_folder()
        except PtliveError as error:
            self.why_text = str(error)

    def read(self, addresses: U64, length: int) -> tuple[U8, Bool]:
        """See `ptlive.arrays.Memory.read`."""
        data = np.zeros((len(addresses), length), np.uint8)
        valid = self._ram_map.covers(addresses, length)
        if length == 0 or not valid.any():
            return data, valid
        wanted, where = np.unique(addresses[valid], return_inverse=True)
        rows = np.empty((wanted.size, length), np.uint8)
        if self._folder is None:
            self._by_text(wanted, rows)
        else:
            with scratch(self._folder, self._announce) as file:
                self._by_file(wanted, rows, file)
        data[valid] = rows[where]
        return data, valid

    def stream(self, addresses: U64, length: int) -> Iterator[tuple[U8, Bool]]:
        """See `ptlive.arrays.Streaming.stream`: large portions, since each command counts."""
        rows = max(_PORTION // max(length, 1), 1)
        for at in range(0, addresses.size, rows):
            yield self.read(addresses[at : at + rows], length)

    def _working_folder(self) -> str:
        """Return a folder in which a file that QEMU writes is one that we see."""
        why = "there is no room for a file"
        ram = next(r.first for r in self._ram_map.regions if r.kind is Kind.RAM)
        for folder in folders(4 * _PIECE):
            with suppress(PtliveError), scratch(folder, self._announce) as file:
                try:
                    self._save(ram, _FRAME, file)
                except PtliveError as error:
                    why = str(error)
                    continue
                if os.fstat(file.file).st_size == _FRAME:
                    return folder
                why = "no file arrives"
        raise PtliveError(f"QEMU writes no file here ({why})")

    def _save(self, first: int, size: int, file: Scratch) -> None:
        self._qmp.command("pmemsave", val=first, size=size, filename=file.path)

    def _by_file(self, wanted: U64, rows: U8, file: Scratch) -> None:
        """Fill rows for ascending addresses; between those of one piece all is memory."""
        length = rows.shape[1]
        for begin, end in self._runs(wanted, length):
            first, last = int(wanted[begin]), int(wanted[end - 1]) + length
            self._save(first, last - first, file)
            saved = np.fromfile(f"/proc/self/fd/{file.file}", np.uint8)
            if saved.size != last - first:
                raise PtliveError("QEMU does not save the guest's memory: a short file")
            at = (wanted[begin:end] - np.uint64(first)).astype(np.intp)
            view = np.lib.stride_tricks.sliding_window_view(saved, length)
            rows[begin:end] = view[at]

    def _runs(self, wanted: U64, length: int) -> Iterator[tuple[int, int]]:
        """Yield (begin, end) of rows that are saved in one piece."""
        ends = wanted + np.uint64(length)
        # All between two rows must be memory too: a device is not read.
        stretch = self._ram_map.stretch_of(wanted)
        apart = (wanted[1:] > ends[:-1] + np.uint64(_GAP)) | (stretch[1:] != stretch[:-1])
        begin = 0
        for row in range(1, wanted.size):
            too_long = int(ends[row]) - int(wanted[begin]) > max(_PIECE, length)
            if apart[row - 1] or too_long:
                yield begin, row
                begin = row
        yield begin, wanted.size

    def _by_text(self, wanted: U64, rows: U8) -> None:
        """Fill rows from what `xp` prints."""
        length = rows.shape[1]
        for row, address in zip(rows, wanted.tolist(), strict=True):
            # Words of 8 bytes may begin before the row and end behind it, in the same memory.
            first, end = address & ~7, address + length + 7 & ~7
            words: list[int] = []
            for at in range(first, end, 8 * _WORDS):
                count = min((end - at) // 8, _WORDS)
                said = self._qmp.human(f"xp /{count}gx {at:#x}")
                found = [int(word, 16) for word in _XP.findall(said)]
                if len(found) != count:
                    raise PtliveError(f"QEMU does not print the guest's memory: {said[:80]!r}")
                words += found
            row[:] = np.array(words, "<u8").view(np.uint8)[address - first :][:length]
