"""Regions, in text and for JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from ptlive.paging import fields, rights
from ptlive.paging.fields import size_name
from ptlive.show import words
from ptlive.show.terminal import aligned

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator, Sequence

    from ptlive.analysis.regions import Regions

_T = TypeVar("_T", bound="Hashable")
_R = TypeVar("_R")

_KEYS = ("va", "last_va", "pa", "contiguous", "pages", "rights", "attributes", "target", "area")
_HEADER = ("start", "last", "size", "pages", "rights", "attributes", "in", "physical")


def lines(found: Regions, targets: Sequence[str]) -> Iterator[str]:
    """Yield a heading and a line for each region; targets: names of the target codes."""
    fmt = found.fmt
    folded, packed, counts = found.rights.tolist(), found.attributes.tolist(), _counts(found)
    sizes = [
        last - va + 1 for va, last in zip(found.va.tolist(), found.last_va.tolist(), strict=True)
    ]
    names = [size_name(bits) for bits in found.page_bits]
    yield from aligned(
        _HEADER,
        [
            list(map(words.address, found.va.tolist())),
            list(map(words.address, found.last_va.tolist())),
            _each(words.size, sizes),
            _each(lambda some: words.pages(dict(zip(names, some, strict=True))), counts),
            _each(lambda one: words.rights(fmt, rights.names(fmt, one)), folded),
            _each(lambda one: words.attributes(fields.unpack_attributes(fmt, one)), packed),
            [targets[target] for target in found.target.tolist()],
            [
                f"{pa:#x}" if contiguous else f"{pa:#x} ..."
                for pa, contiguous in zip(found.pa.tolist(), found.contiguous.tolist(), strict=True)
            ],
        ],
        "  >",
    )


def as_json(found: Regions, targets: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Yield the regions as the JSON of `ptlive.map/1` has them."""
    fmt = found.fmt
    names = [size_name(bits) for bits in found.page_bits]
    columns = (
        map(words.address, found.va.tolist()),
        map(words.address, found.last_va.tolist()),
        map(hex, found.pa.tolist()),
        found.contiguous.tolist(),
        _each(lambda some: {n: c for n, c in zip(names, some, strict=True) if c}, _counts(found)),
        _each(lambda folded: rights.names(fmt, folded), found.rights.tolist()),
        _each(lambda packed: fields.unpack_attributes(fmt, packed), found.attributes.tolist()),
        map(targets.__getitem__, found.target.tolist()),
    )
    for values in zip(*columns, strict=True):
        yield dict(zip(_KEYS, (*values, None), strict=True))


def _counts(found: Regions) -> list[tuple[int, ...]]:
    """Return how many pages of each size each region has."""
    return list(map(tuple, found.pages.tolist()))


def _each(function: Callable[[_T], _R], values: Sequence[_T]) -> list[_R]:
    """Return what a function makes of each value; of equal ones it is asked once."""
    made = {value: function(value) for value in set(values)}
    return [made[value] for value in values]
