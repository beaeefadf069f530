"""Entries sorted into the present ones, with their kinds, and others that are not zero."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ptlive.paging.format import Kind

if TYPE_CHECKING:
    from ptlive.arrays import U8, U64, Index
    from ptlive.paging.format import Format

_LEAF, _TABLE, _MALFORMED = (np.uint8(k) for k in (Kind.LEAF, Kind.TABLE, Kind.MALFORMED))


class Found:
    """What is found in `most` entries of one level, which arrive a piece at a time."""

    def __init__(self, fmt: Format, lvl: int, most: int) -> None:
        self._fmt = fmt
        self._level = fmt.level(lvl)
        # At the last level there is no table to refer to.
        self._other = _TABLE if lvl > 1 else _MALFORMED
        self._most = most
        self._seen = 0
        self._edges = _Columns(np.intp, np.uint64, np.uint8)
        self._rest = _Columns(np.intp, np.uint64)

    def add(self, entries: U64) -> None:
        """Classify the next entries, uint64[n]."""
        begin, self._seen = self._seen, self._seen + entries.size
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
        # The pieces of one level are much alike.
        likely = (columns.size + values[0].size) * self._most // max(self._seen, 1)
        columns.append(likely + likely // 16, *values)

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
        self._arrays = [np.empty(0, dtype) for dtype in dtypes]

    def append(self, likely: int, *values: Any) -> None:
        """Append to each array; likely: how many there will be at last."""
        size, self.size = self.size, self.size + values[0].size
        if self.size > self._arrays[0].size:
            for at, array in enumerate(self._arrays):
                self._arrays[at] = np.empty(max(self.size, likely), array.dtype)
                self._arrays[at][:size] = array[:size]
        for array, some in zip(self._arrays, values, strict=True):
            array[size : self.size] = some

    @property
    def columns(self) -> list[Any]:
        """All that was appended."""
        return [array[: self.size] for array in self._arrays]
