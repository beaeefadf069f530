"""How a session's guest stopped, and its breakpoints."""

from __future__ import annotations

from dataclasses import dataclass

from ptlive.api.shown import Row


@dataclass(frozen=True, repr=False)
class Stop(Row):
    """How the guest stopped.

    reason: "breakpoint", "watchpoint", "step", "finished" (the function returned), "reached" (what
    `until` was for), "interrupted", or "signal NAME"
    vcpu: which one stopped, from 1; rip: where
    function: its name, as far as symbols are loaded; None where none is known
    breakpoint: the number of the breakpoint or watchpoint, None if it was none
    """

    reason: str
    vcpu: int
    rip: int
    function: str | None = None
    breakpoint: int | None = None


@dataclass(frozen=True, repr=False)
class Breakpoint(Row):
    """A breakpoint or a watchpoint.

    number: gdb's own, as a `Stop` has it; place: as it was asked for
    va: its address, None where there are several, or it is a watchpoint
    """

    number: int
    place: str
    va: int | None = None
