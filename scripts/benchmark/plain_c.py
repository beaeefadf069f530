"""The plain walker in C (walker.c): compiled when needed, called on mapped RAM."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ptlive.errors import PtliveError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ptlive.arrays import U8, U64

_SOURCE = Path(__file__).with_name("walker.c")
_P64 = ctypes.POINTER(ctypes.c_uint64)
_P8 = ctypes.POINTER(ctypes.c_uint8)


class _Piece(ctypes.Structure):
    _fields_ = (("first", ctypes.c_uint64), ("last", ctypes.c_uint64), ("at", ctypes.c_void_p))


class _Found(ctypes.Structure):
    _fields_ = (
        ("va", _P64),
        ("pa", _P64),
        ("rights", _P64),
        ("entry", _P64),
        ("level", _P8),
        ("room", ctypes.c_size_t),
        ("leaves", ctypes.c_size_t),
        ("tables", ctypes.c_size_t),
        ("outside", ctypes.c_size_t),
        ("table", _P64),
        ("table_room", ctypes.c_size_t),
    )


@dataclass(frozen=True, eq=False)
class Leaves:
    """What a walk found, one row a leaf, in the order of addresses.

    va, pa, entry: uint64[n]; level: uint8[n]; rights: uint64[n], folded over the levels, with
    R/W and U/S where an entry has them, and bit 63 set where fetches are allowed
    """

    va: U64
    pa: U64
    rights: U64
    entry: U64
    level: U8

    def __len__(self) -> int:
        return self.va.size

    @staticmethod
    def empty(rows: int) -> Leaves:
        """Make room for so many; nothing is written, so memory is taken when it is filled."""
        va, pa, rights, entry = (np.empty(rows, np.uint64) for _ in range(4))
        return Leaves(va, pa, rights, entry, np.empty(rows, np.uint8))

    @property
    def bytes(self) -> int:
        """How much memory the arrays take."""
        return sum(a.nbytes for a in (self.va, self.pa, self.rights, self.entry, self.level))

    def difference(self, other: Leaves) -> str | None:
        """Tell how another walk's result differs, or None if it is the same in every bit."""
        if len(self) != len(other):
            return f"{len(self)} leaves and {len(other)}"
        for name in ("va", "level", "entry", "pa", "rights"):
            mine, theirs = getattr(self, name), getattr(other, name)
            at = np.flatnonzero(mine != theirs)
            if at.size:
                first = int(at[0])
                return (
                    f"{name} of {at.size} leaves, the first at {int(self.va[first]):#x}: "
                    f"{int(mine[first]):#x} and {int(theirs[first]):#x}"
                )
        return None


class PlainC:
    """The compiled walker over one guest's mapped RAM.

    folder: where the library is made; pieces: (first guest physical address, its bytes);
    Raises PtliveError without gcc, or if the source does not compile.
    """

    def __init__(
        self, folder: Path, pieces: Sequence[tuple[int, U8]], root: int, levels: int
    ) -> None:
        self._library = ctypes.CDLL(str(_compiled(folder)))
        self._held = pieces  # the bytes that the pointers point to
        self._pieces = (_Piece * len(pieces))(
            *(_Piece(first, first + data.size - 1, data.ctypes.data) for first, data in pieces)
        )
        self._root, self._levels = root, levels
        found = self._run(None, None)
        #: Leaves reached, tables read (each as often as it is reached), tables outside of RAM.
        self.leaves, self.tables, self.outside = found.leaves, found.tables, found.outside

    def walk(self) -> Leaves:
        """Walk into arrays that are new, as any caller gets them."""
        leaves = Leaves.empty(self.leaves)
        self._run(leaves, None)
        return leaves

    def distinct_tables(self) -> U64:
        """Return the addresses of all tables, each once, ascending."""
        tables = np.empty(self.tables, np.uint64)
        self._run(None, tables)
        return np.unique(tables)

    def _run(self, leaves: Leaves | None, tables: U64 | None) -> _Found:
        found = _Found()
        if leaves is not None:
            for name in ("va", "pa", "rights", "entry"):
                setattr(found, name, getattr(leaves, name).ctypes.data_as(_P64))
            found.level = leaves.level.ctypes.data_as(_P8)
            found.room = len(leaves)
        if tables is not None:
            found.table, found.table_room = tables.ctypes.data_as(_P64), tables.size
        self._library.walk_tables(
            self._pieces,
            ctypes.c_size_t(len(self._pieces)),
            ctypes.c_uint64(self._root),
            ctypes.c_int(self._levels),
            ctypes.byref(found),
        )
        return found


def _compiled(folder: Path) -> Path:
    """Return the library in `folder`, compiled if it is not there."""
    library = folder / "walker.so"
    if library.exists():
        return library
    if not shutil.which("gcc"):
        raise PtliveError("gcc is missing: install the package gcc, for the walker to compare with")
    command = ["gcc", "-std=gnu11", "-O2", "-Wall", "-Wextra", "-shared", "-fPIC"]
    done = subprocess.run(
        [*command, "-o", str(library), str(_SOURCE)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise PtliveError(f"gcc does not compile {_SOURCE.name}: {done.stderr.strip()[:300]}")
    return library
