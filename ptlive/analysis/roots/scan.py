"""All of RAM looked through for frames that may be root tables.

A root table holds zeros and entries that refer to tables in RAM, and nothing else. Hardly
anything but page tables is like that: with 512 MB of RAM the upper 34 address bits of each
entry must be zero. Measured on a Linux guest, a hundred frames of 131,000 pass, and these
are its page tables.

Most frames are told apart by a few of their words, and most others hold nothing but zeros;
only the rest is tested whole.
"""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ptlive.analysis.roots import halves
from ptlive.arrays import pieces

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ptlive.analysis.roots.frames import Frames
    from ptlive.arrays import U64, Bool, Memory
    from ptlive.paging.format import Format

# So many words of a frame are tested first: one line of the CPU's cache at the beginning,
# another at the end, where kernels have their entries.
_LINE = 8
# So many entries of a kernel's half are looked for in every frame.
_MARKS = 8
# Frames between two words about the progress.
_TOLD = 1 << 14


class Scanned(NamedTuple):
    """Frames that may be roots, uint64[n], ascending.

    looked: frames that were read, or are known to hold zeros; of so many in RAM
    """

    tables: U64
    looked: int
    of: int


def scan(
    fmt: Format,
    memory: Memory,
    frames: Frames,
    known: Sequence[U64],
    progress: Callable[[str, int, int], None] | None = None,
) -> Scanned:
    """Find all frames that look like root tables, or that have a known upper half.

    known: entries of root tables; a frame with most of one's upper half is found even if
    other entries of it make no sense
    """
    # A guest's RAM may be a file with holes, which cost memory once they are read.
    written = getattr(memory, "written", None)
    wanted = frames.addresses
    if written is not None:
        wanted = wanted[written(wanted, frames.size)]
    marks = [_marks(fmt, one) for one in known]
    found, done, absent = [], 0, 0
    with closing(pieces(memory, wanted, frames.size)) as stream:
        for data, valid in stream:
            if progress and done // _TOLD != (done + len(data)) // _TOLD:
                progress("looking for root tables, frames", done, wanted.size)
            rows = halves.entries(fmt, data)
            likely = _likely(fmt, frames, rows, marks) & valid
            found.append(wanted[done : done + len(data)][likely])
            absent += len(valid) - int(np.count_nonzero(valid))
            done += len(data)
    tables = np.concatenate([np.zeros(0, dtype=np.uint64), *found])
    return Scanned(tables, frames.count - absent, frames.count)


def sound(fmt: Format, frames: Frames, lvl: int, values: U64) -> Bool:
    """Tell which entries a table of a level in use may hold: none, or one that is good."""
    level = fmt.level(lvl)
    leaf = level.leaf(values)
    good = fmt.present(values) & ~level.malformed(values, leaf)
    address = level.table_address(values)
    inside: Bool = address < np.uint64(frames.end)
    fits: Bool = (good & (inside | leaf)) | (values == 0)
    return fits


def _likely(fmt: Format, frames: Frames, rows: U64, marks: Sequence[tuple[U64, U64]]) -> Bool:
    """Tell which rows may be root tables."""
    few = np.concatenate([rows[:, :_LINE], rows[:, -_LINE:]], axis=1)
    likely: Bool = np.asarray(sound(fmt, frames, fmt.top, few).all(axis=1))
    at = np.flatnonzero(likely)
    at = at[np.bitwise_or.reduce(rows[at], axis=1) != 0]
    likely[:] = False
    likely[at] = sound(fmt, frames, fmt.top, rows[at]).all(axis=1)
    for columns, values in marks:
        alike = halves.identity(fmt, rows[:, columns]) == values
        likely |= 2 * np.count_nonzero(alike, axis=1) > columns.size
    return likely


def _marks(fmt: Format, root: U64) -> tuple[U64, U64]:
    """Return where to look for a root's upper half, and what stands there."""
    upper = np.flatnonzero(fmt.present(root))
    upper = upper[upper >= halves.split(fmt)]
    chosen = upper[np.linspace(0, upper.size - 1, min(upper.size, _MARKS)).astype(np.intp)]
    return chosen.astype(np.uint64), halves.identity(fmt, root[chosen])
