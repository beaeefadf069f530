"""How a line of a command goes on: options and their values from click, expressions from gdb."""

from __future__ import annotations

from typing import TYPE_CHECKING

import gdb
from click.shell_completion import ShellComplete

if TYPE_CHECKING:
    import click


def completions(name: str, command: click.Command, text: str, word: str | None) -> int | list[str]:
    """Return how `word` goes on, the last of `text`; or gdb's own code for what it completes.

    gdb ends words at more characters than blanks (readline's word breaks, among them "-"), so
    that of an option only what follows the last of these is to be returned. It asks twice, and
    the first time only to be told a code: then `word` is None.
    """
    *before, begun = text.split(" ")
    found = ShellComplete(command, {}, f"ptlive {name}", "").get_completions(
        [one for one in before if one], begun
    )
    if any(one.type in ("file", "dir") for one in found):
        return gdb.COMPLETE_FILENAME
    there = len(begun) - len(begun if word is None else word)
    if found:
        return [one.value[there:] for one in found]
    # gdb completes names of symbols, but none of registers.
    _, dollar, register = begun.rpartition("$")
    if dollar and word == register:
        return [name for name in _registers() if name.startswith(register)]
    return gdb.COMPLETE_EXPRESSION


def _registers() -> list[str]:
    try:
        return [one.name for one in gdb.selected_frame().architecture().registers()]
    except gdb.error:
        return []
