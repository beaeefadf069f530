"""What a command prints, through gdb: its pager, `pipe`, `set logging` and `to_string` see it."""

from __future__ import annotations

import io
import os
import sys
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from typing import TYPE_CHECKING

import gdb

from ptlive.show import terminal

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_STDOUT, _STDERR = 1, 2
# As `ptlive.cli.tell` begins each line.
_NAME = "ptlive: "


class _Stream(io.TextIOBase):
    """One of gdb's streams, as a file."""

    encoding = "utf-8"

    def __init__(self, stream: int) -> None:
        self._stream = stream
        self.styled = False

    def write(self, text: str) -> int:
        """Write text; raises KeyboardInterrupt when the user has had enough of it."""
        try:
            gdb.write(text, self._stream)
        except UnicodeEncodeError:  # the host's character set has less
            gdb.write(text.encode("ascii", "backslashreplace").decode(), self._stream)
        return len(text)

    def flush(self) -> None:
        """Have gdb write what it holds back."""
        gdb.flush(self._stream)

    def isatty(self) -> bool:
        """Tell whether a terminal shows it, and the user wants it styled."""
        return self.styled


class _Told(_Stream):
    """Standard error, whose last line is held back: it may say why the command fails.

    aside: do not write to gdb's stream, which with `to_string` is one with the output
    """

    def __init__(self) -> None:
        super().__init__(gdb.STDERR)
        self.aside = False
        self._held = ""

    def write(self, text: str) -> int:
        """Hold the last line back, and write those before it."""
        self._held += text
        cut = self._held.rstrip("\n").rfind("\n") + 1
        before, self._held = self._held[:cut], self._held[cut:]
        self._write(before)
        return len(text)

    def release(self) -> None:
        """Write what is held back."""
        held, self._held = self._held, ""
        self._write(held)

    def take(self) -> str:
        """Return the line that is held back, which is then not written."""
        held, self._held = self._held.strip(), ""
        return held.removeprefix(_NAME)

    def _write(self, text: str) -> None:
        if text and self.aside:
            os.write(_STDERR, text.encode())
        elif text:
            super().write(text)


class _Out(_Stream):
    """Standard output; what was told before comes before."""

    def write(self, text: str) -> int:
        """See `_Stream.write`."""
        _TOLD.release()
        return super().write(text)


# The same for all commands: click keeps whatever it has once written to.
_TOLD, _OUT = _Told(), _Out(gdb.STDOUT)


@contextmanager
def output(words: Sequence[str], from_tty: bool) -> Iterator[_Told]:
    """Have all that a command prints go through gdb, for a `with` block.

    It finds its input empty: the terminal is gdb's.
    """
    _TOLD.styled = _OUT.styled = from_tty and on_terminal()
    _TOLD.aside = "--json" in words
    # What rich knows of the terminal it asks once.
    for console in (terminal.stdout, terminal.stderr):
        console.cache_clear()
    before, sys.stdin = sys.stdin, io.StringIO()
    try:
        with redirect_stdout(_OUT), redirect_stderr(_TOLD):
            yield _TOLD
    finally:
        sys.stdin = before
        _TOLD.release()
        for console in (terminal.stdout, terminal.stderr):
            console.cache_clear()


def on_terminal() -> bool:
    """Tell whether what a command writes that was typed comes to a terminal, with styles.

    gdb does not tell. Its width is unlimited for a command in `pipe`; but also where the user
    has set that, and then the line that was typed tells.
    """
    if not gdb.parameter("style enabled") or not os.isatty(_STDOUT):
        return False
    if os.environ.get("TERM", "dumb") == "dumb" or "NO_COLOR" in os.environ:
        return False
    if gdb.parameter("width") is not None:
        return True
    typed = gdb.execute("show commands", to_string=True).rstrip("\n").rpartition("\n")[2].split()
    return len(typed) > 1 and not (typed[1].startswith("|") or "pipe".startswith(typed[1]))


def width() -> int:
    """Return how wide help may be."""
    found = gdb.parameter("width")
    return found if isinstance(found, int) else 80
