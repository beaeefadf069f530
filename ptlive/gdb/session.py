"""gdb as `ptlive.cli.inside` knows it: whose guest it is, and what its expressions mean."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import gdb

from ptlive.cli.options import LAST
from ptlive.errors import PtliveError
from ptlive.gdb.link import GdbLink, selected_vcpu
from ptlive.target import running
from ptlive.target.guard import Watch
from ptlive.target.in_debugger import DebuggedGuest
from ptlive.wire.inside_stub import InsideStub
from ptlive.wire.own_socket import far_end

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ptlive.target.attach import Target
    from ptlive.target.running import Guest
    from ptlive.target.sources import Source
    from ptlive.wire.qmp import Qmp


class Session:
    """Implements `ptlive.cli.inside.Debugger`."""

    def __init__(self) -> None:
        self._connection: gdb.RemoteTargetConnection | None = None
        self._held: DebuggedGuest | None = None
        self._pid: int | None = None

    @property
    def name(self) -> str:
        """See `Debugger.name`."""
        return self._connected().details or "gdb's guest"

    def guest(self) -> Guest | None:
        """See `Debugger.guest`."""
        self._debugged()
        return next((one for one in running.guests() if one.pid == self._pid), None)

    @contextmanager
    def hold(self, qmp: Qmp | None = None) -> Iterator[Target]:
        """See `Debugger.hold`."""
        with self._debugged().hold(qmp) as target:
            yield target

    def choose(self, target: Target, wanted: str, guest: Guest | None) -> Source:
        """See `Debugger.choose`."""
        return self._debugged().choose(target, wanted, guest)

    def evaluate(self, expression: str) -> int:
        """See `Debugger.evaluate`; a function or an array is its address, as in C."""
        try:
            value = gdb.parse_and_eval(expression)
            kind = value.type.strip_typedefs().code
            if kind in (gdb.TYPE_CODE_FUNC, gdb.TYPE_CODE_ARRAY) and value.address is not None:
                value = value.address
            return int(value) & LAST
        except (gdb.error, ValueError, TypeError) as error:
            raise PtliveError(str(error)) from None

    def vcpu(self) -> int:
        """See `Debugger.vcpu`."""
        return 1 if gdb.selected_thread() is None else selected_vcpu()

    def _debugged(self) -> DebuggedGuest:
        """Return the guest that is selected in gdb. Raises PtliveError if there is none."""
        connection = self._connected()
        if connection is not self._connection or self._held is None:
            self._held = None
            details = connection.details or ""
            end = far_end(details)
            self._pid = end.pid if end else None
            watch = Watch(end.address) if end else None
            stub = InsideStub(GdbLink(connection, watch))
            send = watch.send if watch else _unguarded
            self._held = DebuggedGuest(stub, details, self._pid, send)
            self._connection = connection
        return self._held

    def _connected(self) -> gdb.RemoteTargetConnection:
        connection = gdb.selected_inferior().connection
        thread = gdb.selected_thread()
        if thread is None or not isinstance(connection, gdb.RemoteTargetConnection):
            raise PtliveError("gdb is attached to no guest (target remote HOST:PORT)")
        if thread.is_running():
            raise PtliveError("the guest runs: stop it first (Ctrl-C, or interrupt)")
        return connection


def _unguarded(_line: str) -> None:
    """Hand a line of the journal to nobody: of a connection through a program we see no end."""
