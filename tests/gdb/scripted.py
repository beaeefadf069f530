"""One gdb that many tests give commands to: to start it takes longer than what they ask."""

from __future__ import annotations

import os
import select
import subprocess
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tests.gdb.watching import LOAD, PATIENCE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ptlive.target.running import Guest

_SETTINGS = (
    *("set debuginfod enabled off", "set confirm off", "set pagination off", "set width 0"),
    "set prompt",
)


class Scripted:
    """A gdb that reads commands from a pipe, attached to a guest, with ptlive."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self._asked = 0
        # What came behind the last answer: that the guest has stopped is told when it has.
        self._late = b""

    def __call__(self, *commands: str) -> str:
        """Return all that some commands print, also where one fails."""
        assert self._process.stdin is not None
        self._asked += 1
        mark = f"these were commands {self._asked}\n"
        lines = "".join(f"{one}\n" for one in (*commands, f"echo {mark[:-1]}\\n"))
        self._process.stdin.write(lines.encode())
        self._process.stdin.flush()
        said = self._until(mark)
        assert "Traceback" not in said, said
        return said

    def _until(self, mark: str) -> str:
        assert self._process.stdout is not None
        said = self._late
        deadline = time.monotonic() + PATIENCE
        while mark.encode() not in said:
            left = deadline - time.monotonic()
            ready = left > 0 and select.select([self._process.stdout], [], [], left)[0]
            more = os.read(self._process.stdout.fileno(), 1 << 16) if ready else b""
            assert more, said.decode()
            said += more
        said, _, self._late = said.partition(mark.encode())
        return said.decode()


@contextmanager
def scripted(guest: Guest) -> Iterator[Scripted]:
    """Run gdb on a guest for a `with` block."""
    words = ["gdb", "-nx", "-q"]
    attach = f"target remote {guest.gdb.removeprefix('unix:')}"
    for one in (*_SETTINGS, f"source {LOAD}", attach):
        words += ["-ex", one]
    process = subprocess.Popen(
        words,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, "LC_ALL": "C.UTF-8", "DEBUGINFOD_URLS": "", "TERM": "dumb"},
    )
    with process:
        yield Scripted(process)
        assert process.stdin is not None
        process.stdin.close()  # it detaches, and the guest goes on
