"""Makes ptlive known to the gdb that it is loaded into."""

from __future__ import annotations

from ptlive.cli import inside
from ptlive.gdb import commands
from ptlive.gdb.session import Session
from ptlive.target import process


def start() -> None:
    """Register what there is, once."""
    if inside.debugger() is not None:
        return
    process.signals_are_ours = False
    inside.enter(Session())
    commands.register()
