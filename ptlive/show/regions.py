"""Regions, in text and for JSON."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from ptlive.analysis.areas import area_of
from ptlive.paging import fields, rights
from ptlive.paging.fields import size_name
from ptlive.show import words
from ptlive.show.grid import Aligned, Hex, Words, blocks, numbered
from ptlive.show.json import Encoded
from ptlive.show.terminal import plain

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from ptlive.analysis.areas import Area
    from ptlive.analysis.regions.build import Regions
    from ptlive.analysis.regions.repeat import Repeat
    from ptlive.arrays import Index
    from ptlive.show.grid import Column

_HEADER = ("start", "last", "size", "pages", "rights", "attributes", "in", "physical", "repeats")
_RIGHT = "  >"


def text(
    found: Regions, targets: Sequence[str], areas: tuple[Area, ...] = (), *, verbose: bool = False
) -> Iterator[str]:
    """Yield a heading, and then whole lines of regions, many at a time.

    targets: names of the target codes
    areas: those in which regions lie get a line above them; verbose: with the evidence
    """
    columns = _columns(found, targets)
    cells = (
        name.rjust(column.width) if column.right else name.ljust(column.width)
        for name, column in zip(_HEADER, columns, strict=False)
    )
    yield "  ".join(cells).rstrip() + "\n"
    if not areas:
        yield from blocks(columns, 0, len(found))
        return
    area = area_of(areas, found.va)
    begins = np.flatnonzero(np.diff(area, prepend=-2))
    for begin, end in pairwise([*begins.tolist(), len(found)]):
        yield _area_line(areas, int(area[begin]), end - begin, verbose) + "\n"
        yield from blocks(columns, begin, end)


def lines(found: Regions, targets: Sequence[str]) -> Iterator[str]:
    """Yield a heading and a line for each region; targets: names of the target codes."""
    for block in text(found, targets):
        yield from block.splitlines()


def as_json(
    found: Regions, targets: Sequence[str], areas: tuple[Area, ...] = ()
) -> Iterator[Encoded]:
    """Yield the regions as the JSON of `ptlive.map/1` has them, encoded."""
    area = area_of(areas, found.va)
    alike = numbered(
        len(found),
        [
            found.contiguous,
            *found.pages.T,
            found.rights,
            found.attributes,
            found.target,
            area,
            found.repeat,
        ],
    )
    _, first, which = np.unique(alike, return_index=True, return_inverse=True)
    rest = [json.dumps(_rest(found, row, targets, areas, int(area[row])))[1:] for row in first]
    for begin in range(0, len(found), _SOME):
        some = slice(begin, begin + _SOME)
        columns = (c[some].tolist() for c in (found.va, found.last_va, found.pa, which))
        for va, last_va, pa, row in zip(*columns, strict=True):
            yield Encoded(
                f'{{"va": "{va:#018x}", "last_va": "{last_va:#018x}", "pa": "{pa:#x}", {rest[row]}'
            )


_SOME = 1 << 16


def _rest(
    found: Regions, row: int, targets: Sequence[str], areas: tuple[Area, ...], area: int
) -> dict[str, Any]:
    """Return what many regions have in common."""
    fmt, repeat = found.fmt, found.repeats[found.repeat[row]]
    counts = zip(found.page_bits, found.pages[row].tolist(), strict=True)
    strides = [hex(stride) if stride else None for _, stride in repeat]
    result: dict[str, Any] = {
        "contiguous": bool(found.contiguous[row]),
        "pages": {size_name(bits): count for bits, count in counts if count},
        "rights": rights.names(fmt, int(found.rights[row])),
        "attributes": fields.unpack_attributes(fmt, int(found.attributes[row])),
        "target": targets[found.target[row]],
        "area": areas[area].name if area >= 0 else None,
        "times": int(found.times[row]),
        "stride": strides[0] if len(strides) == 1 else None,
    }
    if len(repeat) > 1:
        pairs = zip(repeat, strides, strict=True)
        result["repeats"] = [{"times": times, "stride": stride} for (times, _), stride in pairs]
    return result


def repeats(repeat: Repeat) -> str:
    """Return how often something is there: x65536 every 64K; nothing for once."""
    return ", ".join(
        f"x{times} every {words.size(stride)}" if stride else f"x{times} at uneven distances"
        for times, stride in repeat
    )


def _columns(found: Regions, targets: Sequence[str]) -> list[Aligned]:
    fmt = found.fmt
    pages = numbered(len(found), found.pages.T)
    _, first = np.unique(pages, return_index=True)
    columns: list[Column] = [
        Hex(found.va, bits=fmt.address_bits),
        Hex(found.last_va, bits=fmt.address_bits),
        Words(found.last_va - found.va, lambda less: words.size(less + 1), right=True),
        Words(pages, _page_words(found, first)),
        Words(found.rights, lambda one: words.rights(fmt, rights.names(fmt, one))),
        Words(found.attributes, lambda one: words.attributes(fields.unpack_attributes(fmt, one))),
        Words(found.target.astype(np.uint64), lambda one: targets[one]),
        Hex(found.pa, short=True, marked=~found.contiguous),
    ]
    if found.repeat.any():
        columns.append(
            Words(found.repeat.astype(np.uint64), lambda one: repeats(found.repeats[one]))
        )
    sides = _RIGHT.ljust(len(columns))
    return [
        Aligned(column, len(name), right=side == ">")
        for name, column, side in zip(_HEADER, columns, sides, strict=False)
    ]


def _page_words(found: Regions, first: Index) -> Callable[[int], str]:
    """Return what tells the pages of those regions that have others; first: a row of each."""
    names = [size_name(bits) for bits in found.page_bits]

    def told(number: int) -> str:
        counts = found.pages[first[number]].tolist()
        return words.pages(dict(zip(names, counts, strict=True)))

    return told


def _area_line(areas: tuple[Area, ...], area: int, regions: int, verbose: bool) -> str:
    """Return what stands above the regions of an area."""
    if area < 0:
        return f"in no known area: {words.count(regions, 'region')}"
    one = areas[area]
    ends = f"{words.address(one.va)}..{words.address(one.last_va)}"
    why = f"; {plain(one.evidence)}" if verbose else ""
    return f"{plain(one.name)}: {words.count(regions, 'region')} in {ends}{why}"
