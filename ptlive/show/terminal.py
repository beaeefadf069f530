"""The terminal: colours only where there is one, and nothing unescaped from a guest."""

from __future__ import annotations

import errno
import functools
import os
from itertools import islice
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

# So many lines are written at once.
_BLOCK = 4096


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
    """Yield the header and the rows in aligned columns; see `aligned`."""
    cells = zip(header, *rows, strict=True)
    return aligned(header, [column[1:] for column in cells], right)


def aligned(
    header: Sequence[str], table: Sequence[Sequence[str]], right: str = ""
) -> Iterator[str]:
    """Yield the header and the rows of a table that is given by columns.

    right: one character for each column, ">" where it is aligned to the right.
    Much faster than a table that measures each cell's width on the terminal:
    a map may have a million rows, and all of its cells are ASCII.
    """
    cells = list(zip(header, table, strict=True))
    widths = [max(len(name), max(map(len, column), default=0)) for name, column in cells]
    line = "  ".join(
        f"%{'' if side == '>' else '-'}{width}s"
        for side, width in zip(right.ljust(len(widths)), widths, strict=True)
    )
    yield (line % tuple(header)).rstrip()
    for row in zip(*table, strict=True):
        yield (line % row).rstrip()


def print_lines(lines: Iterable[str]) -> None:
    """Print lines as they come, the first as a heading."""
    rest = iter(lines)
    stdout().print(heading(next(rest)))
    write_lines(rest)


def print_blocks(blocks: Iterable[str]) -> None:
    """Print text of many lines as it comes, the first line as a heading."""
    rest = iter(blocks)
    stdout().print(heading(next(rest).rstrip()))
    for block in rest:
        stdout().file.write(block)


def write_lines(lines: Iterable[str]) -> None:
    """Write many lines of plain text to standard output, as they come."""
    rest = iter(lines)
    while block := list(islice(rest, _BLOCK)):
        # Rich looks at each character of what it prints.
        stdout().file.write("\n".join([*block, ""]))
