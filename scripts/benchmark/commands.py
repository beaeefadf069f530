"""Whole commands: how long they take from start to end, and how much memory."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ptlive.errors import PtliveError
from scripts.benchmark.timing import Spread

if TYPE_CHECKING:
    from scripts.benchmark.guest import Subject

_TIMED = Path(__file__).with_name("timed.py")
_REPEATS, _SECONDS = 5, 10.0


@dataclass(frozen=True)
class Command:
    """One command, run as a process of its own.

    seconds: from start to end; peak: the most memory that it had, in bytes (of mapped files,
    what it touched); arrays: the bytes of the arrays that the plain walk in C fills
    """

    name: str
    seconds: Spread
    peak: int
    arrays: int | None = None


def run(subject: Subject, va: int, arrays: int) -> list[Command]:
    """Run the commands by turns, slow ones less often. Raises PtliveError if one fails."""
    # Beside the interpreter, as pip installs it.
    ptlive = [str(Path(sys.executable).with_name("ptlive"))]
    at = ["--gdb", subject.guest.gdb]
    lines = {
        "python -c pass": [sys.executable, "-c", "pass"],
        "ptlive --help": [*ptlive, "--help"],
        "ptlive translate": [*ptlive, "translate", hex(va), *at],
        "ptlive map": [*ptlive, "map", *at],
    }
    seconds: dict[str, list[float]] = {name: [] for name in lines}
    peak = dict.fromkeys(lines, 0)
    for _ in range(_REPEATS):
        for name, line in lines.items():
            if sum(seconds[name]) > _SECONDS:
                continue
            took, most = _timed(name, line)
            seconds[name].append(took)
            peak[name] = max(peak[name], most)
    return [
        Command(name, Spread.of(seconds[name]), peak[name], arrays if "map" in name else None)
        for name in lines
    ]


def _timed(name: str, line: list[str]) -> tuple[float, int]:
    """Run a command; return its seconds and its peak memory in bytes."""
    command = [sys.executable, "-I", "-S", str(_TIMED), *line]
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise PtliveError(f"{name} fails: {done.stderr.strip().rpartition(chr(10))[2][:200]}")
    seconds, kilobytes = done.stdout.split()
    return float(seconds), int(kilobytes) << 10
