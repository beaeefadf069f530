"""RAM in files of which a part was never written: zeros, that cost memory once they are read.

A mapped file in memory gets a page for each that is looked at. A guest of 8 GB that uses one
would take the other seven from the host, if all of its RAM is looked through.
"""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ptlive.memory.layered import Layered

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ptlive.arrays import U64, Bool, Memory
    from ptlive.memory.open_file import OpenFile


class Part(NamedTuple):
    """Physical memory from `first` on, `size` bytes, that lies in a file from `offset` on."""

    first: int
    size: int
    file: OpenFile
    offset: int


class SparseRam(Layered):
    """A layered memory that can tell where its first part was never written."""

    def __init__(self, first: Memory, rest: Memory, parts: Sequence[Part]) -> None:
        super().__init__(first, rest)
        self._parts = parts

    def written(self, addresses: U64, length: int) -> Bool:
        """Tell which rows may hold anything but zeros just now."""
        found = [
            (part.first + begin - part.offset, part.first + end - part.offset)
            for part in self._parts
            for begin, end in holes(part.file.fileno(), part.offset, part.offset + part.size)
        ]
        first, end = np.array(sorted(found), dtype=np.uint64).reshape(-1, 2).T
        at = np.searchsorted(first, addresses, side="right") - 1
        is_hole: Bool = at >= 0
        is_hole[is_hole] = (addresses + np.uint64(length))[is_hole] <= end[at[is_hole]]
        return ~is_hole


def holes(descriptor: int, first: int, end: int) -> Iterator[tuple[int, int]]:
    """Yield where nothing was ever written in a file between two offsets, as such offsets.

    As lseek(2) tells (SEEK_DATA, SEEK_HOLE): of a file system that does not know, nowhere.
    """
    at = first
    while at < end:
        try:
            data = os.lseek(descriptor, at, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:  # nothing but a hole up to the end of the file
                yield at, end
            return
        if data > at:
            yield at, min(data, end)
        at = os.lseek(descriptor, data, os.SEEK_HOLE) if data < end else end
