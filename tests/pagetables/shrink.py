"""The shortest sequence of commands that still fails, by delta debugging (Zeller, ddmin)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.pagetables.machine import Command


def shortest(commands: list[Command], fails: Callable[[list[Command]], bool]) -> list[Command]:
    """Return commands of which none can be left out; `fails` must hold for all of them."""
    pieces = 2
    while len(commands) > 1:
        size = -(-len(commands) // pieces)
        for at in range(0, len(commands), size):
            rest = commands[:at] + commands[at + size :]
            if fails(rest):
                commands, pieces = rest, max(pieces - 1, 2)
                break
        else:
            if size == 1:
                break
            pieces = min(pieces * 2, len(commands))
    return commands
