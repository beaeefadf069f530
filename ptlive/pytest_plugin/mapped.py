"""Assertions about one address, or each address of a range: mapped, and how; or not at all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ptlive.errors import PtliveError
from ptlive.pytest_plugin.said import check_range, message, path_lines, range_text, region_lines

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from ptlive import AddressSpace, Region

_SIZES = {"4K": 1 << 12, "2M": 1 << 21, "4M": 1 << 22, "1G": 1 << 30}
_EITHER = "?"
# So many holes of a range are named.
_HOLES = 5


def assert_mapped(
    space: AddressSpace,
    va: int,
    last_va: int | None = None,
    *,
    pa: int | None = None,
    rights: str | None = None,
    size: str | int | None = None,
    target: str | None = None,
    attributes: Mapping[str, int] | None = None,
) -> None:
    """Assert that an address is mapped, or every address up to `last_va`, and as is said.

    pa: the physical address of `va`; those behind it must follow each other
    rights: all of them, as `ptlive map` prints them: "r-x-"; "?" where either will do
    size: of the pages, "4K", "2M", "1G" or in bytes; target: what the frames lie in: "RAM", "ROM",
    "device", "nothing"; attributes: of the leaf entries, such as {"G": 1, "PCD": 0}
    """
    __tracebackhide__ = True
    va, last_va = check_range(va, last_va)
    offset = None if pa is None else pa - va
    asked = _Asked(offset, rights, _bytes(size), target, attributes or {})
    regions = list(space.regions([(va, last_va)], split_pa=True, fold=False, areas=False))
    wrong = {at: what for at, region in enumerate(regions) if (what := list(asked.not_in(region)))}
    holes = _holes(regions, va, last_va)
    if not wrong and not holes:
        return
    places = {max(va, regions[at].va): "; ".join(what) for at, what in wrong.items()}
    places |= {hole[0]: "it is not mapped" for hole in holes}
    first = min(places)
    where = "" if first == va else f"at {range_text(first, first)} "
    raise AssertionError(
        message(
            f"{range_text(va, last_va)}: {where}{places[first]}",
            region_lines(regions, wrong),
            _missing(holes) if regions else (),
            path_lines(space.translate(first)),
        )
    )


def assert_not_mapped(space: AddressSpace, va: int, last_va: int | None = None) -> None:
    """Assert that an address is not mapped, or none up to `last_va`."""
    __tracebackhide__ = True
    va, last_va = check_range(va, last_va)
    regions = space.regions([(va, last_va)], areas=False)
    if regions:
        first = max(va, regions[0].va)
        where = "it" if first == va else range_text(first, first)
        raise AssertionError(
            message(
                f"{range_text(va, last_va)}: {where} is mapped, and should not be",
                region_lines(regions),
                path_lines(space.translate(first)),
            )
        )


@dataclass(frozen=True)
class _Asked:
    """How pages are to be mapped; None where it does not matter.

    offset: physical minus linear address
    """

    offset: int | None
    rights: str | None
    size: int | None
    target: str | None
    attributes: Mapping[str, int]

    def not_in(self, region: Region) -> Iterator[str]:
        """Yield what is otherwise in a region, in words."""
        from ptlive.show import words

        if self.rights is not None and not _alike(region.rights, self.rights):
            yield f"rights are {region.rights}, not {self.rights}"
        others = sorted(set(region.pages) - {self.size}) if self.size is not None else []
        if others:
            sizes = " and ".join(words.size(size) for size in others)
            yield f"pages are {sizes}, not {words.size(self.size or 0)}"
        if self.offset is not None and region.pa != region.va + self.offset:
            yield f"it maps {region.pa:#x}, not {region.va + self.offset:#x}"
        if self.target is not None and region.target != self.target:
            yield f"it lies in {region.target}, not in {self.target}"
        for name, wanted in self.attributes.items():
            found = region.attributes.get(name, 0)
            if found != wanted:
                yield f"{name} is {found}, not {wanted}"


def _alike(rights: str, pattern: str) -> bool:
    if len(pattern) != len(rights):
        raise PtliveError(f"rights {pattern!r}: of this format they are like {str(rights)!r}")
    return all(wanted in (_EITHER, found) for found, wanted in zip(rights, pattern, strict=True))


def _bytes(size: str | int | None) -> int | None:
    if isinstance(size, str):
        if size not in _SIZES:
            raise PtliveError(f"{size!r} is no size of pages: there are {', '.join(_SIZES)}")
        return _SIZES[size]
    return size


def _holes(regions: Sequence[Region], va: int, last_va: int) -> list[tuple[int, int]]:
    """Return the parts of a range that lie in no region."""
    holes, at = [], va
    for region in regions:
        if region.va > at:
            holes.append((at, region.va - 1))
        at = max(at, region.last_va + 1)
    return [*holes, (at, last_va)] if at <= last_va else holes


def _missing(holes: Sequence[tuple[int, int]]) -> Iterator[str]:
    yield from (f"not mapped: {range_text(*hole)}" for hole in holes[:_HOLES])
    if len(holes) > _HOLES:
        yield f"... {len(holes) - _HOLES:,} more"
