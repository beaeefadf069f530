"""Regions, in text and for JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ptlive.paging import fields, rights
from ptlive.paging.fields import size_name
from ptlive.show import words
from ptlive.show.terminal import columns

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ptlive.analysis.regions import Regions

_HEADER = ("start", "last", "size", "pages", "rights", "attributes", "in", "physical")


def lines(found: Regions, targets: Sequence[str]) -> Iterator[str]:
    """Yield a heading and a line for each region; targets: names of the target codes."""
    fmt = found.fmt
    rights_text = {
        int(folded): words.rights(fmt, rights.names(fmt, int(folded)))
        for folded in set(found.rights.tolist())
    }
    attributes_text = {
        packed: words.attributes(fields.unpack_attributes(fmt, packed))
        for packed in set(found.attributes.tolist())
    }
    rows = [
        (
            words.address(va),
            words.address(last_va),
            words.size(last_va - va + 1),
            words.pages(pages),
            rights_text[folded],
            attributes_text[packed],
            targets[target],
            f"{pa:#x}{'' if contiguous else ' ...'}",
        )
        for va, last_va, pages, folded, packed, target, pa, contiguous in _rows(found)
    ]
    yield from columns(_HEADER, rows, "  >")


def as_json(found: Regions, targets: Sequence[str]) -> list[dict[str, Any]]:
    """Return the regions as the JSON of `ptlive.map/1` has them."""
    fmt = found.fmt
    return [
        {
            "va": words.address(va),
            "last_va": words.address(last_va),
            "pa": hex(pa),
            "contiguous": contiguous,
            "pages": pages,
            "rights": rights.names(fmt, folded),
            "attributes": fields.unpack_attributes(fmt, packed),
            "target": targets[target],
            "area": None,
        }
        for va, last_va, pages, folded, packed, target, pa, contiguous in _rows(found)
    ]


def _rows(
    found: Regions,
) -> Iterator[tuple[int, int, dict[str, int], int, int, int, int, bool]]:
    """Yield the columns of each region as Python values, pages by name of their size."""
    sizes = [size_name(bits) for bits in found.page_bits]
    pages = (
        {size: count for size, count in zip(sizes, counts, strict=True) if count}
        for counts in found.pages.tolist()
    )
    return zip(
        found.va.tolist(),
        found.last_va.tolist(),
        pages,
        found.rights.tolist(),
        found.attributes.tolist(),
        found.target.tolist(),
        found.pa.tolist(),
        found.contiguous.tolist(),
        strict=True,
    )
