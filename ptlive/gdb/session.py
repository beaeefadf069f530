"""gdb as `ptlive.cli.inside` knows it: whose guest it is, and what its expressions mean."""

from __future__ import annotations

import re
import signal
from collections import deque
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import gdb

from ptlive.answers.spaces import cpu_of
from ptlive.cli.options import LAST
from ptlive.errors import PtliveError
from ptlive.gdb.link import NO_GUEST, GdbLink, selected_vcpu
from ptlive.space import open_space
from ptlive.target import running
from ptlive.target.guard import Watch
from ptlive.target.in_debugger import DebuggedGuest
from ptlive.wire.inside_stub import InsideStub
from ptlive.wire.own_socket import far_end

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ptlive.space import AddressSpace
    from ptlive.target.attach import Target
    from ptlive.target.running import Guest
    from ptlive.target.sources import Source
    from ptlive.wire.qmp import Qmp

# printcmd.c, info_symbol_command: "main + 4 in section .text of /path".
_SYMBOL = re.compile(r"(?P<name>\S+)(?: \+ (?P<behind>\d+))? in section ")


@dataclass(frozen=True)
class _Held:
    """One connection of gdb, and what we keep as long as it lasts."""

    connection: gdb.RemoteTargetConnection
    stub: InsideStub
    guest: DebuggedGuest
    watch: Watch | None

    @classmethod
    def take(cls, connection: gdb.RemoteTargetConnection) -> _Held:
        """Ask at the connection what does not change."""
        details = connection.details or ""
        end = far_end(details)
        watch = Watch(end.address) if end else None
        stub = InsideStub(GdbLink(connection, watch))
        pid = end.pid if end else None
        guest = next((one for one in running.guests() if one.pid == pid), None)
        # Of a connection through a program we do not see the end, and nobody can guard it.
        send = watch.send if watch else lambda _line: None
        return cls(connection, stub, DebuggedGuest(stub, details, pid, guest, send), watch)


class Session:
    """Implements `ptlive.cli.inside.Debugger`."""

    def __init__(self) -> None:
        self._held: _Held | None = None
        self._moment = 0
        self._happened: deque[object] = deque(maxlen=1)
        # To be called when the guest may have changed: it ran, or the user was at the prompt. By C
        # alone: of a function in Python gdb would print the Ctrl-C that comes in it.
        self.moved = self._happened.append

    @property
    def name(self) -> str:
        """See `Debugger.name`."""
        return self._now().connection.details or "gdb's guest"

    def guest(self) -> Guest | None:
        """See `Debugger.guest`."""
        return self._now().guest.running

    def holds(self, name: str) -> bool:
        """See `Debugger.holds`."""
        with suppress(PtliveError):  # it has none at all
            guest = self.guest()
            return guest is not None and guest.name == name
        return False

    @contextmanager
    def hold(self, qmp: Qmp | None = None, *, known_map: bool = False) -> Iterator[Target]:
        """See `Debugger.hold`; known_map: do not ask for the memory map, by a command of gdb."""
        with self._now().guest.hold(qmp, known_map=known_map) as target:
            yield target

    def choose(self, target: Target, wanted: str) -> Source:
        """See `Debugger.choose`."""
        return self._now().guest.choose(target, wanted)

    @contextmanager
    def space(self, root: int | None = None) -> Iterator[AddressSpace]:
        """Look at an address space as the selected vCPU sees it, for a `with` block.

        Cheaper than `hold`: while nothing has happened that gdb knows of, only that vCPU's
        registers are asked for again.
        """
        vcpu = selected_vcpu()
        if self._happened:
            self._happened.clear()
            self._moment += 1
        with self._now().guest.look(vcpu, self._moment) as target:
            cpu = cpu_of(target, vcpu)
            yield open_space(cpu, target.memory, target.ram_map, root=root)

    def evaluate(self, expression: str) -> int:
        """See `Debugger.evaluate`."""
        try:
            return number(gdb.parse_and_eval(expression))
        except gdb.error as error:
            # Of a register gdb says something else with each state that it may be in.
            why = NO_GUEST if "$" in expression and gdb.selected_thread() is None else str(error)
            raise PtliveError(why) from None

    def name_of(self, va: int) -> str | None:
        """See `Debugger.name_of`; of the files that gdb has loaded, wherever it moved them."""
        if not gdb.objfiles():
            return None
        found = _SYMBOL.match(gdb.execute(f"info symbol {va:#x}", to_string=True))
        if found is None:
            return None
        behind = int(found["behind"] or 0)
        return f"{found['name']}+{behind:#x}" if behind else found["name"]

    def vcpu(self) -> int:
        """See `Debugger.vcpu`."""
        return 1 if gdb.selected_thread() is None else selected_vcpu()

    def leave(self) -> None:
        """Leave gdb as it was found, whatever was interrupted."""
        try:
            if self._held is not None and self._held.connection.is_valid():
                self._held.stub.leave()
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGINT,))

    def forget(self, connection: gdb.TargetConnection) -> None:
        """Forget a connection that ends."""
        if self._held is not None and self._held.connection is connection:
            if self._held.watch is not None:
                self._held.watch.close()
            self._held = None

    def _now(self) -> _Held:
        """Return the guest that is selected in gdb. Raises PtliveError if there is none."""
        connection = _connection()
        if self._held is None or self._held.connection is not connection:
            self._held = _Held.take(connection)
        return self._held


def number(value: gdb.Value) -> int:
    """Return a value as a number of 64 bits; a function or an array is its address, as in C.

    Raises gdb.error for what is none.
    """
    kind = value.type.strip_typedefs().code
    if kind in (gdb.TYPE_CODE_FUNC, gdb.TYPE_CODE_ARRAY) and value.address is not None:
        value = value.address
    try:
        return int(value) & LAST
    except (TypeError, ValueError, gdb.error):
        raise gdb.error(f"a value of the type {value.type} is no address") from None


def _connection() -> gdb.RemoteTargetConnection:
    connection = gdb.selected_inferior().connection
    if not isinstance(connection, gdb.RemoteTargetConnection) or gdb.selected_thread() is None:
        raise PtliveError(NO_GUEST)
    try:
        # In a condition of a breakpoint gdb says of a thread that it runs, and yet has its
        # registers.
        gdb.newest_frame()
    except gdb.error as error:
        if gdb.selected_thread() is None:  # QEMU has ended, which gdb learns by asking
            raise PtliveError(f"gdb has lost its guest: {error}") from None
        raise PtliveError("the guest runs: stop it first (Ctrl-C, or interrupt)") from None
    return connection
