"""The bare work behind a question: what anybody has to do at least who answers it.

No rights, no names, no text: numpy and the libraries, on the same bytes.
"""

from __future__ import annotations

import os
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from scripts.benchmark.timing import Way, since

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from ptlive.arrays import U8, U64
    from scripts.benchmark.plain_c import Leaves
    from scripts.benchmark.timing import Run

PASS, COPY = "numpy over the RAM", "memcpy of the RAM"
SEARCH = "numpy.searchsorted"
ZSTD = "zstd and fsync"
PYARROW = "pyarrow"
# Of RAM that is looked at at once.
_PIECE = 16 << 20


def way(name: str, work: Callable[[], object]) -> Way:
    """Return work that needs nothing to be opened."""

    @contextmanager
    def opened() -> Iterator[Run]:
        def run() -> dict[str, float]:
            begun = time.perf_counter()
            work()
            return {name: since(begun)}

        yield run

    return Way(name, opened)


def held(file: Path) -> list[U8]:
    """Map what a file of RAM holds, a piece at a time; its holes would cost memory if read."""
    ram = np.memmap(file, np.uint8, mode="r")
    found: list[U8] = []
    with open(file, "rb", buffering=0) as handle:
        end = 0
        while True:
            try:
                begin = os.lseek(handle.fileno(), end, os.SEEK_DATA)
            except OSError:  # ENXIO: only a hole is left
                return found
            end = os.lseek(handle.fileno(), begin, os.SEEK_HOLE)
            found += [ram[at : min(at + _PIECE, end)] for at in range(begin, end, _PIECE)]


def look_through(pieces: list[U8]) -> int:
    """Count the words that are not zero."""
    return sum(int(np.count_nonzero(piece.view(np.uint64))) for piece in pieces)


def copy(pieces: list[U8]) -> None:
    """Copy everything to one place."""
    there = np.empty(_PIECE, np.uint8)
    for piece in pieces:
        there[: piece.size] = piece


def ends_of(leaves: Leaves) -> tuple[U64, U64]:
    """Return the first and the last physical address of each leaf."""
    bits = np.uint64(12) + np.uint64(9) * (leaves.level - np.uint8(1)).astype(np.uint64)
    return leaves.pa, leaves.pa + ((np.uint64(1) << bits) - np.uint64(1))


def mapped(ends: tuple[U64, U64], wanted: U64) -> U64:
    """Count how many leaves have each wanted address: two sorts and two searches."""
    first, last = np.sort(ends[0]), np.sort(ends[1])
    begun = np.searchsorted(first, wanted, "right")
    return (begun - np.searchsorted(last, wanted, "left")).astype(np.uint64)


def compress(frames: U8, file: Path) -> None:
    """Write bytes to a file with zstd, at the level that snapshots have, and have it on disk."""
    import zstandard

    codec = zstandard.ZstdCompressor(level=1)
    with open(file, "wb") as sink:
        for at in range(0, frames.size, _PIECE):
            sink.write(codec.compress(frames[at : at + _PIECE].tobytes()))
        sink.flush()
        os.fsync(sink.fileno())


def write_parquet(table: Any, file: Path) -> None:
    """Write a table that there is, the numbers of its columns as they are."""
    import pyarrow
    from pyarrow import parquet

    schema = table.schema
    words = [field.name for field in schema if pyarrow.types.is_dictionary(field.type)]
    parquet.write_table(table, file, compression="zstd", use_dictionary=words)
