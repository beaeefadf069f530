"""What an edit would change, or has changed, in text and for JSON."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ptlive.paging import fields
from ptlive.paging.format import Kind
from ptlive.show import regions as show_regions
from ptlive.show import report as show_report
from ptlive.show import words
from ptlive.show.entries import entry_json
from ptlive.show.terminal import columns, heading, plain, verdict
from ptlive.show.translation import bits_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from rich.text import Text

    from ptlive.analysis.edit import Edit
    from ptlive.analysis.regions.build import Regions
    from ptlive.analysis.report import Report
    from ptlive.paging.format import Format
    from ptlive.paging.graph import Write
    from ptlive.paging.operations import Made

_HEADER = ("entry", "table", "at", "was", "", "becomes", "")
# So many lines of entries are shown; the JSON has all.
SHOWN = 40
# So many frames are named in a command to type.
SHOWN_FRAMES = 3


class Flushed(NamedTuple):
    """Whether the vCPUs' TLBs were flushed, in a sentence."""

    done: bool
    text: str


@dataclass(frozen=True, eq=False)
class Outcome:
    """What came of an edit: what would change, or has, and what the MMUs answer.

    mmu: of a copy, else why it was not asked; undo: the file, once it is written;
    executed: by the guest's own MMU, else why not
    """

    edit: Edit
    changed: list[Write]
    tables: list[Made]
    before: Regions
    after: Regions
    dangers: list[str]
    mmu: Report | None = None
    mmu_why: str = ""
    undo: Path | None = None
    flushed: Flushed | None = None
    executed: Report | None = None
    executed_why: str = ""

    @property
    def bad(self) -> bool:
        """Whether there is something that the user must look at."""
        reports = [one for one in (self.mmu, self.executed) if one is not None]
        return any(one.disagreed for one in reports) or (bool(self.dangers) and not self.undo)


def lines(done: Outcome, targets: Sequence[str]) -> Iterator[str | Text]:
    """Yield what a person is told; targets: names of the target codes."""
    fmt = done.edit.fmt
    if not done.changed:
        yield "nothing would change: the range is so already, or nothing is mapped there"
        return
    header, *rows = change_lines(fmt, done.changed, done.tables)
    yield heading(header)
    yield from rows
    for title, found in (("before", done.before), ("after", done.after)):
        yield heading(title)
        yield from show_regions.lines(found, targets) if len(found) else ["nothing mapped"]
    for text in done.dangers:
        yield verdict(f"danger: {plain(text)}", good=False)
    for report, why, who in (
        (done.mmu, done.mmu_why, "the MMU of a copy"),
        (done.executed, done.executed_why, "the guest's MMU"),
    ):
        if report is not None:
            yield heading(f"what {who} answers")
            yield from show_report.lines(fmt, report)
        elif why:
            yield verdict(f"not verified by {who}: {plain(why)}", good=None)
    what = summary(done.changed, done.tables)
    if done.flushed is None or done.undo is None:
        yield f"other address spaces may have the same tables: {asking(done.changed)} tells"
        yield f"{what} would change; nothing was written (--write does it)"
        return
    yield verdict(done.flushed.text, good=True if done.flushed.done else None)
    yield f"{what} written; to undo it: ptlive edit undo {plain(str(done.undo))}"


def asking(changed: Sequence[Write]) -> str:
    """Return the command that tells whose tables are changed, of the first few."""
    frames = np.unique(np.concatenate([write.address & ~np.uint64(0xFFF) for write in changed]))
    named = " ".join(f"{frame:#x}" for frame in frames[:SHOWN_FRAMES].tolist())
    return f"ptlive find {named} --all-roots"


def as_json(done: Outcome, name: str, targets: Sequence[str]) -> dict[str, Any]:
    """Return the same; name: of the operation; targets: names of the target codes."""
    fmt, flushed = done.edit.fmt, done.flushed
    return {
        "operation": name,
        "va": words.address(done.edit.va, fmt),
        "last_va": words.address(done.edit.last_va, fmt),
        "changes": changes_json(fmt, done.changed),
        "new_tables": tables_json(fmt, done.tables),
        "before": show_regions.as_json(done.before, targets),
        "after": show_regions.as_json(done.after, targets),
        "dangers": done.dangers,
        "mmu": show_report.as_json(done.mmu) if done.mmu else None,
        "mmu_not_asked": done.mmu_why or None,
        "written": done.undo is not None,
        "undo": str(done.undo) if done.undo else None,
        "tlb": None if flushed is None else {"flushed": flushed.done, "text": flushed.text},
        "executed": show_report.as_json(done.executed) if done.executed else None,
        "not_executed": done.executed_why or None,
    }


class _Run(NamedTuple):
    """Entries one behind the other that change alike: the first row, and how many."""

    first: int
    size: int


def change_lines(fmt: Format, changed: Sequence[Write], tables: Sequence[Made]) -> Iterator[str]:
    """Yield a heading and a line for each run of entries that change alike; then new tables."""
    rows = [
        _row(fmt, write, run)
        for write in changed
        for run in _runs(fmt, write.lvl, write.address, write.old, write.new)
    ]
    yield from columns(_HEADER, rows[:SHOWN])
    if len(rows) > SHOWN:
        yield f"... {len(rows) - SHOWN:,} more lines of entries (--json has all)"
    for made in tables[:SHOWN]:
        level = fmt.level(made.lvl)
        present = int(fmt.present(made.entries).sum())
        yield (
            f"new {level.spec} table at {made.table:#x}: "
            f"{words.count(present, 'entry')} of {made.entries.size} present"
        )
    if len(tables) > SHOWN:
        yield f"... {len(tables) - SHOWN:,} more new tables (--json has all)"


def summary(changed: Sequence[Write], tables: Sequence[Made]) -> str:
    """Return how much changes."""
    entries = words.count(sum(write.address.size for write in changed), "entry")
    new = f", {words.count(len(tables), 'new table')}" if tables else ""
    return f"{entries}{new}"


def changes_json(fmt: Format, changed: Sequence[Write]) -> list[dict[str, Any]]:
    """Return each entry that changes."""
    found = []
    for write in changed:
        rows = zip(write.address.tolist(), write.old.tolist(), write.new.tolist(), strict=True)
        for address, old, new in rows:
            table, index = _place(fmt, write.lvl, address)
            found.append(
                {
                    "level": write.lvl,
                    "name": words.level_names(fmt.level(write.lvl)),
                    "table": hex(table),
                    "index": index,
                    "entry_pa": hex(address),
                    "old": _entry_json(fmt, write.lvl, old),
                    "new": _entry_json(fmt, write.lvl, new),
                }
            )
    return found


def tables_json(fmt: Format, tables: Sequence[Made]) -> list[dict[str, Any]]:
    """Return each new table, with the entries that are not zero."""
    return [
        {
            "level": made.lvl,
            "name": words.level_names(fmt.level(made.lvl)),
            "table": hex(made.table),
            "entries": [
                {"index": at, "entry": hex(int(made.entries[at]))}
                for at in np.flatnonzero(made.entries).tolist()
            ],
        }
        for made in tables
    ]


def _entry_json(fmt: Format, lvl: int, entry: int) -> dict[str, Any]:
    known = entry_json(fmt, lvl, entry)
    return {name: known[name] for name in ("entry", "kind", "refers_to", "bits")}


def _row(fmt: Format, write: Write, run: _Run) -> tuple[str, ...]:
    last = run.first + run.size - 1
    table, index = _place(fmt, write.lvl, int(write.address[run.first]))
    more = f"..{_place(fmt, write.lvl, int(write.address[last]))[1]}" if run.size > 1 else ""
    old, new = int(write.old[run.first]), int(write.new[run.first])
    return (
        f"{fmt.level(write.lvl).spec} {index}{more}",
        f"{table:#x}",
        f"{int(write.address[run.first]):#x}",
        f"{old:#x}{'...' if run.size > 1 and old else ''}",
        _said(fmt, write.lvl, old),
        f"{new:#x}{'...' if run.size > 1 and new else ''}",
        _said(fmt, write.lvl, new),
    )


def _said(fmt: Format, lvl: int, entry: int) -> str:
    """Return what an entry is and says, in words."""
    kind = fields.classify(fmt, lvl, entry)
    if kind is Kind.ABSENT:
        return "absent"
    reserved = fields.reserved_bits(fmt, lvl, entry)
    said = bits_text(fields.bits(fmt, lvl, entry), reserved)
    return f"{kind.name.lower()} {said}".rstrip()


def _runs(fmt: Format, lvl: int, address: Any, old: Any, new: Any) -> Iterator[_Run]:
    """Yield runs of neighbours whose flags change alike, whatever frames they refer to."""
    size = fmt.level(lvl).entry_size
    alike = [
        (_said(fmt, lvl, before), _said(fmt, lvl, after))
        for before, after in zip(old.tolist(), new.tolist(), strict=True)
    ]
    tables = [_place(fmt, lvl, place)[0] for place in address.tolist()]
    first = 0
    for at in range(1, len(alike) + 1):
        if (
            at == len(alike)
            or alike[at] != alike[first]
            or tables[at] != tables[first]
            or int(address[at]) != int(address[at - 1]) + size
        ):
            yield _Run(first, at - first)
            first = at


def _place(fmt: Format, lvl: int, address: int) -> tuple[int, int]:
    """Return the table in which an entry stands, and where in it."""
    level = fmt.level(lvl)
    inside = address % (level.entry_size << level.index_bits)
    return address - inside, inside // level.entry_size
