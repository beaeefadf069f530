"""gdb's connection, as `ptlive.wire.inside_stub` uses it."""

from __future__ import annotations

import signal
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import gdb

from ptlive.errors import PtliveError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ptlive.target.guard import Watch

#: What is said wherever there is none.
NO_GUEST = "gdb is attached to no guest (target remote HOST:PORT)"
# Not canonical with any number of levels, so that nothing is there.
_NOWHERE = 1 << 63
_SIGINT = (signal.SIGINT,)


class GdbLink:
    """Implements `ptlive.wire.inside_stub.Link` over one of gdb's connections."""

    def __init__(self, connection: gdb.RemoteTargetConnection, watch: Watch | None) -> None:
        self.connection = connection
        self._watch = watch

    def send(self, packet: bytes) -> bytes:
        """See `Link.send`."""
        try:
            # py-connection.c: an empty reply, which says "not supported", is None.
            return self.connection.send_packet(packet) or b""
        except gdb.error as error:
            raise PtliveError(f"gdb does not get an answer from QEMU: {error}") from None

    def monitor(self, command: str) -> str:
        """See `Link.monitor`."""
        try:
            return gdb.execute(f"monitor {command}", to_string=True)
        except gdb.error as error:
            raise PtliveError(f"QEMU's monitor does not answer: {error}") from None

    def settle(self) -> int:
        """See `Link.settle`; gdb selects its thread before it reads memory.

        remote.c, remote_target::xfer_partial: set_general_thread (inferior_ptid).
        """
        with suppress(gdb.MemoryError):
            gdb.selected_inferior().read_memory(_NOWHERE, 1)
        return selected_vcpu()

    @contextmanager
    def calm(self) -> Iterator[None]:
        """See `Link.calm`.

        gdb notes a Ctrl-C that comes during a packet (remote.c, got_ctrlc_during_io), and
        Python raises KeyboardInterrupt behind it. While the signal is blocked it waits.
        """
        if signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, ()):
            yield
            return
        try:
            signal.pthread_sigmask(signal.SIG_BLOCK, _SIGINT)
            yield
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGINT)

    def announce(self, mode: int | None) -> None:
        """See `Link.announce`."""
        if self._watch is not None:
            self._watch.announce(mode)

    def forget(self) -> None:
        """See `Link.forget`; the user's selected frame stays."""
        level = _frame_level()
        for what in ("register-cache", "dcache"):
            gdb.execute(f"maint flush {what}", to_string=True)
        if level:
            with suppress(gdb.error):
                gdb.execute(f"frame level {level}", to_string=True)


def selected_vcpu() -> int:
    """Return the vCPU of gdb's selected thread. Raises PtliveError if there is none."""
    thread = gdb.selected_thread()
    if thread is None:
        raise PtliveError(NO_GUEST)
    # (process, thread of the stub, 0): QEMU's threads are the vCPUs, from 1.
    return thread.ptid[1]


def _frame_level() -> int:
    try:
        return gdb.selected_frame().level()
    except gdb.error:
        return 0
