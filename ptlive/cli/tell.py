"""What the user is told beside the results, on stderr."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from ptlive.show.terminal import plain

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ptlive.cli.torn import Changes


def tell(line: str) -> None:
    """Tell one line."""
    # Whatever serves the stub chose the words of some of this.
    click.echo(f"ptlive: {plain(line)}", err=True)


def tell_notes(notes: Iterable[tuple[str, str]]) -> None:
    """Tell what the reader must know of the results; notes: (code, text), as JSON has them."""
    for _, text in notes:
        tell(f"note: {text}")


def tell_changes(changes: Changes) -> None:
    """Tell what changed in a guest that runs."""
    tell_notes(changes.notes)
    for line in changes.lines():
        tell(line)
