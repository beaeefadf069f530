"""The watchpoints of one watched address: on which entries of its path they are, and where."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ptlive.analysis.aliases import aliases
from ptlive.analysis.areas import area_of
from ptlive.answers.spaces import with_partners
from ptlive.gdb import at_stop, points
from ptlive.paging.walk import walk

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ptlive.analysis.aliases import Aliases
    from ptlive.analysis.areas import Area
    from ptlive.analysis.translation import Step
    from ptlive.gdb.points import Point
    from ptlive.space import AddressSpace
    from ptlive.target.attach import Target

# So many addresses are watched for each entry. Linux has two for some: its direct map, and that
# of its image; a table that maps itself makes another. Hostile ones make as many as they like.
MOST_ALIASES = 4
# Of so many it is told where they are.
_TOLD = 2


class _Entry(NamedTuple):
    """The watchpoints of one entry, and what they do not see, in words."""

    points: tuple[Point, ...]
    lacking: str


# Of a level that was not on the path when the watchpoints were placed.
_NOTHING = _Entry((), "it was interrupted")


class Armed:
    """Watchpoints on the entries of a path, which are moved where the path goes.

    prefix: what their names in gdb begin with; wanted: asked at a hit whether to stop
    areas: of the address space, to say where they are
    """

    def __init__(self, prefix: str, wanted: Callable[[], bool], areas: tuple[Area, ...]) -> None:
        self._prefix, self._wanted, self._areas = prefix, wanted, areas
        self._quietly = False
        self._made: dict[tuple[int, int], Point] = {}
        self._entries: dict[int, _Entry] = {}

    def place(
        self, target: Target, space: AddressSpace, path: Sequence[Step], *, quietly: bool
    ) -> None:
        """Have stores into these entries stop the guest, as far as that can be.

        quietly: without a command of gdb, see `at_stop.commands_wait`
        """
        self._quietly = quietly
        found = _aliases(target, space, path)
        writable = [[alias.va for alias in one.listed if alias.writable] for one in found]
        places = [va for one in writable for va in one]
        left = points.room(target, places, tuple(self._made.values()))
        # The lowest entries change most: where there is not room for all, they go first.
        for one in reversed(writable):
            del one[left:]
            left -= len(one)
        with points.calm():
            self._entries = {
                step.lvl: self._arm(step, one, chosen)
                for step, one, chosen in zip(path, found, writable, strict=True)
            }
        used = {point for entry in self._entries.values() for point in entry.points}
        for point in self._made.values():
            if point.is_valid() and point not in used:
                point.park()

    def of(self, lvl: int) -> list[Point]:
        """Return the watchpoints of a level's entry that the user has not deleted."""
        entry = self._entries.get(lvl, _NOTHING)
        return [point for point in entry.points if point.is_valid()]

    def told(self, lvl: int) -> str:
        """Return in words which these are, and what they do not see."""
        lacking, there = self._entries.get(lvl, _NOTHING).lacking, self.of(lvl)
        if not there:
            return f"nothing ({lacking or 'its watchpoint was deleted'})"
        told = [f"{p.number} at {p.address:#x}{self._area(p.address)}" for p in there[:_TOLD]]
        told += [str(point.number) for point in there[_TOLD:]]
        return ", ".join(told) + (f" ({lacking})" if lacking else "")

    def as_json(self, lvl: int) -> dict[str, Any]:
        """Return the same for JSON."""
        there = [{"breakpoint": one.number, "va": hex(one.address)} for one in self.of(lvl)]
        return {"watchpoints": there, "not_seen": self._entries.get(lvl, _NOTHING).lacking or None}

    @property
    def deleted(self) -> bool:
        """Whether there were some, and the user has deleted them all."""
        return bool(self._made) and not any(p.is_valid() for p in self._made.values())

    def delete(self) -> None:
        """Delete what is left of them."""
        for point in self._made.values():
            if point.is_valid():
                point.delete()

    def _arm(self, step: Step, found: Aliases, chosen: list[int]) -> _Entry:
        """Watch an entry at the chosen ones of the addresses that were found."""
        made = [self._point(step, n, va) for n, va in enumerate(chosen)]
        writable = [alias for alias in found.listed if alias.writable]
        there = tuple(point for point in made if point is not None)
        reasons = {
            "no linear address maps it": not found.number,
            "it is mapped read-only": bool(found.listed) and not writable,
            "no debug register is left for it": len(chosen) < len(writable),
            f"of {found.number} addresses": bool(there) and found.number > len(found.listed),
            "gdb's hardware watchpoints are switched off": None in made,
        }
        return _Entry(there, ", ".join(why for why, applies in reasons.items() if applies))

    def _point(self, step: Step, n: int, va: int) -> Point | None:
        """Return the n-th watchpoint of a level, moved to an address; made if there is none."""
        point = self._made.get((step.lvl, n))
        if point is None:
            name = re.sub(r"\W", "_", step.level.spec.lower())
            variable = f"{self._prefix}_{name}{f'_{n + 1}' if n else ''}"
            size = step.level.entry_size
            point = points.make(variable, va, size, self._wanted, quietly=self._quietly)
            if point is not None:
                self._made[step.lvl, n] = point
        elif point.is_valid():
            point.move(va)
        return point

    def _area(self, va: int) -> str:
        at = int(area_of(self._areas, np.array([va], dtype=np.uint64))[0])
        return f" ({self._areas[at].name})" if at >= 0 else ""


def _aliases(target: Target, space: AddressSpace, path: Sequence[Step]) -> list[Aliases]:
    """Look for the entries' addresses below the root, and below those that vCPUs use now.

    Of isolated page tables the kernel's half counts, which it changes to when it stores.
    """
    fmt = space.format
    used = {int(space.root[0]), *at_stop.used_roots(target, fmt).values()}
    spaces = [replace(space, root=np.array([root], dtype=np.uint64)) for root in used]
    roots = sorted({int(one.root[0]) for one in with_partners(spaces)})
    graph = walk(fmt, space.memory, np.array(roots, dtype=np.uint64)[:, None])
    entries = np.array([step.entry_pa for step in path], dtype=np.uint64)
    return aliases(graph, entries, fmt.level(1).entry_size, MOST_ALIASES)
