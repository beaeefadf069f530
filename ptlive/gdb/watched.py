"""One address that is watched: its path as it was at the last stop, and what changed of it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import gdb
import numpy as np

from ptlive.analysis.path_change import path_change
from ptlive.errors import PtliveError
from ptlive.gdb import at_stop
from ptlive.gdb.armed import Armed
from ptlive.gdb.link import selected_vcpu
from ptlive.show import words
from ptlive.show.path_change import entry_line, place, reach, reach_line
from ptlive.show.terminal import columns
from ptlive.show.translation import as_json

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ptlive.analysis.areas import Area
    from ptlive.analysis.path_change import PathChange
    from ptlive.analysis.translation import Translation
    from ptlive.space import AddressSpace
    from ptlive.target.attach import Target


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
        self._connection = gdb.selected_inferior().connection
        self._known = self._look(space)
        self._bytes = self._read(space)
        if not self._known.path:
            raise PtliveError(f"{va:#x} is not canonical in {space.format.name}")
        self._armed = Armed(f"_pt{number}_{va:#x}", self.differs, areas)
        self._placed = False

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
        return self._armed.deleted or self._connection is not gdb.selected_inferior().connection

    def delete(self) -> None:
        """Delete its watchpoints."""
        self._armed.delete()

    def arm(self, target: Target, *, quietly: bool = False) -> None:
        """Have stores into the entries of the path stop the guest; quietly: see `Armed.place`."""
        self._placed = False
        self._armed.place(target, self._space(target), self._known.path, quietly=quietly)
        self._placed = True

    def differs(self) -> bool:
        """Tell, at a hit, whether the guest is to stop for it."""
        try:
            with at_stop.guest(quietly=True) as target:
                space = self._space(target)
                return self._read(space) != self._bytes and self._counts(self._change(space))
        except (PtliveError, gdb.error):
            return True  # at the stop it is told why

    def at_stop(self, event: gdb.StopEvent, target: Target) -> PathChange | None:
        """Print what changed since the last stop, and watch the path as it is now."""
        hit: set[gdb.Breakpoint] = set()
        if isinstance(event, gdb.BreakpointEvent):
            hit = set(event.breakpoints)
        quietly = at_stop.commands_wait(event)
        if not self._placed:
            self.arm(target, quietly=quietly)  # at the last stop that was interrupted
        space = self._space(target)
        if self._read(space) == self._bytes:
            return None
        change = self._change(space)
        told = self._counts(change)
        if told:
            for line in self._told(change, hit, target):
                print(line)
        self._known = change.after
        self._bytes = self._read(space)
        before, after = (
            {step.entry_pa for step in one.path} for one in (change.before, change.after)
        )
        if before != after:
            self.arm(target, quietly=quietly)
            if told:
                for line in self._onwards(after - before):
                    print(line)
        else:
            for entry in change.entries:
                for point in self._armed.of(entry.after.lvl):
                    point.refresh()
        return change if told else None

    def lines(self) -> Iterator[str]:
        """Yield what is watched, and how."""
        where = f"{words.address(self.va, self.space.format)} -> {reach(self._known)}"
        ignoring = "" if self.marks else ", whatever A and D are"
        yield f"{self.title} in {at_stop.named(self.space)}{ignoring}: {where}"
        rows = [
            (
                str(step.lvl),
                step.level.spec,
                step.level.linux,
                f"{step.entry_pa:#x}",
                f"{step.entry:#018x}",
                step.kind.name.lower(),
                self._armed.told(step.lvl),
            )
            for step in self._known.path
        ]
        names = ("level", self.space.format.manual, "Linux")
        header = (*names, "entry at", "entry", "kind", "stops the guest by")
        yield from ("  " + line for line in columns(header, rows))

    def as_json(self) -> dict[str, Any]:
        """Return the same for JSON."""
        told = as_json(self._known)
        for step in told["path"]:
            step |= self._armed.as_json(step["level"])
        return {"number": self.number, "marks": self.marks, **told}

    def _look(self, space: AddressSpace) -> Translation:
        return space.describe(space.translate(np.array([self.va], dtype=np.uint64)), 0, [])

    def _space(self, target: Target) -> AddressSpace:
        return replace(self.space, memory=target.memory, ram_map=target.ram_map)

    def _read(self, space: AddressSpace) -> bytes:
        """Read the entries of the path that is known, all at once."""
        entries = np.array([step.entry_pa for step in self._known.path], dtype=np.uint64)
        return space.memory.read(entries, space.format.level(1).entry_size)[0].tobytes()

    def _change(self, space: AddressSpace) -> PathChange:
        return path_change(space.format, self._known, self._look(space))

    def _counts(self, change: PathChange) -> bool:
        return self.marks or not change.marks_only

    def _told(self, change: PathChange, hit: set[gdb.Breakpoint], target: Target) -> Iterator[str]:
        """Yield what changed, and how it was noticed."""
        for entry in change.entries:
            there = [point for point in self._armed.of(entry.after.lvl) if point.enabled]
            mine = [point for point in there if point in hit]
            how = f"watchpoint {mine[0].number}" if mine else "since the last stop"
            if there and not mine and not entry.marks_only:
                how += f" (watchpoint {there[0].number} did not see it)"
            yield f"ptlive {self.title}, {how}: {entry_line(entry)}"
        yield f"  {reach_line(change)}"
        vcpu = selected_vcpu()
        now = at_stop.used_roots(target, self.space.format).get(vcpu, self.root)
        if now != self.root:
            yield f"  that is in {at_stop.named(self.space)}; vCPU {vcpu} uses {now:#x} now"

    def _onwards(self, new: set[int]) -> Iterator[str]:
        """Yield by what the entries are watched that are new on the path."""
        for step in self._known.path:
            if step.entry_pa in new:
                by = self._armed.told(step.lvl)
                yield f"  from here on: {place(step)} at {step.entry_pa:#x}, watched by {by}"
