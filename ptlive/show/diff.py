"""Differences between address spaces, in text and for JSON."""

from __future__ import annotations

from functools import cache, partial
from typing import TYPE_CHECKING, Any, NamedTuple

from rich.text import Text

from ptlive.analysis.diff import rows as table
from ptlive.analysis.diff.kinds import Change, names_of
from ptlive.analysis.diff.looks import MARKS
from ptlive.paging import fields, rights
from ptlive.paging.fields import size_name
from ptlive.show import words
from ptlive.show.terminal import aligned, stdout, write_lines

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy.typing as npt

    from ptlive.analysis.diff.compare import Count, Diff
    from ptlive.paging.format import Format

_HEADER = (
    "",
    "start",
    "last",
    "size",
    "pages",
    "rights",
    "attributes",
    "in",
    "physical",
    "what",
    "area",
)
_SIGNS = {Change.ADDED: "+", Change.REMOVED: "-", Change.FAULT: "!"}
_CHANGED = "~"
# As plain numbers: there may be a million rows.
_NOT_BEFORE, _NOT_NOW = (int(change | Change.FAULT) for change in (Change.ADDED, Change.REMOVED))
_STYLES = {"+": "green", "-": "red", _CHANGED: "yellow", "!": "magenta"}


class _Words:
    """Rights and attributes in words; of equal ones they are made once."""

    def __init__(self, fmt: Format) -> None:
        self.granted = cache(partial(rights.names, fmt))
        self.attributes = cache(partial(fields.unpack_attributes, fmt))
        self.letters = cache(lambda folded: words.rights(fmt, self.granted(folded)))
        self.told = cache(lambda packed: words.attributes(self.attributes(packed)) or "-")
        self.kinds = cache(names_of)
        self.sign = cache(_sign)
        self.pages = cache(lambda pages: words.pages(dict(pages)))
        self.size = cache(words.size)


class _Side(NamedTuple):
    """What a region is on one side; size_bits: of its pages, 0 where they differ."""

    rights: int
    attributes: int
    target: int
    size_bits: int
    pa: int
    contiguous: bool


class _Row(NamedTuple):
    """One region that differs; a side is None where it does not translate."""

    va: int
    last_va: int
    times: int
    step: int
    until: int
    change: int
    one: _Side | None
    other: _Side | None
    pages: dict[str, int]
    marks: tuple[int, int]
    software: tuple[int, int]


def lines(found: Diff, targets: Sequence[str], areas: Sequence[str | None]) -> Iterator[str]:
    """Yield a heading and a line for each region that differs.

    targets: names of the target codes; areas: of the area that each region lies in
    """
    said = _Words(found.fmt)
    cells = [
        _cells(said, row, targets, area) for row, area in zip(_rows(found), areas, strict=True)
    ]
    columns = list(zip(*cells, strict=True)) or [()] * len(_HEADER)
    # A column that says nothing of any region is left out.
    kept = [n for n, column in enumerate(columns) if any(column)]
    right = "".join(">" if _HEADER[n] == "size" else " " for n in kept)
    yield from aligned([_HEADER[n] for n in kept], [columns[n] for n in kept], right)


def print_diff(rows: Iterator[str]) -> None:
    """Print lines, coloured by their sign where there is a terminal."""
    if not stdout().is_terminal:
        write_lines(rows)
        return
    for line in rows:
        stdout().print(Text(line, style=_STYLES.get(line[:1], "bold")))


def summary(found: Diff) -> str:
    """Return what all differences come to."""
    compared = f"{words.count(found.pairs, 'pair')} of tables compared"
    if not found.counts:
        return f"no difference; {compared}"
    told = (f"{name} {_counted(count)}" for name, count in found.counts.items())
    return f"{words.count(len(found), 'region')}: {', '.join(told)}; {compared}"


def result(found: Diff, targets: Sequence[str], areas: Sequence[str | None]) -> dict[str, Any]:
    """Return all of it as the JSON of `ptlive.diff/1` has it, the regions as they are asked for."""
    return {
        "pairs": found.pairs,
        "counts": counts(found),
        "differences": as_json(found, targets, areas),
    }


def as_json(
    found: Diff, targets: Sequence[str], areas: Sequence[str | None]
) -> Iterator[dict[str, Any]]:
    """Yield the regions as the JSON of `ptlive.diff/1` has them."""
    said = _Words(found.fmt)
    for row, area in zip(_rows(found), areas, strict=True):
        yield {
            "va": words.address(row.va),
            "last_va": words.address(row.last_va),
            "kinds": said.kinds(row.change),
            "pages": row.pages,
            "a": _side(said, row.one, targets),
            "b": _side(said, row.other, targets),
            "marks": _marks(row),
            "software": {"a": hex(row.software[0]), "b": hex(row.software[1])},
            "times": row.times,
            "stride": hex(row.step) if row.step else None,
            "until": words.address(row.until),
            "area": area,
        }


def counts(found: Diff) -> dict[str, dict[str, Any]]:
    """Return for JSON how much each kind of change is about."""
    return {
        name: {"pages": _named(count.pages), "bytes": count.bytes}
        for name, count in found.counts.items()
    }


def _rows(found: Diff) -> Iterator[_Row]:
    rows = found.rows
    names = [size_name(bits) for bits in found.page_bits]
    columns: tuple[npt.NDArray[Any], ...] = (
        rows.va,
        rows.last_va,
        rows.times,
        rows.step,
        rows.until,
    )
    columns = (*columns, rows.key, rows.pa, rows.contiguous, rows.pages)
    for values in zip(*(column.tolist() for column in columns), strict=True):
        va, last_va, times, step, until, key, pa, contiguous, pages = values
        change = key[table.CHANGE]
        sizes = [bits for bits, count in zip(found.page_bits, pages, strict=True) if count]
        same = sizes[0] if len(sizes) == 1 else 0
        sides = [
            _Side(
                key[table.RIGHTS + n],
                key[table.ATTRIBUTES + n],
                key[table.TARGET + n],
                key[table.BITS + n] or same,
                pa[n],
                contiguous[n],
            )
            for n in range(2)
        ]
        yield _Row(
            va,
            last_va,
            times,
            step,
            until,
            change,
            None if change & _NOT_BEFORE else sides[0],
            None if change & _NOT_NOW else sides[1],
            {name: count for name, count in zip(names, pages, strict=True) if count},
            (key[table.MARKS], key[table.MARKS + 1]),
            (key[table.SOFTWARE], key[table.SOFTWARE + 1]),
        )


def _cells(said: _Words, row: _Row, targets: Sequence[str], area: str | None) -> tuple[str, ...]:
    sides = [side for side in (row.one, row.other) if side is not None]
    folded = [said.letters(side.rights) for side in sides]
    attributes = [said.told(side.attributes) for side in sides]
    plain = all(attribute == "-" for attribute in attributes)
    return (
        said.sign(row.change),
        words.address(row.va),
        words.address(row.last_va),
        said.size(row.last_va - row.va + 1),
        said.pages(tuple(row.pages.items())),
        _became(folded),
        "" if plain else _became(attributes),
        _became([targets[side.target] for side in sides]),
        _became([f"{side.pa:#x}{'' if side.contiguous else ' ...'}" for side in sides]),
        ", ".join(_what(said.kinds(row.change), row)),
        area or "",
    )


def _sign(change: int) -> str:
    return next((sign for one, sign in _SIGNS.items() if change & one), _CHANGED)


def _became(values: list[str]) -> str:
    """Return a value, or what it was and what it is."""
    return values[0] if values[:1] * len(values) == values and values else " -> ".join(values)


def _what(kinds: Sequence[str], row: _Row) -> Iterator[str]:
    """Yield in words what is different."""
    for name in kinds:
        if name == "size":
            yield _resized(row)
        elif name == "ad":
            yield " ".join(f"{mark} {how}" for mark, how in _marks(row).items())
        elif name == "software":
            old, new = row.software
            bits = [bit for bit in range(64) if (old ^ new) >> bit & 1]
            yield f"software bit{'s' * (len(bits) > 1)} {' '.join(map(str, bits))}"
        else:
            yield name
            side = row.other or row.one
            if name in ("added", "removed") and side is not None:
                whole = size_name(side.size_bits)
                if side.size_bits and whole not in row.pages:
                    yield f"of a {whole} page"
    if row.times > 1:
        apart = f" every {words.size(row.step)}" if row.step else ""
        yield f"{row.times:,} times{apart} up to {words.address(row.until)}"


def _resized(row: _Row) -> str:
    """Return which of both sides has the larger page."""
    old, new = (size_name(side.size_bits) for side in (row.one, row.other) if side is not None)
    return f"collapsed to {new}" if old in row.pages else f"split from {old}"


def _marks(row: _Row) -> dict[str, str]:
    """Return which bits the MMU has set, and which were cleared."""
    old, new = row.marks
    return {
        name: "set" if new >> n & 1 else "cleared"
        for n, name in enumerate(MARKS)
        if (old ^ new) >> n & 1
    }


def _side(said: _Words, side: _Side | None, targets: Sequence[str]) -> dict[str, Any] | None:
    if side is None:
        return None
    return {
        "pa": hex(side.pa),
        "contiguous": side.contiguous,
        "rights": said.granted(side.rights),
        "attributes": said.attributes(side.attributes),
        "target": targets[side.target],
        "page_size": size_name(side.size_bits) if side.size_bits else None,
    }


def _counted(count: Count) -> str:
    return f"{words.size(count.bytes)} ({words.pages(_named(count.pages))})"


def _named(pages: dict[int, int]) -> dict[str, int]:
    return {size_name(bits): count for bits, count in pages.items()}
