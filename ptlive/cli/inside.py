"""The debugger that ptlive runs inside of, if it does; see `ptlive.gdb`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from ptlive.target.attach import Target
    from ptlive.target.running import Guest
    from ptlive.target.sources import Source
    from ptlive.wire.qmp import Qmp


class Debugger(Protocol):
    """A debugger that holds a guest. What it cannot do raises PtliveError."""

    @property
    def name(self) -> str:
        """What to call its guest."""
        ...

    def guest(self) -> Guest | None:
        """Return the bundled guest that it is, if it is one."""
        ...

    def holds(self, name: str) -> bool:
        """Tell whether it is attached to the bundled guest of that name."""
        ...

    def hold(self, qmp: Qmp | None = None) -> AbstractContextManager[Target]:
        """Look at its guest for a `with` block, and leave it as it is; it must be stopped."""
        ...

    def choose(self, target: Target, wanted: str) -> Source:
        """Return what to read the guest's memory through; see `target.sources.choose`."""
        ...

    def evaluate(self, expression: str) -> int:
        """Return the value of an expression as a number of 64 bits."""
        ...

    def name_of(self, va: int) -> str | None:
        """Return the symbol at an address and how far behind it that is, if there is one."""
        ...

    def vcpu(self) -> int:
        """Return the vCPU that its user has selected, from 1."""
        ...


_debugger: Debugger | None = None


def enter(debugger: Debugger) -> None:
    """Say that ptlive runs inside of this debugger from now on."""
    global _debugger
    _debugger = debugger


def debugger() -> Debugger | None:
    """Return the debugger that ptlive runs inside of; None if it runs by itself."""
    return _debugger
