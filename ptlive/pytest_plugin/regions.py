"""What is mapped held against what was written down, in the words and columns of `ptlive map`."""

from __future__ import annotations

import difflib
from collections import Counter
from typing import TYPE_CHECKING, Any

from ptlive.pytest_plugin import table
from ptlive.pytest_plugin.said import message

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ptlive import AddressSpace, Region
    from ptlive.pytest_plugin.table import Rows

# So many rows that are as expected are shown around those that are not.
_AROUND = 2
_LEGEND = "- expected, and not there; + there, and not expected"


def assert_regions(
    space: AddressSpace,
    expected: str | Iterable[Region] | Iterable[Sequence[Any]],
    ranges: Iterable[tuple[int, int]] | None = None,
    **filters: Any,
) -> None:
    """Assert that what is mapped, everywhere or in ranges, is exactly what is expected.

    expected: a table as `ptlive map` prints it, with all of its columns or some, named by the
    first line; lines without names are `start last rights`. Or rows such as (start, last,
    rights), or regions. filters: as for `AddressSpace.regions`, such as rights="u"
    """
    __tracebackhide__ = True
    wanted = _read(expected)
    regions = space.regions(None if ranges is None else list(ranges), **filters)
    found = table.of_regions(regions, wanted.columns)
    lines = _difference(wanted, found)
    if lines:
        missing = (Counter(wanted.rows) - Counter(found.rows)).total()
        more = (Counter(found.rows) - Counter(wanted.rows)).total()
        raise AssertionError(
            message(f"regions are not as expected: {missing} missing, {more} more", lines)
        )


def compared(left: object, right: object) -> list[str] | None:
    """Explain for pytest why regions are not equal to others; None if they are something else."""
    one, other = _regions(left), _regions(right)
    if one is None or other is None:
        return None
    lines = _difference(table.of_regions(other), table.of_regions(one))
    return ["regions == regions", *lines]


def _read(expected: str | Iterable[Region] | Iterable[Sequence[Any]]) -> Rows:
    if isinstance(expected, str):
        return table.of_text(expected)
    rows: list[Any] = list(expected)
    regions = _regions(rows)
    return table.of_tuples(rows) if regions is None else table.of_regions(regions)


def _regions(value: object) -> Sequence[Region] | None:
    """Return regions if it is some, else None."""
    from ptlive import Region, Regions

    if isinstance(value, Regions):
        return value
    if isinstance(value, list) and value and all(isinstance(one, Region) for one in value):
        return value
    return None


def _difference(expected: Rows, found: Rows) -> list[str]:
    """Return both as one table, with - and + where they differ; nothing if they do not."""
    from ptlive.show.terminal import aligned, plain

    matcher = difflib.SequenceMatcher(a=expected.rows, b=found.rows, autojunk=False)
    gap = ("", "...", *("" for _ in expected.columns[1:]))
    marked: list[tuple[str, ...]] = []
    end = 0
    for group in matcher.get_grouped_opcodes(_AROUND):
        marked += [gap] if group[0][3] > end else []
        for kind, i1, i2, j1, j2 in group:
            marks = ("", "") if kind == "equal" else ("-", "+")
            marked += [(marks[0], *row) for row in expected.rows[i1:i2] if kind != "equal"]
            marked += [(marks[1], *row) for row in found.rows[j1:j2]]
        end = group[-1][4]
    if not marked:
        return []
    marked += [gap] if end < len(found.rows) else []
    columns = [tuple(map(plain, column)) for column in zip(*marked, strict=True)]
    header = ("", *expected.columns)
    right = "".join(">" if name == "size" else " " for name in header)
    return [_LEGEND, *(line.rstrip() for line in aligned(header, columns, right))]
