"""What assertions have in common: how they name a range, and what they show of regions."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from ptlive import Region, Translation

#: So many regions are shown; of more it is said how many there are.
ROWS = 20
_MARK = "!"
# As in "write denied by the PTE (level 1)".
_DENIED = re.compile(r"\w+ denied by the ")


def check_range(va: int, last_va: int | None) -> tuple[int, int]:
    """Return both ends of a range. Raises PtliveError for what is none."""
    from ptlive.api.whole import range_of

    return range_of((va, va if last_va is None else last_va), "addresses")


def range_text(va: int, last_va: int) -> str:
    """Return a range as it is written: one address, or VA..LAST_VA."""
    from ptlive.show import words

    first = words.address(va)
    return first if va == last_va else f"{first}..{words.address(last_va)}"


def region_lines(regions: Sequence[Region], wrong: Iterable[int] = ()) -> Iterator[str]:
    """Yield regions in the columns of `ptlive map`, those with the numbers in `wrong` marked."""
    from ptlive.api.regions import HEADER, cells
    from ptlive.show.terminal import aligned, plain

    marked = set(wrong)
    rows = [
        (_MARK if at in marked else "", *map(plain, cells(region)))
        for at, region in enumerate(regions[:ROWS])
    ]
    columns = list(zip(*rows, strict=True))
    # Columns that say nothing, such as areas of a system that is not known, are left out.
    kept = [at for at, column in enumerate(columns) if any(column)]
    header = ("", *HEADER)
    sides = "   >"
    if not columns:
        return
    yield from aligned(
        tuple(header[at] for at in kept),
        [columns[at] for at in kept],
        "".join(sides[at : at + 1] or " " for at in kept),
    )
    if len(regions) > ROWS:
        yield f"... {len(regions) - ROWS:,} more"


def path_lines(found: Translation) -> Iterator[str]:
    """Yield how an address translates: the entries, and who denies a right."""
    first, *rest = str(found).splitlines()
    yield first
    yield from (line for line in rest if line.startswith(" ") or _DENIED.match(line))


def message(headline: str, *parts: Iterable[str]) -> str:
    """Return what an assertion says: a line, and the rest under it."""
    return "\n".join([headline, *(f"  {line}" for part in parts for line in part)])
