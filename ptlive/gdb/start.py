"""Makes ptlive known to the gdb that it is loaded into."""

from __future__ import annotations

from functools import partial

import gdb

from ptlive.cli import inside
from ptlive.gdb import aliases, at_stop, changes, commands, functions, watch
from ptlive.gdb.session import Session
from ptlive.paging import compiled
from ptlive.target import process


def start() -> None:
    """Register what there is, once."""
    if inside.debugger() is not None:
        return
    process.signals_are_ours = False
    # Thousands of stops come to as many entries as a library of 130 MB is worth, which would
    # then be loaded at one of them: each by itself is small.
    compiled.unload()
    session = Session()
    inside.enter(session)
    events = gdb.events
    for event in (events.cont, events.memory_changed, events.register_changed):
        event.connect(session.moved)
    # It is called without an argument.
    events.before_prompt.connect(partial(session.moved, None))
    gdb.events.connection_removed.connect(lambda event: session.forget(event.connection))
    commands.register(session)
    commands.Command("watch", watch.watch, session)
    commands.Command("changes", changes.changes, session)
    at_stop.Stops(session, (watch.WATCHES, changes.CHANGES))
    functions.register(session)
    for name, command in aliases.register().items():
        gdb.write(f"ptlive: {name} is another's here; ours is {command}\n", gdb.STDERR)
