"""Who maps a physical address."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, overload

from ptlive.analysis.areas import area_of
from ptlive.analysis.find import Found, Spans, find
from ptlive.api.rights import Rights
from ptlive.api.shown import ROWS, Row, Shown, Table
from ptlive.arrays import u64
from ptlive.paging import fields
from ptlive.paging.fields import size_name
from ptlive.show import words

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ptlive import space as inner
    from ptlive.analysis.areas import Area

_HEADER = (
    "start",
    "last",
    "pages",
    "rights",
    "attributes",
    "physical",
    "level",
    "entry at",
    "area",
)


@dataclass(frozen=True, repr=False)
class Mapping(Row):
    """Linear addresses that reach a physical one: a run of pages that are alike.

    va, last_va: the part that reaches it, both included; pa: where va leads
    pages: how many; page_size: of each, in bytes
    rights: folded over all levels, see `Rights`; attributes: of the leaf entry
    level: of the leaf entry, 1 is base pages; entry, entry_pa: of the first page
    area: of the system that it lies in, None where that is not known
    """

    va: int
    last_va: int
    pa: int
    pages: int
    page_size: int
    rights: Rights
    attributes: dict[str, int]
    level: int
    entry: int
    entry_pa: int
    area: str | None


class Mappings(Shown, Sequence[Mapping]):
    """What maps a stretch of physical memory: a sequence of `Mapping`, by address.

    pages: how many do, of which the first are listed; target: what the stretch lies in
    """

    def __init__(
        self,
        space: inner.AddressSpace,
        found: Found,
        span: tuple[int, int],
        areas: tuple[Area, ...],
        target: str,
    ) -> None:
        self._space, self._found, self._span, self._areas = space, found, span, areas
        self.pages = int(found.count[0])
        self.target = target

    def __len__(self) -> int:
        return len(self._found.mappings)

    @overload
    def __getitem__(self, at: int) -> Mapping: ...
    @overload
    def __getitem__(self, at: slice) -> list[Mapping]: ...
    def __getitem__(self, at: int | slice) -> Mapping | list[Mapping]:
        if isinstance(at, slice):
            return [self._mapping(row) for row in range(*at.indices(len(self)))]
        return self._mapping(range(len(self))[at])

    def _mapping(self, row: int) -> Mapping:
        rows, fmt = self._found.mappings, self._space.format
        area = int(area_of(self._areas, rows.va[row : row + 1])[0])
        return Mapping(
            va=int(rows.va[row]),
            last_va=int(rows.last_va[row]),
            pa=int(rows.pa[row]),
            pages=int(rows.pages[row]),
            page_size=1 << int(rows.bits[row]),
            rights=Rights.of(fmt, int(rows.rights[row])),
            attributes=fields.unpack_attributes(fmt, int(rows.attributes[row])),
            level=int(rows.lvl[row]),
            entry=int(rows.entry[row]),
            entry_pa=int(rows.entry_pa[row]),
            area=self._areas[area].name if area >= 0 else None,
        )

    def _title(self) -> str:
        first, last = self._span
        what = f"{first:#x}" if first == last else f"{first:#x}..{last:#x}"
        count = words.count(self.pages, "page")
        return f"{what} ({self.target}) is mapped by {count} of {self._space.title}"

    def _content(self) -> Iterator[str | Table]:
        rows = [_cells(self[row]) for row in range(min(len(self), ROWS))]
        if rows:
            yield Table(_HEADER, rows, "      >", len(self) - len(rows))
        listed = int(self._found.listed[0])
        if listed < self.pages:
            yield f"the first {listed:,} pages of {self.pages:,} are listed"


def _cells(one: Mapping) -> tuple[str, ...]:
    return (
        words.address(one.va),
        words.address(one.last_va),
        f"{one.pages} x {size_name(one.page_size.bit_length() - 1)}",
        one.rights,
        words.attributes(one.attributes),
        f"{one.pa:#x}",
        str(one.level),
        f"{one.entry:#018x} at {one.entry_pa:#x}",
        one.area or "",
    )


def mappings(
    space: inner.AddressSpace, span: tuple[int, int], limit: int, areas: tuple[Area, ...]
) -> Mappings:
    """Return what maps a stretch of physical memory; see `AddressSpace.find`."""
    from ptlive.space import TARGET_NAMES

    spans = Spans(u64(span[0]), u64(span[1]))
    found = find(space.walk(), spans, limit)
    uniform = bool(space.ram_map.uniform(spans.first, spans.last)[0])
    code = int(space.target_of(spans.first, u64(0))[0])
    return Mappings(space, found, span, areas, TARGET_NAMES[code] if uniform else "mixed")
