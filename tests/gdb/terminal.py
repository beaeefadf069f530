"""gdb on a terminal, where keys are typed."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import termios
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from tests.gdb.watching import LOAD

if TYPE_CHECKING:
    from collections.abc import Iterator

CTRL_C = "\x03"
TAB = "\t"
PROMPT = re.compile(r"\(gdb\) (\x1b\[[0-9?]*[a-z])*$")
#: What a terminal is told besides text.
_STEERING = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\r|\x07")
_PATIENCE = 60.0
_ROWS, _COLUMNS = 24, 100


class Terminal:
    """A gdb that has a terminal to itself."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def type(self, text: str) -> None:
        """Type some keys."""
        os.write(self._descriptor, text.encode())

    def until(self, pattern: re.Pattern[str]) -> str:
        """Return all that comes until it ends so, without what steers the terminal."""
        return _STEERING.sub("", self.raw(pattern))

    def raw(self, pattern: re.Pattern[str], patience: float = _PATIENCE) -> str:
        """Return the same with what steers the terminal."""
        shown = ""
        deadline = time.monotonic() + patience
        while not pattern.search(shown):
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError(shown)
            if select.select([self._descriptor], [], [], left)[0]:
                shown += os.read(self._descriptor, 1 << 16).decode("utf-8", "replace")
        return shown

    def command(self, line: str) -> str:
        """Return what a command prints."""
        self.type(f"{line}\n")
        return self.until(PROMPT).removeprefix(line).removesuffix("(gdb) ").strip("\n")

    def settle(self) -> None:
        """Wait until all keys that were typed have done what they do.

        At Ctrl-C a terminal drops what was typed and not yet read (termios(3), NOFLSH): what
        is lost so is typed again.
        """
        for patience in (_PATIENCE / 4, _PATIENCE / 4, _PATIENCE / 2):
            mark = f"settled{time.monotonic_ns()}"
            self.type(f"echo {mark}\\n\n")
            with suppress(TimeoutError):
                self.raw(re.compile(mark + r"\r\n[^\n]*\(gdb\) (\x1b\[[0-9?]*[a-z])*$"), patience)
                return
        raise TimeoutError("gdb does not come back to its prompt")


@contextmanager
def terminal(address: str, *settings: str) -> Iterator[Terminal]:
    """Run gdb on a terminal, with ptlive, attached to a stub."""
    words = ["gdb", "-nx", "-q"]
    for one in ("set debuginfod enabled off", f"source {LOAD}", *settings):
        words += ["-ex", one]
    pid, descriptor = pty.fork()
    if pid == 0:
        os.environ["TERM"] = "xterm"
        os.execvp(words[0], [*words, "-ex", f"target remote {address}"])
    try:
        fcntl.ioctl(descriptor, termios.TIOCSWINSZ, struct.pack("HHHH", _ROWS, _COLUMNS, 0, 0))
        shown = Terminal(descriptor)
        shown.until(PROMPT)
        yield shown
    finally:
        # It would let the guest run when it is asked to quit.
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(descriptor)
