"""Entries sorted into the present ones, with their kinds, and others that are not zero."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ptlive.paging.compiled import compiler
from ptlive.paging.format import Kind, Match

if TYPE_CHECKING:
    from ptlive.arrays import U8, U64, Index
    from ptlive.paging.format import Format

_LEAF, _TABLE, _MALFORMED = (np.uint8(k) for k in (Kind.LEAF, Kind.TABLE, Kind.MALFORMED))

# Types of the columns: position, entry, and of edges the kind.
_EDGE = (np.intp, np.uint64, np.uint8)
_REST = _EDGE[:2]


class Found:
    """What is found in `most` entries of one level, which arrive a piece at a time."""

    def __init__(self, fmt: Format, lvl: int, most: int) -> None:
        self._fmt = fmt
        self._level = fmt.level(lvl)
        # At the last level there is no table to refer to.
        self._other = _TABLE if lvl > 1 else _MALFORMED
        self._most = most
        self._seen = self._before = 0
        self._edges = _Columns(*_EDGE)
        self._rest = _Columns(*_REST)
        self._masks = self._as_masks()

    def add(self, entries: U64) -> None:
        """Classify the next entries, uint64[n]."""
        begin = self._before = self._seen
        self._seen += entries.size
        compiler.after(entries.size)
        if compiler.function is None or self._masks is None:
            self._by_numpy(entries, begin)
            return
        room = (self._room(self._edges, entries.size), self._room(self._rest, entries.size))
        found, left = compiler.function(entries, begin, *self._masks, self._other, *room)
        self._edges.size += found
        self._rest.size += left

    def _by_numpy(self, entries: U64, begin: int) -> None:
        at = np.flatnonzero(entries != 0)
        value = entries[at]
        at += begin
        present = self._fmt.present(value)
        if not present.all():
            self._keep(self._rest, at[~present], value[~present])
            at, value = at[present], value[present]
        leaf = self._level.leaf(value)
        kind = np.where(leaf, _LEAF, self._other)
        malformed = self._level.malformed(value, leaf)
        if malformed.any():
            kind[malformed] = _MALFORMED
        self._keep(self._edges, at, value, kind)

    def _keep(self, columns: _Columns, *values: Any) -> None:
        """Append to columns."""
        for array, some in zip(self._room(columns, values[0].size), values, strict=True):
            array[:] = some
        columns.size += values[0].size

    def _room(self, columns: _Columns, rows: int) -> tuple[Any, ...]:
        """Return where so many more rows can be written."""
        # The pieces of one level are much alike.
        likely = columns.size * self._most // max(self._before, 1) + rows
        return columns.room(rows, likely)

    def _as_masks(self) -> tuple[tuple[np.uint64, np.uint64], ...] | None:
        """Return the masks that tell what is present, a leaf, reserved; None if masks do not."""
        present, leaf = self._fmt.present, self._level.leaf
        if self._level.wrong or not (isinstance(present, Match) and isinstance(leaf, Match)):
            return None
        reserved = self._level.reserved_table, self._level.reserved_leaf
        pairs = (present.mask, present.value), (leaf.mask, leaf.value), reserved
        return tuple((np.uint64(one), np.uint64(other)) for one, other in pairs)

    @property
    def edges(self) -> tuple[Index, U64, U8]:
        """The present entries: position among all, value, kind."""
        position, entry, kind = self._edges.columns
        return position, entry, kind

    @property
    def rest(self) -> tuple[Index, U64]:
        """The others that are not zero: position among all, value."""
        position, entry = self._rest.columns
        return position, entry


class _Columns:
    """Arrays of one length that grow together."""

    def __init__(self, *dtypes: Any) -> None:
        self.size = 0
        self._arrays = tuple(np.empty(0, dtype) for dtype in dtypes)

    def room(self, rows: int, likely: int) -> tuple[Any, ...]:
        """Return where the next rows can be written; likely: how many there will be at last."""
        size, end = self.size, self.size + rows
        if end > self._arrays[0].size:
            capacity = max(end, likely + likely // 16)
            grown = tuple(np.empty(capacity, array.dtype) for array in self._arrays)
            for new, old in zip(grown, self._arrays, strict=True):
                new[:size] = old[:size]
            self._arrays = grown
        return tuple(array[size:end] for array in self._arrays)

    @property
    def columns(self) -> list[Any]:
        """All that was appended."""
        return [array[: self.size] for array in self._arrays]
