"""The terminal: nothing of a guest's steers it, and a pipe sees plain text."""

from __future__ import annotations

import io
import os
import pty
import subprocess
import sys

import pytest

from ptlive.show import terminal
from ptlive.show.terminal import columns, plain

HOSTILE = [
    "\x1b[2J\x1b[H",  # clears the screen
    "\x1b]0;title\x07",
    "\x9b31m",  # CSI as one byte of C1
    "a\rb",
    "a\nb",
    "a\bb",
    "\x00",
    "\x7f",
    "\u202egnirts",  # written from right to left from here on
    "\u2028",
    "\ud800",  # half a character
    "[bold red]markup[/]",
    ":smile:",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_nothing_but_printable_text_passes(text: str) -> None:
    assert all(c.isprintable() for c in plain(text))
    plain(text).encode("utf-8")


def test_what_is_printable_stays_as_it_is() -> None:
    for text in ("PTE at 0x1000", "äöü ß 日本", "", "a\\b"):
        assert plain(text) == text
    assert plain("\x1b[31m") == "\\x1b[31m"


def test_columns_are_aligned_and_end_with_no_space() -> None:
    rows = [("a", "1", "x"), ("bbb", "22", "")]
    assert list(columns(("name", "n", "last"), rows, " >")) == [
        "name   n  last",
        "a      1  x",
        "bbb   22",
    ]


def test_columns_need_all_cells_of_a_row() -> None:
    with pytest.raises(ValueError, match="zip"):
        list(columns(("a", "b"), [("1",)]))


def test_only_a_header_is_a_line_too() -> None:
    assert list(columns(("a", "bb"), [])) == ["a  bb"]


PROGRAM = """
import sys
from ptlive.show.terminal import heading, print_lines, stdout, verdict
stdout().print(heading("heading [bold]x[/] :smile: 0x1234"))
stdout().print(verdict("bad", good=False))
print_lines(["first", "x" * 300])
"""
PLAIN = "heading [bold]x[/] :smile: 0x1234\nbad\nfirst\n" + "x" * 300 + "\n"


def test_a_pipe_gets_plain_and_whole_lines() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True
    )
    assert done.stdout == PLAIN


def on_a_terminal(**environment: str) -> str:
    """Run the program with its output on a terminal; return what it wrote there."""
    ours, theirs = pty.openpty()
    inherited = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "FORCE_COLOR")}
    with os.fdopen(theirs, "wb", buffering=0) as output:
        subprocess.run(
            [sys.executable, "-c", PROGRAM],
            stdout=output,
            check=True,
            env={**inherited, "TERM": "xterm-256color", **environment},
        )
    data = b""
    with os.fdopen(ours, "rb", buffering=0) as terminal_end:
        try:
            while piece := terminal_end.read(4096):
                data += piece
        except OSError:  # the other end is closed (Linux: EIO)
            pass
    return data.decode().replace("\r\n", "\n")


def test_a_terminal_gets_colours() -> None:
    said = on_a_terminal()
    assert "\x1b[1;31mbad" in said
    assert "\x1b[1mfirst" in said
    assert "[bold]x[/] :smile:" in said


def test_no_color_is_respected() -> None:
    said = on_a_terminal(NO_COLOR="1")
    assert "\x1b[1;31m" not in said
    assert "31m" not in said
    assert "32m" not in said


def test_a_dumb_terminal_gets_no_escape_sequence() -> None:
    assert on_a_terminal(TERM="dumb") == PLAIN


def test_a_reader_who_went_away_is_an_error_of_the_caller() -> None:
    class Closed(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    console = terminal._console(stderr=False)
    console.file = Closed()
    with pytest.raises(BrokenPipeError):
        console.print("x")
