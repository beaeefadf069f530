"""One address that is watched: its path as it was, and the watchpoints on the path's entries."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import gdb
import numpy as np

from ptlive.analysis.aliases import aliases
from ptlive.analysis.areas import area_of
from ptlive.analysis.path_change import path_change
from ptlive.answers.spaces import PlainView, root_of
from ptlive.errors import PtliveError
from ptlive.gdb import at_stop, points
from ptlive.gdb.link import selected_vcpu
from ptlive.paging.walk import walk
from ptlive.show import words
from ptlive.show.path_change import entry_line, lines, place, reach
from ptlive.show.terminal import columns

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ptlive.analysis.aliases import Aliases
    from ptlive.analysis.areas import Area
    from ptlive.analysis.path_change import PathChange
    from ptlive.analysis.translation import Step, Translation
    from ptlive.gdb.points import Point
    from ptlive.space import AddressSpace
    from ptlive.target.attach import Target

# So many addresses are watched for each entry. Linux has two for some: its direct map, and that
# of its image; a table that maps itself makes another. Hostile ones make as many as they like.
MOST_ALIASES = 4
# Of so many it is told where they are.
_TOLD = 2

_HEADER = ("level", "SDM", "Linux", "entry at", "entry", "kind", "stops the guest by")


class _Armed(NamedTuple):
    """How one entry is watched: by which watchpoints, and what these do not see, in words."""

    points: tuple[Point, ...]
    lacking: str


class Watched:
    """An address below one root.

    space: as it was when the watch was set; areas: of that root, to say where aliases are
    marks: whether changes of nothing but A and D count, too
    """

    def __init__(
        self,
        number: int,
        space: AddressSpace,
        va: int,
        *,
        areas: tuple[Area, ...] = (),
        marks: bool = True,
    ) -> None:
        self.number, self.va, self.space, self.marks = number, va, space, marks
        self.connection = gdb.selected_inferior().connection
        self._areas = areas
        self._points: dict[tuple[int, int], Point] = {}
        self._armed: dict[int, _Armed] = {}
        self._known = self._look(space)
        self._bytes = self._read(space)
        if not self._known.path:
            raise PtliveError(f"{va:#x} is not canonical in {space.format.name}")

    @property
    def title(self) -> str:
        """What it is called in what is printed."""
        return f"watch {self.number}"

    @property
    def root(self) -> int:
        """The root table of the path."""
        return int(self.space.root[0])

    @property
    def over(self) -> bool:
        """Whether the user has deleted all of its watchpoints, or left its guest."""
        if self.connection is not gdb.selected_inferior().connection:
            return True
        return bool(self._points) and not any(p.is_valid() for p in self._points.values())

    def delete(self) -> None:
        """Delete its watchpoints."""
        for point in self._points.values():
            if point.is_valid():
                point.delete()

    def arm(self, target: Target) -> None:
        """Have stores into the entries of the path stop the guest, as far as that can be."""
        path, found = self._known.path, self._aliases(target)
        writable = [[alias.va for alias in one.listed if alias.writable] for one in found]
        places = [va for one in writable for va in one]
        left = points.room(target, places, tuple(self._points.values()))
        # The lowest entries change most: where there is not room for all, they go first.
        for one in reversed(writable):
            del one[left:]
            left -= len(one)
        self._armed = {
            step.lvl: self._arm(step, one, chosen)
            for step, one, chosen in zip(path, found, writable, strict=True)
        }
        used = {point for armed in self._armed.values() for point in armed.points}
        for point in self._points.values():
            if point.is_valid() and point not in used:
                point.park()

    def differs(self) -> bool:
        """Tell, at a hit, whether the guest is to stop for it."""
        try:
            with at_stop.guest() as target:
                space = self._space(target)
                if self._read(space) == self._bytes:
                    return False
                return self._counts(self._change(space))
        except (PtliveError, gdb.error):
            return True  # at the stop it is told why

    def at_stop(self, target: Target, hit: set[gdb.Breakpoint]) -> PathChange | None:
        """Print what changed since the last stop, and watch the path as it is now.

        hit: the watchpoints that stopped the guest
        """
        space = self._space(target)
        if self._read(space) == self._bytes:
            return None
        change = self._change(space)
        told = self._counts(change)
        if told:
            for line in self._told(change, hit, target):
                print(line)
        places = [step.entry_pa for step in self._known.path]
        self._known, self._bytes = change.after, self._read(space, change.after)
        if [step.entry_pa for step in change.after.path] != places:
            self.arm(target)
            print(f"  from here on: {'; '.join(self._summary(change))}")
        else:
            for entry in change.entries:
                for point in self._armed[entry.after.lvl].points:
                    if point.is_valid():
                        point.refresh()
        return change if told else None

    def lines(self) -> Iterator[str]:
        """Yield what is watched, and how."""
        fmt, known = self.space.format, self._known
        at = words.address(self.va)
        ignoring = "" if self.marks else ", A and D left out"
        yield f"{self.title}: {at} -> {reach(fmt, known)}, below {at_stop.named(self.space)}{ignoring}"
        rows = [
            (
                str(step.lvl),
                step.level.spec,
                step.level.linux,
                f"{step.entry_pa:#x}",
                f"{step.entry:#018x}",
                step.kind.name.lower(),
                self._by(step.lvl),
            )
            for step in known.path
        ]
        yield from ("  " + line for line in columns(_HEADER, rows))

    def _look(self, space: AddressSpace) -> Translation:
        return space.describe(space.translate(np.array([self.va], dtype=np.uint64)), 0, [])

    def _space(self, target: Target) -> AddressSpace:
        return replace(self.space, memory=target.memory, ram_map=target.ram_map)

    def _read(self, space: AddressSpace, known: Translation | None = None) -> bytes:
        """Read the entries of the path that is known, all at once."""
        path = (known or self._known).path
        entries = np.array([step.entry_pa for step in path], dtype=np.uint64)
        data, _ = space.memory.read(entries, self._size)
        return data.tobytes()

    @property
    def _size(self) -> int:
        return self.space.format.level(1).entry_size

    def _change(self, space: AddressSpace) -> PathChange:
        return path_change(space.format, self._known, self._look(space))

    def _counts(self, change: PathChange) -> bool:
        return self.marks or not change.marks_only

    def _aliases(self, target: Target) -> list[Aliases]:
        """Look for the entries' addresses below the root, and below those that vCPUs use now."""
        fmt = self.space.format
        view = PlainView(self.space.vcpu, fmt.name)
        used = (root_of(target, view, cpu) for cpu in target.cpus)
        roots = np.array(sorted({self.root, *filter(None, used)}), dtype=np.uint64)
        entries = np.array([step.entry_pa for step in self._known.path], dtype=np.uint64)
        return aliases(walk(fmt, target.memory, roots[:, None]), entries, self._size, MOST_ALIASES)

    def _arm(self, step: Step, found: Aliases, chosen: list[int]) -> _Armed:
        """Watch an entry at the chosen ones of the addresses that were found."""
        made = [self._point(step, n, va) for n, va in enumerate(chosen)]
        writable = [alias for alias in found.listed if alias.writable]
        reasons = {
            "no linear address maps it": not found.number,
            "it is mapped read-only": bool(found.listed) and not writable,
            "no debug register is left for it": len(chosen) < len(writable),
            f"of {found.number} addresses": found.number > len(found.listed),
            "gdb's hardware watchpoints are switched off": None in made,
            "its watchpoint was deleted": any(p and not p.is_valid() for p in made),
        }
        valid = tuple(point for point in made if point and point.is_valid())
        return _Armed(valid, ", ".join(why for why, applies in reasons.items() if applies))

    def _point(self, step: Step, n: int, va: int) -> Point | None:
        """Return the n-th watchpoint of a level, moved to an address; made if there is none."""
        point = self._points.get((step.lvl, n))
        if point is None:
            name = re.sub(r"\W", "_", step.level.spec.lower())
            again = f"_{n + 1}" if n else ""
            variable = f"_pt{self.number}_{self.va:#x}_{name}{again}"
            point = points.make(variable, va, self._size, self.differs)
            if point is not None:
                self._points[step.lvl, n] = point
        elif point.is_valid() and point.address != va:
            point.move(va)
        return point

    def _by(self, lvl: int) -> str:
        """Return by which watchpoints an entry stops the guest, and what they lack."""
        armed = self._armed[lvl]
        there = [point for point in armed.points if point.is_valid()]
        told = [f"{p.number} at {p.address:#x}{self._area(p.address)}" for p in there[:_TOLD]]
        told += [str(point.number) for point in there[_TOLD:]]
        if not told:
            return f"nothing ({armed.lacking or 'its watchpoint was deleted'})"
        return ", ".join(told) + (f" ({armed.lacking})" if armed.lacking else "")

    def _area(self, va: int) -> str:
        at = int(area_of(self._areas, np.array([va], dtype=np.uint64))[0])
        return f" ({self._areas[at].name})" if at >= 0 else ""

    def _told(self, change: PathChange, hit: set[gdb.Breakpoint], target: Target) -> Iterator[str]:
        """Yield what changed, and how it was noticed."""
        for entry in change.entries:
            mine = [p for p in self._armed[entry.after.lvl].points if p in hit]
            how = f"watchpoint {mine[0].number}" if mine else "since the last stop"
            yield f"ptlive {self.title}, {how}: {entry_line(entry)}"
        *_, last = lines(self.space.format, change)
        yield f"  {last}"
        current = target.cpus[0]
        for cpu in target.cpus:
            if cpu.vcpu == selected_vcpu():
                current = cpu
        now = current.cr3 & self.space.format.root_mask
        if now != self.root:
            yield f"  below {at_stop.named(self.space)}; vCPU {current.vcpu} is on root {now:#x} now"

    def _summary(self, change: PathChange) -> Iterator[str]:
        """Yield for the entries that are new on the path what they are watched by."""
        before = {step.entry_pa for step in change.before.path}
        for step in change.after.path:
            if step.entry_pa not in before:
                numbers = [str(p.number) for p in self._armed[step.lvl].points if p.is_valid()]
                by = f"watchpoint {', '.join(numbers)}" if numbers else self._by(step.lvl)
                yield f"{place(step)} at {step.entry_pa:#x}, {by}"
