"""What is mapped: regions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, overload

import numpy as np

from ptlive.analysis.areas import area_of
from ptlive.api.rights import Rights
from ptlive.api.shown import ROWS, Row, Shown, Table
from ptlive.api.translation import page_words
from ptlive.api.whole import number
from ptlive.paging import fields
from ptlive.show import regions as show
from ptlive.show import words
from ptlive.space import TARGET_NAMES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ptlive.analysis.areas import Area
    from ptlive.analysis.regions import build
    from ptlive.arrays import U64

HEADER = ("start", "last", "size", "pages", "rights", "attributes", "in", "physical", "area")


@dataclass(frozen=True, repr=False)
class Region(Row):
    """Neighbouring pages of equal rights and attributes; addresses and sizes are in bytes.

    va, last_va: both included; size: of all of it
    pa: of the first page; contiguous: whether the frames follow each other
    pages: how many pages of each size, such as {4096: 12}
    rights: folded over all levels, see `Rights`
    attributes: of the leaf entries, by the manual's names: G, PWT, PCD, PAT, PK
    target: what the frames lie in: "RAM", "ROM", "device", "nothing", "mixed"
    area: of the system that it lies in, such as "direct map"; None where that is not known
    times: how often it is there, where shared tables repeat it: va, last_va, size and pa are of
        the first one, pages of all
    repeats: how the others follow, (times, bytes from one to the next) from the inside
        outwards, 0 bytes for uneven distances; empty for what is there once
    """

    va: int
    last_va: int
    size: int
    pa: int
    contiguous: bool
    pages: dict[int, int]
    rights: Rights
    attributes: dict[str, int]
    target: str
    area: str | None = None
    times: int = 1
    repeats: tuple[tuple[int, int], ...] = ()

    def __contains__(self, va: int) -> bool:
        """Whether an address lies in it (in the first one, if it repeats)."""
        return self.va <= va <= self.last_va

    def __str__(self) -> str:
        return "  ".join(cell for cell in cells(self) if cell)


def cells(region: Region) -> tuple[str, ...]:
    """Return what a row of a table has of a region."""
    return (
        words.address(region.va),
        words.address(region.last_va),
        words.size(region.size),
        page_words(region.pages),
        region.rights,
        words.attributes(region.attributes),
        region.target,
        f"{region.pa:#x}{'' if region.contiguous else ' ...'}",
        " ".join(filter(None, (region.area, show.repeats(region.repeats)))),
    )


class Regions(Shown, Sequence[Region]):
    """The regions of an address space, by address: a sequence of `Region`.

    Columns of all of them at once are va, last_va and pa, uint64[n] each. A region is made
    when it is asked for, so a million of them cost no more than their columns.
    """

    def __init__(self, found: build.Regions, areas: tuple[Area, ...], where: str) -> None:
        self._found, self._areas, self._where = found, areas, where

    @property
    def va(self) -> U64:
        """The first addresses, uint64[n]."""
        return self._found.va

    @property
    def last_va(self) -> U64:
        """The last addresses, uint64[n]."""
        return self._found.last_va

    @property
    def pa(self) -> U64:
        """The physical addresses of the first pages, uint64[n]."""
        return self._found.pa

    @property
    def format(self) -> str:
        """The name of the tables' format."""
        return self._found.fmt.name

    def at(self, va: int) -> Region | None:
        """Return the region that an address lies in, None if there is none."""
        found, va = self._found, number(va, "an address")
        row = int(np.searchsorted(found.va, np.uint64(va), "right")) - 1
        if row >= 0 and va <= int(found.last_va[row]):
            return self[row]
        return next((one for one in self._repeating if _reaches(one, va)), None)

    def __len__(self) -> int:
        return len(self._found)

    @overload
    def __getitem__(self, at: int) -> Region: ...
    @overload
    def __getitem__(self, at: slice) -> list[Region]: ...
    def __getitem__(self, at: int | slice) -> Region | list[Region]:
        if isinstance(at, slice):
            return [self._region(row) for row in range(*at.indices(len(self)))]
        return self._region(range(len(self))[at])

    @cached_property
    def _area(self) -> list[int]:
        found: list[int] = area_of(self._areas, self._found.va).tolist()
        return found

    @cached_property
    def _repeating(self) -> list[Region]:
        rows = np.flatnonzero(self._found.times > 1).tolist()
        return [self._region(row) for row in rows]

    def _region(self, row: int) -> Region:
        found = self._found
        counts = zip(found.page_bits, found.pages[row].tolist(), strict=True)
        va, last_va = int(found.va[row]), int(found.last_va[row])
        area = self._area[row]
        return Region(
            va=va,
            last_va=last_va,
            size=last_va - va + 1,
            pa=int(found.pa[row]),
            contiguous=bool(found.contiguous[row]),
            pages={1 << bits: count for bits, count in counts if count},
            rights=Rights.of(found.fmt, int(found.rights[row])),
            attributes=fields.unpack_attributes(found.fmt, int(found.attributes[row])),
            target=TARGET_NAMES[found.target[row]],
            area=self._areas[area].name if area >= 0 else None,
            times=int(found.times[row]),
            repeats=found.repeats[found.repeat[row]],
        )

    def _title(self) -> str:
        return f"{words.count(len(self), 'region')} of {self._where}"

    def _content(self) -> Iterator[str | Table]:
        some = [cells(self[row]) for row in range(min(len(self), ROWS))]
        yield Table(HEADER, some, "  >", len(self) - len(some))


def _reaches(region: Region, va: int) -> bool:
    """Tell whether one of the repetitions of a region has an address."""
    offset = va - region.va
    for times, stride in reversed(region.repeats):
        if offset < 0 or not stride:  # at uneven distances: which ones, is not kept
            return False
        offset -= min(offset // stride, times - 1) * stride
    return 0 <= offset < region.size
