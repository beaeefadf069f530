"""What maps physical addresses, in text and for JSON."""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from ptlive.analysis.areas import area_of
from ptlive.paging import fields, rights
from ptlive.paging.fields import size_name
from ptlive.show import words
from ptlive.show.grid import Aligned, Hex, Words, blocks, distinct, numbered
from ptlive.show.json import Encoded
from ptlive.show.terminal import aligned, plain

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ptlive.analysis.areas import Area
    from ptlive.analysis.find import Found, Mappings, Spans
    from ptlive.analysis.fold import Tables
    from ptlive.analysis.profile import NameOf
    from ptlive.arrays import Bool, Index
    from ptlive.paging.format import Format
    from ptlive.show.grid import Column

# Up to so many roots are named, of more it is said how many they are.
_NAMED = 3


@dataclass(frozen=True, eq=False)
class Answer:
    """What was found of some stretches of physical memory, and what they are.

    targets: what each lies in; places: the name of that, as QEMU has it
    tables, table_of: the tables of the walk, and rows of these by stretch, see `pairs`
    roots: how the roots are called; sets: which of them each space of `found` stands for
    areas: of each root, where the system that it belongs to is known
    name_of: names a linear address, if somebody does
    """

    fmt: Format
    spans: Spans
    found: Found
    targets: Sequence[str]
    places: Sequence[str]
    tables: Tables
    table_of: dict[int, list[int]]
    roots: Sequence[str]
    sets: Bool
    areas: Sequence[tuple[Area, ...]] = ()
    name_of: NameOf | None = None


def root_words(sets: Bool, roots: Sequence[str]) -> list[str]:
    """Return in words which roots are in each set."""
    result = []
    for one in sets:
        some = np.flatnonzero(one).tolist()
        if len(some) == len(roots) > 1:
            result.append(f"all {len(roots)} roots")
        elif len(some) <= _NAMED:
            result.append(" ".join(roots[at] for at in some))
        else:
            result.append(f"{len(some)} of {len(roots)} roots")
    return result


def headed(answer: Answer) -> Iterator[tuple[str, Iterator[str]]]:
    """Yield for each stretch a heading and the lines below it."""
    begin = np.searchsorted(answer.found.mappings.span, np.arange(len(answer.spans) + 1)).tolist()
    for row in range(len(answer.spans)):
        yield _headline(answer, row), _block(answer, row, np.arange(begin[row], begin[row + 1]))


def listing(answer: Answer) -> Iterator[str]:
    """Yield a heading and one table for all stretches, which are many, many lines at a time.

    Then those that nothing maps.
    """
    mappings, spans = answer.found.mappings, answer.spans
    yield from _table(answer, mappings, [("physical", Hex(mappings.pa, short=True))])
    count = answer.found.count
    unmapped = np.flatnonzero(count == 0)
    for begin in range(0, unmapped.size, _SOME):
        rows = unmapped[begin : begin + _SOME]
        yield "".join(
            f"{_ends(*ends)}: nothing maps it\n"
            for ends in zip(spans.first[rows].tolist(), spans.last[rows].tolist(), strict=True)
        )
    for row in np.flatnonzero(count > answer.found.listed.astype(np.uint64)).tolist():
        yield f"{_name(answer, row)}: {_left_out(answer, row)}\n"


def as_json(answer: Answer) -> Iterator[Encoded]:
    """Yield what was found of each stretch, encoded."""
    found, spans = answer.found, answer.spans
    rows = _mapping_json(answer)
    ends = np.searchsorted(found.mappings.span, np.arange(1, len(spans) + 1))
    known: dict[tuple[str, str], str] = {}
    done = 0
    for begin in range(0, len(spans), _SOME):
        some = slice(begin, begin + _SOME)
        columns = (c[some].tolist() for c in (spans.first, spans.last, found.count, found.listed))
        inside = zip(answer.targets[some], answer.places[some], strict=True)
        for row, (first, last, count, listed), where, end in zip(
            range(begin, begin + _SOME),
            zip(*columns, strict=True),
            inside,
            ends[some].tolist(),
            strict=False,
        ):
            if where not in known:
                lies_in = {"target": where[0], "region": where[1] or None}
                known[where] = json.dumps(lies_in)[1:-1]
            at = answer.table_of.get(row)
            tables = json.dumps([table_json(answer, one) for one in at]) if at else "[]"
            maps = ", ".join(islice(rows, end - done))
            done = end
            yield Encoded(
                f'{{"pa": "{first:#x}", "last_pa": "{last:#x}", {known[where]}, "tables": {tables}'
                f', "mappings": {count}, "listed": {listed}, "maps": [{maps}]}}'
            )


def table_json(answer: Answer, at: int) -> dict[str, Any]:
    """Return a table for JSON."""
    tables, level = answer.tables, answer.fmt.level(int(answer.tables.lvl[at]))
    return {
        "pa": hex(int(tables.pa[at])),
        "level": int(tables.lvl[at]),
        "name": words.level_names(level),
        "va": words.address(int(tables.va[at])),
        "paths": int(tables.paths[at]),
        "roots": [answer.roots[root] for root in np.flatnonzero(tables.roots[at]).tolist()],
    }


def _headline(answer: Answer, row: int) -> str:
    count = int(answer.found.count[row])
    what = f"{words.count(count, 'mapping')}" if count else "nothing maps it"
    place = answer.places[row]
    inside = answer.targets[row] + (f" {place}" if place and place != answer.targets[row] else "")
    return f"{_name(answer, row)} ({inside}): {what}"


def _block(answer: Answer, row: int, rows: Index) -> Iterator[str]:
    for at in answer.table_of.get(row, ()):
        yield f"  {table_line(answer, at)}"
    if rows.size:
        for block in _table(answer, answer.found.mappings.take(rows), []):
            yield from (f"  {line}" for line in block.splitlines())
    if answer.found.count[row] > answer.found.listed[row]:
        yield f"  {_left_out(answer, row)}"


def table_line(answer: Answer, at: int) -> str:
    """Return a sentence about a table."""
    tables, lvl = answer.tables, int(answer.tables.lvl[at])
    where = root_words(tables.roots[at : at + 1], answer.roots)[0]
    return (
        f"{int(tables.pa[at]):#x} is a table of {answer.fmt.level(lvl).spec}s (level {lvl}), "
        f"in {where}, reached by {words.count(int(tables.paths[at]), 'path')}, "
        f"for addresses from {words.address(int(tables.va[at]), answer.fmt)}"
    )


def _left_out(answer: Answer, row: int) -> str:
    count, listed = int(answer.found.count[row]), int(answer.found.listed[row])
    return f"... {count - listed:,} more of {count:,} mappings (--limit)"


def _name(answer: Answer, row: int) -> str:
    return _ends(int(answer.spans.first[row]), int(answer.spans.last[row]))


def _ends(first: int, last: int) -> str:
    return f"{first:#x}" if first == last else f"{first:#x}..{last:#x}"


def _table(answer: Answer, mappings: Mappings, before: list[tuple[str, Column]]) -> Iterator[str]:
    """Yield a heading, and then whole lines of mappings, many at a time.

    before: headings and columns that stand to the left of the usual ones
    """
    named = [*before, *_columns(answer, mappings)]
    columns = [Aligned(column, len(name)) for name, column in named]
    cells = (name.ljust(column.width) for (name, _), column in zip(named, columns, strict=True))
    yield "  ".join(cells).rstrip() + "\n"
    yield from blocks(columns, 0, len(mappings))


def _columns(answer: Answer, mappings: Mappings) -> Iterator[tuple[str, Column]]:
    """Yield headings and columns of the text."""
    fmt, page = answer.fmt, np.uint64(_SIZES)

    def level(lvl: int) -> str:
        return f"{lvl} {fmt.level(lvl).spec}"

    def pages(one: int) -> str:
        return f"{one // _SIZES} x {size_name(one % _SIZES)}"

    yield "address", Hex(mappings.va, bits=fmt.address_bits)
    yield "last", Hex(mappings.last_va, bits=fmt.address_bits)
    yield "page", Words(mappings.pages.astype(np.uint64) * page + mappings.bits, pages)
    yield "rights", Words(mappings.rights, lambda one: words.rights(fmt, rights.names(fmt, one)))
    yield (
        "attributes",
        Words(
            mappings.attributes, lambda one: words.attributes(fields.unpack_attributes(fmt, one))
        ),
    )
    yield "level", Words(mappings.lvl.astype(np.uint64), level)
    yield "entry at", Hex(mappings.entry_pa, short=True)
    yield "entry", Hex(mappings.entry)
    if any(answer.areas):
        area, named = _areas(answer, mappings)
        yield "area", Words(area.astype(np.uint64), [plain(one) for one in named].__getitem__)
    if answer.name_of is not None:
        symbols = [plain(answer.name_of(va) or "") for va in mappings.va.tolist()]
        if any(symbols):
            yield "symbol", Words(np.arange(len(symbols), dtype=np.uint64), symbols.__getitem__)
    if len(answer.roots) > 1:
        named = root_words(answer.sets, answer.roots)
        yield "in", Words(mappings.space.astype(np.uint64), named.__getitem__)


def _areas(answer: Answer, mappings: Mappings) -> tuple[Index, list[str]]:
    """Return for each mapping the number of a name, and the names; the first is none.

    What several roots have in common lies in the same area of each.
    """
    number, names = np.zeros(len(mappings), dtype=np.intp), [""]
    for space in np.unique(mappings.space).tolist() if answer.areas else ():
        areas = answer.areas[int(answer.sets[space].argmax())]
        here = np.flatnonzero(mappings.space == space)
        at = area_of(areas, mappings.va[here])
        number[here] = np.where(at >= 0, at + len(names), 0)
        names += [area.name for area in areas]
    return number, names


# Above all numbers of address bits in a page.
_SIZES = 1 << 6


def _mapping_json(answer: Answer) -> Iterator[str]:
    """Yield the mappings as JSON; what many have in common is made once."""
    mappings = answer.found.mappings
    area, names = _areas(answer, mappings)
    alike = numbered(
        len(mappings),
        [
            *(mappings.pages, mappings.bits, mappings.rights, mappings.attributes, mappings.lvl),
            *(area, mappings.space),
        ],
    )
    different, which = distinct(alike)
    first = np.empty(different.size, dtype=np.intp)
    first[which[::-1]] = np.arange(len(mappings))[::-1]
    inner, outer = [], []
    for row in first.tolist():
        some = _common_json(answer, row, names[area[row]])
        rest = {key: some.pop(key) for key in ("area", "roots")}
        inner.append(json.dumps(some)[1:-1])
        outer.append(json.dumps(rest)[1:])
    for begin in range(0, len(mappings), _SOME):
        rows = slice(begin, begin + _SOME)
        columns = (mappings.va, mappings.last_va, mappings.pa, mappings.entry_pa, mappings.entry)
        lists = [column[rows].tolist() for column in (*columns, which)]
        for va, last_va, pa, entry_pa, entry, at in zip(*lists, strict=True):
            symbol = json.dumps(answer.name_of(va) if answer.name_of else None)
            yield (
                f'{{"va": "{va:#018x}", "last_va": "{last_va:#018x}", "pa": "{pa:#x}", {inner[at]}'
                f', "entry_pa": "{entry_pa:#x}", "entry": "{entry:#018x}", "symbol": {symbol}'
                f", {outer[at]}"
            )


# Rows that become lists at once.
_SOME = 1 << 16


def _common_json(answer: Answer, row: int, area: str) -> dict[str, Any]:
    """Return what many mappings have in common."""
    fmt, mappings = answer.fmt, answer.found.mappings
    lvl = int(mappings.lvl[row])
    roots = np.flatnonzero(answer.sets[mappings.space[row]]).tolist()
    return {
        "pages": int(mappings.pages[row]),
        "page_size": size_name(int(mappings.bits[row])),
        "rights": rights.names(fmt, int(mappings.rights[row])),
        "attributes": fields.unpack_attributes(fmt, int(mappings.attributes[row])),
        "level": lvl,
        "name": words.level_names(fmt.level(lvl)),
        "area": area or None,
        "roots": [answer.roots[at] for at in roots],
    }


def table_counts(fmt: Format, tables: Tables) -> Iterator[str]:
    """Yield a heading and a line for each level: how many tables there are, and whose."""
    rows = []
    roots = tables.roots.shape[1]
    members = tables.roots.sum(axis=1)
    for lvl in range(fmt.top, 0, -1):
        here = tables.lvl == lvl
        level = fmt.level(lvl)
        size = int(here.sum()) * level.entry_size << level.index_bits
        shared = int((members[here] == roots).sum())
        alone = int((members[here] == 1).sum())
        cells = [
            str(lvl),
            f"{level.spec} ({level.linux})",
            f"{int(here.sum()):,}",
            words.size(size),
        ]
        rows.append([*cells, *([f"{shared:,}", f"{alone:,}"] if roots > 1 else [])])
    header = ["level", "entries", "tables", "memory"]
    header += [f"in all {roots} roots", "in one root"] if roots > 1 else []
    yield from aligned(header, list(zip(*rows, strict=True)), "> >>>>"[: len(header)])
