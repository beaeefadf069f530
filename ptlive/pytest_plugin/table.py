"""Tables of regions as people write them down: with the columns of `ptlive map`, all or some."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

from ptlive.errors import PtliveError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ptlive import Region

# The columns of rows that have no header, as many as there are: (start, last, rights), ...
_PLAIN = ("start", "last", "rights", "physical")
_ADDRESSES = ("start", "last")
# A cell of a table has single spaces at most. What `ptlive map` ends with is no row.
_CELL = re.compile(r"\S+(?: \S+)*")
_SUMMARY = re.compile(r"\s*\d[\d,]* regions?\b")


class Rows(NamedTuple):
    """Names of columns, and rows of text."""

    columns: tuple[str, ...]
    rows: list[tuple[str, ...]]


def of_regions(regions: Iterable[Region], columns: tuple[str, ...] | None = None) -> Rows:
    """Return regions, with all columns or some."""
    from ptlive.api.regions import HEADER, cells

    chosen = columns or HEADER
    places = [HEADER.index(name) for name in chosen]
    made = [cells(region) for region in regions]
    return Rows(chosen, [tuple(str(row[at]) for at in places) for row in made])


def of_tuples(rows: Sequence[Sequence[Any]]) -> Rows:
    """Return rows such as (start, last, rights); addresses are numbers or text."""
    columns = _plain(len(rows[0]) if rows else len(_PLAIN) - 1)
    texts = ([hex(cell) if isinstance(cell, int) else str(cell) for cell in row] for row in rows)
    return Rows(columns, [_row(columns, text) for text in texts])


def of_text(text: str) -> Rows:
    """Read a table. Raises PtliveError for what cannot be read."""
    lines = [line for line in text.splitlines() if line.strip() and not _SUMMARY.match(line)]
    if not lines or lines[0].split()[0] != _PLAIN[0]:
        return of_tuples([line.split() for line in lines])
    from ptlive.api.regions import HEADER

    header, *rest = lines
    names = list(re.finditer(r"\S+", header))
    columns = tuple(name[0] for name in names)
    for column in columns:
        if column not in HEADER:
            raise PtliveError(f"there is no column {column!r}: there are {', '.join(HEADER)}")
    return Rows(columns, [_row(columns, _cells(line, names)) for line in rest])


def _plain(count: int) -> tuple[str, ...]:
    if not len(_ADDRESSES) <= count <= len(_PLAIN):
        raise PtliveError(
            f"a row without a header is {', '.join(_PLAIN)}, the first two at least; "
            "above others write the names of their columns"
        )
    return _PLAIN[:count]


def _cells(line: str, header: list[re.Match[str]]) -> list[str]:
    """Cut a line into cells; one that is empty is seen by what stands under which name."""
    found = list(_CELL.finditer(line))
    if len(found) == 1:  # written without care for columns
        return line.split()
    if len(found) >= len(header):
        return [cell[0] for cell in found]
    # In columns of `ptlive map` a cell begins or ends where its name does.
    return [
        next((c[0] for c in found if c.start() < name.end() and name.start() < c.end()), "")
        for name in header
    ]


def _row(columns: tuple[str, ...], cells: Sequence[str]) -> tuple[str, ...]:
    """Return a row with its addresses as `ptlive map` prints them."""
    from ptlive.show import words

    if len(cells) != len(columns):
        raise PtliveError(f"'{' '.join(cells)}' does not stand under {' '.join(columns)}")
    try:
        return tuple(
            words.address(_number(cell)) if column in _ADDRESSES else cell
            for column, cell in zip(columns, cells, strict=True)
        )
    except ValueError:
        raise PtliveError(f"'{' '.join(cells)}' does not begin with two addresses") from None


def _number(text: str) -> int:
    number = int(text, 0)
    if not 0 <= number < 1 << 64:
        raise ValueError
    return number
