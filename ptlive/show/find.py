"""What maps physical addresses, in text and for JSON."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from ptlive.analysis.areas import area_of
from ptlive.paging import fields, rights
from ptlive.paging.fields import size_name
from ptlive.show import words
from ptlive.show.terminal import aligned

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator, Sequence

    from ptlive.analysis.areas import Area
    from ptlive.analysis.find import Found, Mappings, Spans
    from ptlive.analysis.fold import Tables
    from ptlive.arrays import Bool
    from ptlive.paging.format import Format

_T = TypeVar("_T", bound="Hashable")
_R = TypeVar("_R")

_HEADER = ("address", "last", "page", "rights", "attributes", "level", "entry at", "entry")
# Up to so many roots are named, of more it is said how many they are.
_NAMED = 3


@dataclass(frozen=True, eq=False)
class Answer:
    """What was found of some stretches of physical memory, and what they are.

    targets: what each lies in; places: the name of that, as QEMU has it
    tables, table_of: the tables of the walk, and rows of these by stretch, see `pairs`
    roots: how the roots are called; sets: which of them each space of `found` stands for
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
    areas: tuple[Area, ...] = ()


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


def blocks(answer: Answer) -> Iterator[tuple[str, Iterator[str]]]:
    """Yield for each stretch a heading and the lines below it."""
    cells = _cells(answer)
    begin = np.searchsorted(answer.found.mappings.span, np.arange(len(answer.spans) + 1)).tolist()
    for row in range(len(answer.spans)):
        rows = slice(begin[row], begin[row + 1])
        yield _headline(answer, row), _block(answer, row, [column[rows] for column in cells])


def listing(answer: Answer) -> Iterator[str]:
    """Yield one table for all stretches, which are many; then those that nothing maps."""
    mappings = answer.found.mappings
    pa = [f"{one:#x}" for one in mappings.pa.tolist()]
    header = ["physical", *_HEADER, *_more(answer)]
    yield from aligned(header, [pa, *_cells(answer)])
    count = answer.found.count
    for row in np.flatnonzero(count == 0).tolist():
        yield f"{_name(answer, row)}: nothing maps it"
    for row in np.flatnonzero(count > answer.found.listed.astype(np.uint64)).tolist():
        yield f"{_name(answer, row)}: {_left_out(answer, row)}"


def as_json(answer: Answer) -> Iterator[dict[str, Any]]:
    """Yield what was found of each stretch."""
    found = answer.found
    rows = _mapping_json(answer)
    ends = np.searchsorted(found.mappings.span, np.arange(1, len(answer.spans) + 1)).tolist()
    done = 0
    for row, end in enumerate(ends):
        yield {
            "pa": hex(int(answer.spans.first[row])),
            "last_pa": hex(int(answer.spans.last[row])),
            "target": answer.targets[row],
            "region": answer.places[row] or None,
            "tables": [table_json(answer, at) for at in answer.table_of.get(row, ())],
            "mappings": int(found.count[row]),
            "listed": int(found.listed[row]),
            "maps": [next(rows) for _ in range(end - done)],
        }
        done = end


def table_json(answer: Answer, at: int) -> dict[str, Any]:
    """Return a table for JSON."""
    tables, level = answer.tables, answer.fmt.level(int(answer.tables.lvl[at]))
    return {
        "pa": hex(int(tables.pa[at])),
        "level": int(tables.lvl[at]),
        "name": {"spec": level.spec, "linux": level.linux},
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


def _block(answer: Answer, row: int, cells: list[list[str]]) -> Iterator[str]:
    for at in answer.table_of.get(row, ()):
        yield f"  {table_line(answer, at)}"
    if cells[0]:
        for line in aligned([*_HEADER, *_more(answer)], cells):
            yield f"  {line}"
    if answer.found.count[row] > answer.found.listed[row]:
        yield f"  {_left_out(answer, row)}"


def table_line(answer: Answer, at: int) -> str:
    """Return a sentence about a table."""
    tables, lvl = answer.tables, int(answer.tables.lvl[at])
    where = root_words(tables.roots[at : at + 1], answer.roots)[0]
    return (
        f"{int(tables.pa[at]):#x} is a table of {answer.fmt.level(lvl).spec}s (level {lvl}), "
        f"in {where}, reached by {words.count(int(tables.paths[at]), 'path')}, "
        f"for addresses from {words.address(int(tables.va[at]))}"
    )


def _left_out(answer: Answer, row: int) -> str:
    count, listed = int(answer.found.count[row]), int(answer.found.listed[row])
    return f"... {count - listed:,} more of {count:,} mappings (--limit)"


def _name(answer: Answer, row: int) -> str:
    first, last = int(answer.spans.first[row]), int(answer.spans.last[row])
    return f"{first:#x}" if first == last else f"{first:#x}..{last:#x}"


def _more(answer: Answer) -> list[str]:
    return ["area"] * bool(answer.areas) + ["in"] * (len(answer.roots) > 1)


def _cells(answer: Answer) -> list[list[str]]:
    """Return the columns of the text."""
    fmt, mappings = answer.fmt, answer.found.mappings
    named = [f"{lvl} {fmt.level(lvl).spec}" for lvl in range(1, fmt.top + 1)]
    pages = zip(mappings.pages.tolist(), mappings.bits.tolist(), strict=True)
    cells = [
        list(map(words.address, mappings.va.tolist())),
        list(map(words.address, mappings.last_va.tolist())),
        _each(lambda one: f"{one[0]} x {size_name(one[1])}", list(pages)),
        _each(lambda one: words.rights(fmt, rights.names(fmt, one)), mappings.rights.tolist()),
        _each(
            lambda one: words.attributes(fields.unpack_attributes(fmt, one)),
            mappings.attributes.tolist(),
        ),
        [named[lvl - 1] for lvl in mappings.lvl.tolist()],
        [f"{place:#x}" for place in mappings.entry_pa.tolist()],
        [f"{entry:#018x}" for entry in mappings.entry.tolist()],
    ]
    if answer.areas:
        cells.append(_area_names(answer.areas, mappings))
    if len(answer.roots) > 1:
        named = root_words(answer.sets, answer.roots)
        cells.append([named[at] for at in mappings.space.tolist()])
    return cells


def _area_names(areas: tuple[Area, ...], mappings: Mappings) -> list[str]:
    return [areas[at].name if at >= 0 else "" for at in area_of(areas, mappings.va).tolist()]


def _mapping_json(answer: Answer) -> Iterator[dict[str, Any]]:
    fmt, mappings = answer.fmt, answer.found.mappings
    names = [
        {"spec": fmt.level(lvl).spec, "linux": fmt.level(lvl).linux}
        for lvl in range(1, fmt.top + 1)
    ]
    members = [[answer.roots[at] for at in np.flatnonzero(one).tolist()] for one in answer.sets]
    columns = (
        map(words.address, mappings.va.tolist()),
        map(words.address, mappings.last_va.tolist()),
        map(hex, mappings.pa.tolist()),
        mappings.pages.tolist(),
        map(size_name, mappings.bits.tolist()),
        _each(lambda one: rights.names(fmt, one), mappings.rights.tolist()),
        _each(lambda one: fields.unpack_attributes(fmt, one), mappings.attributes.tolist()),
        mappings.lvl.tolist(),
        [names[lvl - 1] for lvl in mappings.lvl.tolist()],
        map(hex, mappings.entry_pa.tolist()),
        [f"{entry:#018x}" for entry in mappings.entry.tolist()],
        [name or None for name in _area_names(answer.areas, mappings)],
        [members[at] for at in mappings.space.tolist()],
    )
    for values in zip(*columns, strict=True):
        yield dict(zip(_KEYS, values, strict=True))


_KEYS = (
    *("va", "last_va", "pa", "pages", "page_size", "rights", "attributes", "level", "name"),
    *("entry_pa", "entry", "area", "roots"),
)


def _each(function: Callable[[_T], _R], values: Sequence[_T]) -> list[_R]:
    """Return what a function makes of each value; of equal ones it is asked once."""
    made = {value: function(value) for value in set(values)}
    return [made[value] for value in values]


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
