"""A trial: a sequence of commands on fresh machines; if it fails, the shortest that does."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from tests.pagetables.judge import Judge
from tests.pagetables.machine import Process
from tests.pagetables.operations import describe
from tests.pagetables.shrink import shortest

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tests.pagetables.machine import Command

OLD, NEW = "host-old", "host-ucrpw"


def judge(
    programs: Sequence[Path], commands: Iterable[Command], walk_every: int = 1
) -> tuple[int, str | None]:
    """Run commands on fresh machines; return how many were done, and what was wrong if any was."""
    done = 0
    with ExitStack() as stack:
        # In memory: every run is a new file of 64 MB, with few pages in it.
        folder = stack.enter_context(tempfile.TemporaryDirectory(dir=_in_memory()))
        running = [Process(program, Path(folder)) for program in programs]
        for process in running:
            stack.callback(process.kill)
        judge = Judge([process.machine for process in running], walk_every)
        try:
            for command in commands:
                done += 1
                judge.step(command)
            judge.look()
        except (AssertionError, LookupError) as wrong:
            return done, str(wrong) or repr(wrong)
        for process in running:
            process.close()
    return done, None


def trial(programs: Sequence[Path], commands: Iterable[Command], walk_every: int = 1) -> None:
    """Judge commands. Raises AssertionError with the shortest sequence that goes wrong."""
    commands = list(commands)
    done, wrong = judge(programs, commands, walk_every)
    if wrong is None:
        return
    short = shrunk(programs, commands[:done])
    _, wrong = judge(programs, short)
    lines = "\n".join(map(describe, short))
    raise AssertionError(f"after {done} commands; the shortest that fail so:\n{lines}\n{wrong}")


def shrunk(programs: Sequence[Path], commands: list[Command]) -> list[Command]:
    """Return the shortest part of failing commands that fails, in whatever way."""
    return shortest(commands, lambda some: judge(programs, some)[1] is not None)


def _in_memory() -> str | None:
    return "/dev/shm" if Path("/dev/shm").is_dir() else None
