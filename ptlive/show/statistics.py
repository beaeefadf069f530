"""Statistics, in text and for JSON."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from ptlive.analysis.statistics.leaves import ACCESSED, DIRTY
from ptlive.paging import rights
from ptlive.paging.fields import size_name
from ptlive.show import words
from ptlive.show.terminal import columns, plain

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ptlive.analysis.statistics.leaves import Count, Counted
    from ptlive.analysis.statistics.tables import Tables
    from ptlive.paging.format import Format

_LEAVES = ("", "leaf entries", "reached", "bytes", "accessed", "dirty")
_MARKS = {"accessed": ACCESSED, "dirty": DIRTY}
_TABLES = (
    "tables",
    "number",
    "memory",
    "entries used",
    "empty",
    "one entry",
    "full",
    "shared",
    "reached",
    "as one page",
)


@dataclass(frozen=True, eq=False)
class Statistics:
    """What was counted of one root, or of several together.

    frames: different physical bytes that are mapped; areas: by name, "" for none
    """

    fmt: Format
    leaves: Counted
    frames: int
    tables: Sequence[Tables]
    areas: dict[str, Count]


def lines(one: Statistics, targets: Sequence[str]) -> Iterator[str]:
    """Yield tables of what is mapped, and of the tables that map it."""
    fmt, leaves = one.fmt, one.leaves
    by_size = leaves.by(lambda cell: cell.bits)
    by_rights = leaves.by(lambda cell: cell.rights)
    by_target = leaves.by(lambda cell: cell.target)
    counts = [(f"pages of {size_name(bits)}", count) for bits, count in by_size.items()]
    counts += [
        (words.rights(fmt, rights.names(fmt, folded)), count) for folded, count in by_rights.items()
    ]
    counts += [(f"in {targets[target]}", count) for target, count in by_target.items()]
    counts += [(plain(name) or "in no known area", each) for name, each in one.areas.items()]
    rows = [_row(fmt, name, count) for name, count in (*counts, ("all", leaves.total))]
    yield from columns(_LEAVES, rows, " >>>>>")
    yield f"{_bytes(one.frames)} of different frames are mapped"
    yield ""
    yield from columns(_TABLES, [_table(fmt, each) for each in one.tables], " >>>>>>>>>")
    yield from _waste(one)


def _row(fmt: Format, name: str, count: Count) -> tuple[str, ...]:
    told = _told(fmt, count)
    return (
        name,
        f"{count.entries:,}",
        f"{count.reached:,}",
        _bytes(count.bytes),
        *("-" if told[n] is None else _share(told[n], count.reached) for n in _MARKS),
    )


def _told(fmt: Format, count: Count) -> dict[str, Any]:
    """Return a count by name; None is what this format's pages do not say of themselves."""
    names = {field.name for level in fmt.levels for field in level.fields if field.leaves}
    unknown = {told: None for told, field in _MARKS.items() if field not in names}
    return asdict(count) | unknown


def _table(fmt: Format, one: Tables) -> tuple[str, ...]:
    return (
        f"of {fmt.level(one.lvl).spec}s",
        f"{one.tables:,}",
        _bytes(one.bytes),
        _share(one.used, one.entries),
        f"{one.empty:,}",
        f"{one.single:,}",
        f"{one.full:,}",
        f"{one.shared:,}",
        f"{one.paths:,}",
        f"{one.mergeable:,}",
    )


def _waste(one: Statistics) -> Iterator[str]:
    """Yield what the tables cost in all, and what larger pages would save."""
    total, used = sum(t.bytes for t in one.tables), sum(t.used for t in one.tables)
    entries = sum(t.entries for t in one.tables)
    empty = sum(t.bytes // t.tables * t.empty for t in one.tables if t.tables)
    yield (
        f"{_bytes(total)} of tables for {_bytes(one.leaves.total.bytes)} of addresses; "
        f"{_share(used, entries)} of their entries are used, {_bytes(empty)} is of empty tables"
    )
    for each in one.tables:
        if each.mergeable:
            above = one.fmt.level(each.lvl + 1)
            size = each.bytes // each.tables * each.mergeable
            each_one = "each " if each.mergeable > 1 else ""
            yield (
                f"{words.count(each.mergeable, 'table')} of {one.fmt.level(each.lvl).spec}s, "
                f"{_bytes(size)}, could {each_one}be a page of {size_name(above.shift)} instead"
            )


def as_json(one: Statistics, targets: Sequence[str]) -> dict[str, Any]:
    """Return the same for JSON."""
    fmt, leaves = one.fmt, one.leaves
    by_rights = leaves.by(lambda cell: cell.rights).items()
    by_target = leaves.by(lambda cell: cell.target).items()
    by_size = leaves.by(lambda cell: cell.bits).items()
    return {
        "leaves": _told(fmt, leaves.total),
        "by_size": [{"size": size_name(b), **_told(fmt, c)} for b, c in by_size],
        "by_rights": [{"rights": rights.names(fmt, r), **_told(fmt, c)} for r, c in by_rights],
        "by_target": [{"target": targets[t], **_told(fmt, c)} for t, c in by_target],
        "by_area": [{"area": name or None, **_told(fmt, c)} for name, c in one.areas.items()],
        "frame_bytes": one.frames,
        "tables": [
            {
                "level": each.lvl,
                "name": words.level_names(fmt.level(each.lvl)),
                **{name: value for name, value in each._asdict().items() if name != "lvl"},
            }
            for each in one.tables
        ],
    }


def _bytes(count: int) -> str:
    """Return a number of bytes with three digits or four: 12.3M."""
    value, unit = float(count), 0
    while value >= 1024 and unit < 6:
        value, unit = value / 1024, unit + 1
    return f"{count}B" if unit == 0 else f"{value:,.{0 if value >= 100 else 1}f}{'BKMGTPE'[unit]}"


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f}%" if whole else "-"
