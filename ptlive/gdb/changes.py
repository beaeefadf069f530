"""`ptlive changes` inside gdb: what changed in the address space since the last stop."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import click
import numpy as np

from ptlive.analysis.diff.compare import diff
from ptlive.analysis.diff.kinds import Change
from ptlive.analysis.diff.rows import CHANGE
from ptlive.answers.ranges import ends, united
from ptlive.answers.spaces import PlainView, space_at
from ptlive.answers.system import system_of
from ptlive.cli.bundle import Command
from ptlive.cli.connect import connect
from ptlive.cli.main import DONE, FOUND
from ptlive.cli.options import RANGE, ROOT
from ptlive.cli.tell import tell
from ptlive.errors import PtliveError
from ptlive.gdb.at_stop import named, options
from ptlive.gdb.link import selected_vcpu
from ptlive.paging.words import none_inside
from ptlive.show import diff as show
from ptlive.show.json import print_json
from ptlive.show.terminal import heading, stdout
from ptlive.show.words import count
from ptlive.space import TARGET_NAMES

if TYPE_CHECKING:
    import gdb

    from ptlive.analysis.diff.compare import Diff
    from ptlive.answers.system import Known
    from ptlive.arrays import U64
    from ptlive.paging.graph import Graph
    from ptlive.space import AddressSpace
    from ptlive.target.attach import Target

# So many regions are printed at a stop; `ptlive changes` prints them all.
LISTED = 20
# So many roots are kept: where processes take turns, each is compared with how it was left.
MOST_ROOTS = 4
# Whoever steps through a program waits for it each time: then it is said what it costs.
_SLOW = 0.5


@dataclass(frozen=True)
class _Kept:
    """The tables of an address space as they were at one stop.

    stop: the number of the stop
    """

    space: AddressSpace
    graph: Graph
    stop: int


class Changes:
    """The hook, and what it keeps.

    before: what the last stop was compared with
    """

    name = "changes"

    def __init__(self) -> None:
        self.active = False
        self.ranges: tuple[U64, U64] | None = None
        self.root: str | None = None
        self.before: _Kept | None = None
        self._kept: dict[int, _Kept] = {}
        self._stop = 0
        self._told_slow = False
        self._systems: Known = {}

    def begin(self, space: AddressSpace, ranges: tuple[U64, U64] | None, root: str | None) -> _Kept:
        """Keep an address space as it is, and forget what was kept before."""
        kept = _look(space, ranges, self._stop)
        self._kept.clear()
        self.ranges, self._told_slow = ranges, False
        # A number of `ptlive roots` is found by a look through all RAM: once is enough.
        self.root = hex(int(space.root[0])) if root and root.startswith("#") else root
        self.before = self._keep(kept)
        return kept

    def end(self) -> None:
        """Keep nothing, and do nothing at stops."""
        self.active, self.before = False, None
        self._kept.clear()

    def look(self, space: AddressSpace) -> _Kept:
        """Walk an address space, in the ranges that are asked for."""
        return _look(space, self.ranges, self._stop)

    def at_stop(self, _event: gdb.StopEvent, target: Target) -> None:
        """See `at_stop.Hook`."""
        begun = time.monotonic()
        self._stop += 1
        space = space_at(target, PlainView(selected_vcpu()), self.root or "cr3")
        now = self.look(space)
        before = self._kept.get(int(space.root[0]))
        self._keep(now)
        if before is None:
            self.before = now
            tell(f"{named(space)} is another one: what changes there is told from here on")
            return
        self.before = before
        if not _same(before.graph, now.graph) and (found := compare(before, now)).counts:
            ago = now.stop - before.stop
            since = "the last stop" if ago == 1 else f"it was seen last, {count(ago, 'stop')} ago"
            title = f"ptlive {self.name}: {named(space)}, since {since}"
            print_changes(found, title, self.areas(now, found), LISTED)
        self._tell_cost(now, time.monotonic() - begun)

    def areas(self, now: _Kept, found: Diff) -> list[str | None]:
        """Return in which area of a known system each region lies."""
        system = system_of(now.space, now.graph, known=self._systems) if len(found) else None
        return found.area_names(system.areas if system else ())

    def _keep(self, now: _Kept) -> _Kept:
        root = int(now.space.root[0])
        self._kept.pop(root, None)  # the one that was seen last stands last
        self._kept[root] = now
        if len(self._kept) > MOST_ROOTS:
            del self._kept[next(iter(self._kept))]
        return now

    def _tell_cost(self, now: _Kept, seconds: float) -> None:
        if seconds > _SLOW and not self._told_slow:
            self._told_slow = True
            tell(
                f"{seconds:.1f} s for {count(now.graph.tables, 'table')}, at each stop: a range "
                f"takes less, and `ptlive {self.name} off` ends it"
            )


def _look(space: AddressSpace, ranges: tuple[U64, U64] | None, stop: int) -> _Kept:
    graph = space.walk(ranges)
    if not graph.tops.number.size:
        raise PtliveError(none_inside(space.format))
    return _Kept(space, graph, stop)


CHANGES = Changes()


@click.command("changes", cls=Command)
@click.argument("what", metavar="[on|off] [VA[..LAST_VA]]...", nargs=-1)
@click.option("--root", type=ROOT, help="An address, vcpu:N or #N of roots. [default: cr3]")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def changes(what: tuple[str, ...], root: str | None, as_json: bool) -> int:
    """Tell what changed in the address space since the last stop.

    With `on` that is told at each stop from now on, as `ptlive diff` tells it, in the root
    that the selected vCPU uses then: where processes take turns, each is compared with how
    it was left. What changed in nothing but A and D bits is counted, and not listed. What
    is kept are the tables, as they were; a range keeps fewer.

    Without `on` or `off`: what changed since the last stop, all of it; and where nothing is
    told at stops, since the last `ptlive changes`.
    """
    order = what[0] if what[:1] in (("on",), ("off",)) else ""
    ranges = united(RANGE.convert(word, None, None) for word in what[bool(order) :])
    if order == "off":
        if ranges or root:
            raise PtliveError("`ptlive changes off` takes neither a range nor a root")
        CHANGES.end()
        return DONE
    before = None if order or ranges or root else CHANGES.before
    if before is not None:
        root = hex(int(before.space.root[0]))
    with connect(options(*filter(None, [root]))) as connection:
        (space,) = connection.spaces
        if before is None:
            kept = CHANGES.begin(space, ends(ranges), root)
            CHANGES.active = order == "on"
            found, now = None, kept
        else:
            now = CHANGES.look(space)
            found = compare(before, now)
            areas = CHANGES.areas(now, found)
            if not CHANGES.active:
                CHANGES.before = now
    if as_json:
        print_json(connection.envelope("changes", [_as_json(now, found, areas if found else [])]))
    elif found is None:
        then = "at each stop" if order == "on" else "by the next `ptlive changes`"
        tables = count(now.graph.tables, "table")
        stdout().out(f"{named(space)}: {tables} kept; what changes is told {then}", highlight=False)
    else:
        since = "the last stop" if CHANGES.active else "the last `ptlive changes`"
        print_changes(found, f"{named(space)}, since {since}", areas)
    return FOUND if found is not None and found.counts else DONE


def compare(before: _Kept, now: _Kept) -> Diff:
    """Compare an address space with what it was."""
    return diff(before.graph, now.graph, before.space.target_of, now.space.target_of, fold=True)


def _same(one: Graph, other: Graph) -> bool:
    """Tell whether all entries are what they were; that is told faster than what they became."""
    floors = list(zip(one.floors, other.floors, strict=False))
    return len(one.floors) == len(other.floors) and all(
        np.array_equal(mine, theirs)
        for floor, now in floors
        for mine, theirs in (
            (floor.nodes.table, now.nodes.table),
            (floor.position, now.position),
            (floor.entry, now.entry),
            (floor.kind, now.kind),
        )
    )


def print_changes(
    found: Diff, title: str, areas: list[str | None], limit: int | None = None
) -> None:
    """Print the regions that changed, but those of which only the A and D bits did."""
    rows = np.flatnonzero(found.rows.key[:, CHANGE] != np.uint64(Change.AD))
    listed = rows[:limit]
    stdout().print(heading(title))
    if listed.size:
        some = replace(found, rows=found.rows.take(listed))
        show.print_diff(show.lines(some, TARGET_NAMES, [areas[row] for row in listed.tolist()]))
    if rows.size > listed.size:
        more = count(rows.size - listed.size, "region")
        stdout().out(f"... and {more}, which `ptlive changes` lists", highlight=False)
    stdout().out(show.summary(found), highlight=False)


def _as_json(now: _Kept, found: Diff | None, areas: list[str | None]) -> dict[str, Any]:
    told = {"tables": now.graph.tables}
    return told if found is None else told | show.result(found, TARGET_NAMES, areas)
