"""Entries that are wrong, not merely absent: malformed ones, and tables in no memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ptlive.paging import fields
from ptlive.paging.format import Kind
from ptlive.paging.paths import bad
from ptlive.show import words
from ptlive.show.terminal import plain

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ptlive.analysis.absent.runs import AbsentRuns
    from ptlive.analysis.profile import Profile
    from ptlive.paging.format import Format
    from ptlive.paging.graph import Graph

SHOWN = 20


def bad_lines(graph: Graph) -> Iterator[str]:
    """Yield a line for each entry that is malformed or whose table is unreadable, up to a limit."""
    total = graph.reached(Kind.MALFORMED, Kind.UNREADABLE)
    for one in bad_entries(graph, SHOWN):
        yield (
            f"{one['kind']}: {one['va']}..{one['last_va']}, {one['name']['spec']} "
            f"(level {one['level']}) at {one['entry_pa']}: {one['entry']}, {one['reason']}"
        )
    if total > SHOWN:
        yield f"... {total - SHOWN:,} more malformed or unreadable entries"


def bad_entries(graph: Graph, limit: int = 10_000) -> list[dict[str, Any]]:
    """Return the same for JSON, at most `limit` of them."""
    return [
        {
            "va": words.address(va),
            "last_va": words.address(last_va),
            "level": lvl,
            "name": words.level_names(graph.fmt.level(lvl)),
            "entry_pa": hex(entry_pa),
            "entry": f"{entry:#018x}",
            "kind": Kind(kind).name.lower(),
            "reason": _reason(graph, lvl, entry, Kind(kind)),
        }
        for chunk in bad(graph, limit)
        for va, last_va, lvl, entry_pa, entry, kind in zip(
            chunk.va.tolist(),
            chunk.last_va.tolist(),
            chunk.lvl.tolist(),
            chunk.entry_pa.tolist(),
            chunk.entry.tolist(),
            chunk.kind.tolist(),
            strict=True,
        )
    ]


def absent_lines(
    found: AbsentRuns, profile: Profile | None, fmt: Format, limit: int
) -> Iterator[str]:
    """Yield a line for each run of entries that are not present and not zero."""
    for one in found.runs:
        ends = f"{words.address(one.va, fmt)}..{words.address(one.last_va, fmt)}"
        level = fmt.level(one.lvl).spec
        such = f"{one.example:#018x}"
        if profile is not None:
            kernel = one.va >= profile.kernel_from
            such += f" ({plain(profile.explain(one.lvl, one.example, kernel).text)})"
        yield f"{ends}  {plain(one.name)}: {words.count(one.entries, level)}, first {such}"
    if not found.complete:
        yield f"... more than {limit:,} runs, or too many entries: ask for a range of addresses"


def absent_json(found: AbsentRuns, profile: Profile | None, fmt: Format) -> list[dict[str, Any]]:
    """Return the same for JSON."""
    rows = []
    for one in found.runs:
        row = {
            "va": words.address(one.va),
            "last_va": words.address(one.last_va),
            "level": one.lvl,
            "name": words.level_names(fmt.level(one.lvl)),
            "entries": one.entries,
            "reason": one.name,
            "first": f"{one.example:#018x}",
        }
        if profile is not None:
            kernel = one.va >= profile.kernel_from
            row["text"] = profile.explain(one.lvl, one.example, kernel).text
        rows.append(row)
    return rows


def _reason(graph: Graph, lvl: int, entry: int, kind: Kind) -> str:
    if kind is Kind.MALFORMED:
        return fields.why_malformed(graph.fmt, lvl, entry).removeprefix("has ")
    return f"its table {fields.refers_to(graph.fmt, lvl, entry):#x} lies in no RAM and no ROM"
