"""One connection to QEMU's stub for two: a debugger, which is the master, and ptlive beside it.

QEMU serves one client, and the protocol has no word for a second. What makes sharing sound:

- An exchange (a packet and its reply, all until a stop, a listing of threads) is never
  interleaved with another's. What a client has set for its later packets (thread,
  `PhyMemMode`, step flags, the monitor's CPU) is kept for each, and set before its turn.
- From ptlive's first packet to its end the guest stands still for it: what would change
  the guest or let it run waits. If ptlive has changed something (it steps, and puts back),
  everything of the debugger waits, which would see it otherwise. After `PATIENCE` seconds
  ptlive is cut off; its guard process comes back and restores, and is waited for. Before
  the debugger gives up it is told to try again, so that no reply comes too late.
- ptlive may read, write, and step one vCPU. What it could not take back is refused: to let
  the guest run, to set breakpoints. To QEMU `?` means that all breakpoints go
  (gdbstub.c, handle_target_halt); of ptlive it is answered here, and says that it has put
  everything back. While the guest runs under the debugger, ptlive is refused.
- QEMU is held as long as there is a client. So the guest of a debugger that goes is as if
  there had been no proxy, and ptlive alone finds, holds and leaves the guest as directly.

Should this process be killed, the debugger is as one that was killed, and ptlive's guard goes
to QEMU itself: it has asked where that is (`qptlive.proxy`).
"""

from __future__ import annotations

import selectors
from contextlib import suppress
from typing import TYPE_CHECKING

from ptlive.wire.proxy_packets import INTERRUPT
from ptlive.wire.proxy_peers import Client
from ptlive.wire.proxy_settings import Settings
from ptlive.wire.proxy_turns import Turns

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from ptlive.wire.proxy_peers import Peer

    Act = Callable[[int], object]


class Proxy:
    """Serves one debugger at a listening socket and one ptlive after the other at another.

    address: of QEMU's stub, which is connected to when a client comes. tell: gets a
    sentence now and then.
    """

    def __init__(
        self,
        address: str,
        debuggers: socket.socket,
        ptlives: socket.socket,
        tell: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._debuggers, self._ptlives = debuggers, ptlives
        for listener in (debuggers, ptlives):
            listener.setblocking(False)
        self._turns = Turns(address, self._accept_ptlive, tell)
        self._selector = selectors.DefaultSelector()
        self._watched: dict[socket.socket, int] = {}

    def serve(self) -> None:
        """Serve until an exception comes, such as KeyboardInterrupt."""
        while True:
            self._turns.tend()
            self._watch()
            for key, mask in self._selector.select(self._turns.timeout()):
                key.data(mask)

    def close(self) -> None:
        """Hang up everywhere."""
        turns = self._turns
        for peer in (turns.ptlive, turns.debugger, turns.up):
            if peer is not None:
                peer.close()
        self._selector.close()

    def _accept_debugger(self, _mask: int) -> None:
        connection = _accept(self._debuggers)
        if connection is not None:
            self._turns.debugger_arrives(Client(connection, Settings(), acks=True))

    def _accept_ptlive(self, _mask: int = 0) -> bool:
        connection = _accept(self._ptlives)
        if connection is not None:
            self._turns.ptlive_arrives(Client(connection, Settings(), acks=False))
        return connection is not None

    def _hear_debugger(self, mask: int) -> None:
        assert self._turns.debugger is not None
        _hear(self._turns.debugger, mask, self._turns.debugger_interrupts)

    def _hear_ptlive(self, mask: int) -> None:
        assert self._turns.ptlive is not None
        _hear(self._turns.ptlive, mask, self._turns.ptlive_interrupts)

    def _hear_qemu(self, mask: int) -> None:
        assert self._turns.up is not None
        if mask & selectors.EVENT_WRITE:
            self._turns.up.flush()
        if mask & selectors.EVENT_READ:
            self._turns.up.pump()

    def _watch(self) -> None:
        """Tell the selector what is of interest now."""
        wanted: dict[socket.socket, tuple[int, Act]] = {}
        turns = self._turns

        def want(peer: Peer, act: Act, *, reads: bool) -> None:
            mask = selectors.EVENT_READ * reads | selectors.EVENT_WRITE * bool(peer.unsent)
            if mask:
                wanted[peer.socket] = mask, act

        if turns.debugger is None:
            wanted[self._debuggers] = selectors.EVENT_READ, self._accept_debugger
        else:
            want(turns.debugger, self._hear_debugger, reads=turns.debugger.wants_more)
        if turns.ptlive is None:
            wanted[self._ptlives] = selectors.EVENT_READ, self._accept_ptlive
        else:
            want(turns.ptlive, self._hear_ptlive, reads=turns.ptlive.wants_more)
        if turns.up is not None:
            want(turns.up, self._hear_qemu, reads=not turns.up.held_up)
        # First those that are closed: the kernel gives their numbers out again.
        for one in [one for one in self._watched if one not in wanted]:
            self._selector.unregister(one)
            del self._watched[one]
        for one, (mask, act) in wanted.items():
            if one not in self._watched:
                self._selector.register(one, mask, act)
            elif self._watched[one] != mask:
                self._selector.modify(one, mask, act)
            self._watched[one] = mask


def _accept(listener: socket.socket) -> socket.socket | None:
    with suppress(OSError):
        return listener.accept()[0]
    return None


def _hear(client: Client, mask: int, interrupt: Callable[[], None]) -> None:
    """Take what a client sends, and send it what is kept for it."""
    if mask & selectors.EVENT_WRITE:
        client.flush()
    if mask & selectors.EVENT_READ:
        for body in client.requests():
            if body == INTERRUPT:
                interrupt()
            else:
                client.take(body)
