"""The terminal: colours only where there is one, and nothing unescaped from a guest."""

from __future__ import annotations

import errno
import functools
import os
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence


@functools.cache
def stdout() -> Console:
    """Return the console for results."""
    return _console(stderr=False)


@functools.cache
def stderr() -> Console:
    """Return the console for everything that is not a result."""
    return _console(stderr=True)


class _Console(Console):
    """A console that leaves it to the caller what a reader who went away means."""

    def on_broken_pipe(self) -> None:
        """Go on with the error; rich itself would exit with status 1."""
        raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))


def _console(*, stderr: bool) -> Console:
    # Soft wrap: a line is cut by the terminal, if at all, so that pipes see it whole.
    return _Console(stderr=stderr, soft_wrap=True, markup=False, highlight=False, emoji=False)


def plain(text: str) -> str:
    """Escape whatever is not printable: a guest's text must not steer the terminal."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def heading(text: str) -> Text:
    """Return a line that stands above others."""
    return Text(text, style="bold")


def verdict(text: str, good: bool | None) -> Text:
    """Return a text coloured by whether it is good, bad, or neither (None)."""
    return Text(text, style={True: "green", False: "bold red", None: "yellow"}[good])


def columns(header: Sequence[str], rows: Sequence[Sequence[str]], right: str = "") -> Iterator[str]:
    """Yield the header and the rows in aligned columns.

    right: one character for each column, ">" where it is aligned to the right.
    Much faster than a table that measures each cell's width on the terminal:
    a map may have a hundred thousand rows, and all of its cells are ASCII.
    """
    widths = [max(map(len, cells)) for cells in zip(header, *rows, strict=True)]
    right = right.ljust(len(widths))
    fields = [
        f"{{:{'>' if side == '>' else '<'}{width}}}"
        for side, width in zip(right, widths, strict=True)
    ]
    line = "  ".join(fields)
    for cells in (header, *rows):
        yield line.format(*cells).rstrip()


def print_lines(lines: Iterable[str]) -> None:
    """Print many lines at once, the first as a heading."""
    first, *rest = lines
    stdout().print(heading(first))
    if rest:
        stdout().out("\n".join(rest), highlight=False)
