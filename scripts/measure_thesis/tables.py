"""The tables of the page, each made from the figures alone."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from scripts.measure_thesis import special
from scripts.measure_thesis.counts import Count
from scripts.measure_thesis.figures import rows
from scripts.measure_thesis.sources import COMPAT, LEVELS, OPERATIONS, SHARED, WAYS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

MANY = 4096  # pages of 4K side by side, where what tables cost is spread over them
_PARTS = (*OPERATIONS, SHARED)
_SHAPES = (
    ("one page", "length", 1, 1, 12),
    ("64 pages, side by side", "length", 64, 1, 12),
    ("512 pages", "length", 512, 1, 12),
    ("32768 pages", "length", 32768, 1, 12),
    ("512 pages, every 8th", "density", 512, 8, 12),
    ("512 pages, every 512th", "density", 512, 512, 12),
    ("64 pages of 2M", "depth", 64, 1, 21),
    ("64 pages of 1G", "depth", 64, 1, 30),
    ("one page out of one of 2M", "split", 1, 1, 21),
    ("one page out of one of 1G", "split", 1, 1, 30),
)


def table(head: Sequence[str], body: Iterable[Sequence[object]]) -> str:
    """Return a table of Markdown, columns of numbers to the right."""
    written = [[_cell(cell) for cell in row] for row in body]
    right = [all(re.fullmatch(r"-|[\d,./ ]+", row[n]) for row in written) for n in range(len(head))]
    rule = ["---:" if is_right else "---" for is_right in right]
    return "\n".join("| " + " | ".join(row) + " |" for row in [list(head), rule, *written])


def _cell(value: object) -> str:
    if value is None:
        return "-"
    return f"{value:,}" if isinstance(value, int) else str(value)


def source(figures: dict[str, Any]) -> str:
    """Return lines, functions and complexity by operation, at five levels and at six."""
    head = [
        "",
        *(f"{way}, {what}" for what in ("lines", "functions", "complexity") for way in WAYS),
    ]
    body = []
    for part in _PARTS:
        row: list[object] = [part]
        for value in (_lines, _functions, _complexity):
            row += [_by_levels(figures, way, part, value) for way in WAYS]
        body.append(row)
    total: list[object] = ["**all**"]
    for value in (_lines, _functions):
        total += [
            _joined([sum(value(p) for p in parts.values()) for parts in _source(figures, way)])
            for way in WAYS
        ]
    worst = [
        _joined([max(_complexity(p) for p in parts.values()) for parts in _source(figures, way)])
        for way in WAYS
    ]
    return table(head, [*body, [*total, *worst]])


def _source(figures: dict[str, Any], way: str) -> list[dict[str, Any]]:
    return [figures["source"][way][str(levels)] for levels in LEVELS]


def _by_levels(figures: dict[str, Any], way: str, part: str, value: Any) -> str:
    return _joined([value(parts[part]) for parts in _source(figures, way)])


def _joined(values: Sequence[int]) -> str:
    """Return values for three to six levels: one, if they are all the same."""
    return str(values[0]) if len(set(values)) == 1 else " / ".join(map(str, values))


def _lines(part: dict[str, Any]) -> int:
    return int(part["lines"])


def _functions(part: dict[str, Any]) -> int:
    return len(part["functions"])


def _complexity(part: dict[str, Any]) -> int:
    return max(int(function[3]) for function in part["functions"])


def complexity(figures: dict[str, Any]) -> str:
    """Return the most complex functions of each way, at five levels."""
    body = []
    for way in WAYS:
        every = [f for part in figures["source"][way]["5"].values() for f in part["functions"]]
        every.sort(key=lambda function: (-function[3], function[0]))
        named = ", ".join(f"`{name}` {complexity}" for name, _, _, complexity in every[:6])
        total = sum(function[3] for function in every)
        body.append([way, total, f"{total / len(every):.1f}", named])
    return table(["", "sum", "mean", "the most complex"], body)


def all_functions(figures: dict[str, Any]) -> str:
    """Return every function of both ways with its complexity, at five levels."""
    body = []
    for part in _PARTS:
        cells = []
        for way in WAYS:
            found = figures["source"][way]["5"][part]["functions"]
            cells.append(", ".join(f"`{name}` {complexity}" for name, _, _, complexity in found))
        body.append([part, *cells])
    return table(["", *WAYS], body)


def objects(figures: dict[str, Any]) -> str:
    """Return bytes and branches of the objects, at three to six levels."""
    head = ["", *(f"{way}, {what}" for what in ("bytes", "bytes -Os", "branches") for way in WAYS)]
    columns = (("objects", "bytes"), ("small", "bytes"), ("objects", "branches"))
    body: list[list[object]] = []
    for part in (*_PARTS, None):
        row: list[object] = [part or "**all**"]
        for key, what in columns:
            for way in WAYS:
                every = [figures[key][way][str(levels)] for levels in LEVELS]
                values = [
                    parts[part][what] if part else sum(p[what] for p in parts.values())
                    for parts in every
                ]
                row.append(_joined(values))
        body.append(row)
    return table(head, body)


def instructions(figures: dict[str, Any]) -> str:
    """Return instructions at five levels: old, new, and how many times as many."""
    counted: dict[str, dict[tuple[object, ...], int]] = {
        way: {row[:5]: row.instructions for row in rows(figures, way, 5)} for way in WAYS
    }
    body = []
    for name, *shape in _SHAPES:
        cells = []
        for operation in OPERATIONS:
            old, new = (counted[way].get((operation, *shape)) for way in WAYS)
            cells.append(f"{old:,} -> {new:,} ({new / old:.1f}x)" if old and new else "-")
        body.append([name, *cells])
    return table(["", *OPERATIONS], body)


def levels(figures: dict[str, Any]) -> str:
    """Return what one page costs at each number of levels."""
    body = []
    for operation in OPERATIONS:
        cells = []
        for way in WAYS:
            for number in LEVELS:
                found = [
                    r
                    for r in rows(figures, way, number)
                    if r[:5] == (operation, "length", 1, 1, 12)
                ]
                cells.append(found[0].instructions)
        body.append([operation, *cells])
    return table(["", *(f"{way}, {number}" for way in WAYS for number in LEVELS)], body)


def stack(figures: dict[str, Any]) -> str:
    """Return the stack that was painted, and what the compiler says it cannot be beyond."""
    body = []
    for operation in OPERATIONS:
        cells = []
        for way in WAYS:
            for number in LEVELS:
                one = figures["counts"][way][str(number)]
                cells.append(f"{one['stack'][operation]} / {one['bound'][operation]}")
        body.append([operation, *cells])
    return table(["", *(f"{way}, {number}" for way in WAYS for number in LEVELS)], body)


def experiments(figures: dict[str, Any]) -> str:
    """Return what a page costs as it is, and with the experiments."""
    found = [(way, rows(figures, way, 5), _bytes(figures, way)) for way in WAYS]
    for one in figures["experiments"]:
        named = f"new, {one['name']} (+{one['added']} -{one['removed']} lines)"
        found.append((named, [Count(*row) for row in one["rows"]], one["bytes"]))
    body = []
    for name, counted, size in found:
        many = {r.operation: r.instructions for r in counted if r[1:3] == ("length", MANY)}
        cells = [f"{many[operation] / MANY:.1f}" for operation in OPERATIONS]
        body.append([name, *cells, max(row.stack for row in counted), size])
    return table(["", *OPERATIONS, "most stack", "bytes of code"], body)


def _bytes(figures: dict[str, Any], way: str) -> int:
    return sum(part["bytes"] for part in figures["objects"][way]["5"].values())


def compilers(figures: dict[str, Any]) -> str:
    """Return what compilers make of both ways."""
    head = ["", "way", "bytes", "functions left", *(f"{op}" for op in OPERATIONS), "most stack"]
    body = [
        [
            f"`{row['compiler']}`",
            row["way"],
            row["bytes"],
            row["functions"],
            *(row["instructions"][op] for op in OPERATIONS),
            max(row["stack"].values()),
        ]
        for row in figures["compilers"]
    ]
    return table(head, body)


def special_counts(figures: dict[str, Any]) -> str:
    """Return how much is special, by kind and number of levels."""
    ways = (*WAYS, COMPAT)
    body = []
    for kind in (*special.KINDS, None):
        row: list[object] = [kind or "**all**"]
        for way in ways:
            for number in LEVELS:
                found = figures["special"][way][str(number)]
                row.append(sum(kind in (None, place[0]) for place in found))
        body.append(row)
    return table(["", *(f"{way}, {number}" for way in ways for number in LEVELS)], body)


def special_list(figures: dict[str, Any]) -> str:
    """Return each line that is special, and at which numbers of levels it is."""
    seen: dict[tuple[str, ...], list[int]] = {}
    for way in (*WAYS, COMPAT):
        # The lines of six levels are those of the patched files: other numbers, the same kinds.
        for number in LEVELS[:-1]:
            for kind, file, line, text in figures["special"][way][str(number)]:
                seen.setdefault((kind, f"{file}:{line}", " ".join(text.split())), []).append(number)
    body = [
        [kind, place, f"`{text.replace('|', chr(92) + '|')}`", ", ".join(map(str, numbers))]
        for (kind, place, text), numbers in seen.items()
    ]
    return table(["what", "where", "line", "with levels"], body)


def six(figures: dict[str, Any]) -> str:
    """Return what a sixth level costs."""
    body = []
    for way in WAYS:
        one = figures["six"][way]
        named = ", ".join(f"`{name}`" for name in one["functions"]) or "none"
        body.append([way, one["files"], one["added"], one["removed"], len(one["functions"]), named])
    head = ["", "files", "lines in", "lines out", "functions more", "which"]
    return table(head, body)


def ptlive(figures: dict[str, Any]) -> str:
    """Return what ptlive's own side of it comes to."""
    side = figures["ptlive"]
    operations = ", ".join(f"{name} {lines}" for name, lines in side["operations"].items())
    formats = ", ".join(f"{name} {one['lines']}" for name, one in side["formats"].items())
    changed = side["walk"]["changed"]
    body = [
        [
            "`paging/walk.py`, the one walk",
            f"{side['walk']['lines']} lines of code, {len(side['walk']['functions'])} functions",
        ],
        [
            "... lines changed since before the first other format",
            "unknown" if changed is None else changed,
        ],
        ["operations, visitors of it: lines of code", operations],
        ["formats, data and small functions: lines of code", formats],
    ]
    return table(["", ""], body)


def made_with(figures: dict[str, Any]) -> str:
    """Return what the figures were made with."""
    on = figures["made_with"]
    return ", ".join(f"{name} {version}" for name, version in on.items())
