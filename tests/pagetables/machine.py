"""What runs `guest/pagetables`, seen from outside: a mailbox for operations, and physical memory.

The same for a process that plays the machine and for a guest under QEMU: both have their
memory in a file. `mailbox.h` has the layout.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ptlive.arrays import U8, U64, Bool

SOURCE = Path(__file__).parents[2] / "guest" / "pagetables"
PAGE = 4096
MAILBOX, TABLES, TABLE_COUNT = 0x1000000, 0x2000000, 0x2000
SIZE = TABLES + TABLE_COUNT * PAGE
MAGIC = 0x70742D6D61696C31
UNMAP, COPY, REMAP, PROTECT, WALK, LIMIT, LOAD, STORE, SWITCH = range(1, 10)
TABLE_ALLOC, TABLE_FREE, FLUSH_ONE, FLUSH_ALL, BAD = range(1, 6)
ENOMEM = -12
NO_LIMIT = (1 << 64) - 1

COMMANDS, EVENTS, VISITS = 1024, 1 << 16, 1 << 16
_U8 = np.dtype("<u8")
_COMMAND = np.dtype(
    [(name, "<u8") for name in ("op", "space", "start", "end", "pa", "prot", "max_shift")]
)
_RESULT = np.dtype(
    [("ret", "<i8")]
    + [
        (name, "<u8")
        for name in ("value", "flushed_one", "flushed_all", "tables", "first_event", "first_visit")
    ]
)
_BOX = np.dtype(
    [
        *((name, "<u8") for name in ("magic", "levels", "mixture")),
        ("root", "<u8", 2),
        *((name, "<u8") for name in ("asked", "done", "commands", "events", "visits")),
        ("command", _COMMAND, COMMANDS),
        ("result", _RESULT, COMMANDS),
        ("event", [("what", "<u8"), ("value", "<u8")], EVENTS),
        ("visit", [("addr", "<u8"), ("next", "<u8"), ("entry", "<u8"), ("shift", "<u8")], VISITS),
    ]
)


@dataclass(frozen=True)
class Command:
    """One operation on [start, end) of one address space; an end of 2**64 is 0 in C."""

    op: int
    start: int = 0
    end: int = 0
    space: int = 0
    pa: int = 0
    prot: int = 0
    max_shift: int = 12

    def row(self) -> tuple[int, ...]:
        """Return the fields as `struct command` has them."""
        end = self.end % (1 << 64)
        return (self.op, self.space, self.start, end, self.pa, self.prot, self.max_shift)


@dataclass(frozen=True)
class Result:
    """What became of a command: `struct result`, with its events and visits."""

    ret: int
    value: int
    flushed_one: int
    flushed_all: int
    tables: int
    events: tuple[tuple[int, int], ...]
    visits: tuple[tuple[int, int, int, int], ...]


class Ram:
    """Physical memory as a file has it; also what ptlive's walker reads."""

    def __init__(self, file: Path, size: int) -> None:
        self.data: U8 = np.memmap(file, dtype=np.uint8, mode="r+", shape=(size,))
        self.words: Any = self.data.data.cast("Q")

    def read(self, addresses: U64, length: int) -> tuple[U8, Bool]:
        """See `ptlive.arrays.Memory.read`."""
        data = np.zeros((addresses.size, length), dtype=np.uint8)
        valid: Bool = addresses <= np.uint64(self.data.size - length)
        if valid.any():
            data[valid] = sliding_window_view(self.data, length)[addresses[valid].astype(np.intp)]
        return data, valid

    def qword(self, address: int) -> int | None:
        """Return 8 bytes at an aligned address; None where there is no memory."""
        return int(self.words[address >> 3]) if 0 <= address <= self.data.size - 8 else None

    def write(self, address: int, value: int) -> None:
        """Write 8 bytes at an aligned address."""
        self.words[address >> 3] = value


class Runner(Protocol):
    """Has a batch of commands done."""

    def go(self) -> None:
        """Return when the batch in the mailbox is done. Raises AssertionError if it never is."""
        ...


class Machine:
    """A mailbox in physical memory, and who empties it."""

    def __init__(self, ram: Ram, runner: Runner) -> None:
        self.ram = ram
        self._runner = runner
        box: Any = ram.data[MAILBOX : MAILBOX + _BOX.itemsize].view(_BOX)[0]
        self._box = box
        assert int(box["magic"]) == MAGIC
        self.levels = int(box["levels"])
        self.mixture = int(box["mixture"])
        self._high = 2  # how many frames were ever in use, the roots first
        self.roots = (int(box["root"][0]), int(box["root"][1]))

    def run(self, commands: Sequence[Command]) -> list[Result]:
        """Have commands done, in one batch."""
        assert len(commands) <= COMMANDS
        box = self._box
        box["command"][: len(commands)] = [command.row() for command in commands]
        box["commands"] = len(commands)
        box["asked"] += 1
        self._runner.go()
        assert box["asked"] == box["done"]
        assert box["events"] <= EVENTS
        rows = box["result"][: len(commands)].tolist()
        events = box["event"][: int(box["events"])].tolist()
        visits = box["visit"][: int(box["visits"])].tolist()
        high = [(at - TABLES) // PAGE + 1 for what, at in events if what == TABLE_ALLOC]
        self._high = max(self._high, *high, 0)
        ends = [*(row[5:] for row in rows[1:]), (len(events), len(visits))]
        return [
            Result(
                ret=row[0],
                value=row[1],
                flushed_one=row[2],
                flushed_all=row[3],
                tables=row[4],
                events=tuple(events[row[5] : end[0]]),
                visits=tuple(visits[row[6] : end[1]]),
            )
            for row, end in zip(rows, ends, strict=True)
        ]

    def one(self, command: Command) -> Result:
        """Have one command done."""
        return self.run([command])[0]

    def area(self) -> U64:
        """Return the frames for tables, as far as ever one was used."""
        area: U64 = self.ram.data[TABLES : TABLES + self._high * PAGE].view(np.uint64)
        return area


class Process:
    """A program of `guest/pagetables/host` that plays the machine."""

    def __init__(self, program: Path, folder: Path) -> None:
        handle, name = tempfile.mkstemp(suffix=".ram", dir=folder)
        os.truncate(handle, SIZE)
        os.close(handle)
        file = Path(name)
        self._process = subprocess.Popen(
            [program, file], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
        )
        self._await()
        self.machine = Machine(Ram(file, SIZE), self)

    def go(self) -> None:
        """See `Runner`."""
        assert self._process.stdin
        self._process.stdin.write(b"\n")
        self._await()

    def _await(self) -> None:
        assert self._process.stdout
        if self._process.stdout.read(1) != b"\n":
            raise AssertionError(f"it ended with status {self._process.wait()}")

    def close(self) -> None:
        """End the process. Raises AssertionError unless it ends well."""
        self._shut()
        assert self._process.wait() == 0

    def kill(self) -> None:
        """End the process, however it is."""
        self._process.kill()
        self._process.wait()
        self._shut()

    def _shut(self) -> None:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.close()
        self._process.stdout.close()


def make(folder: Path, levels: int, *targets: str, source: Path = SOURCE) -> Path:
    """Build targets (or NAME=VALUE) of the Makefile there; return the folder where they are."""
    command = ["make", "-s", "-C", str(source), f"BUILD={folder}", f"LEVELS={levels}", *targets]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder / str(levels)
