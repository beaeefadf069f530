"""Talk to a gdb stub without gdb: one packet, one reply.

For the two moments when gdb must not or cannot be there: before it attaches (what was
the guest doing?), and after it was killed (put everything back). Standard library only.
"""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING

from ptlive.wire.packet import Decoder, Packet, PacketError, frame

if TYPE_CHECKING:
    import socket
    from types import TracebackType

_ATTEMPTS = 4

# A human monitor's answer; `info mtree` of a large machine has some ten thousand bytes.
_LONGEST_OUTPUT = 1 << 20


class RawStub:
    """A connection to a gdb stub, which stops the guest by being opened.

    Closing it leaves the guest stopped.
    """

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self._decoder = Decoder()
        self._packets: deque[Packet] = deque()
        #: Stop packets that came unasked: the guest was running when we connected.
        self.stops: list[bytes] = []

    def __enter__(self) -> RawStub:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._socket.close()

    def ask(self, payload: bytes) -> bytes:
        """Send one packet and return the reply.

        Raises PacketError when what comes is not the protocol or the peer hangs up,
        and TimeoutError when nothing comes for as long as the socket waits.
        """
        self._socket.sendall(frame(payload))
        while True:
            reply = self._next_packet()
            # No reply that is asked for here begins with T: QEMU's answers are hex
            # digits, OK, Exx, m..., l... or O...
            if not reply.startswith(b"T"):
                return reply
            self.stops.append(reply)

    def monitor(self, command: str) -> str:
        """Run a command of QEMU's human monitor (qRcmd) and return what it prints."""
        text = bytearray()
        reply = self.ask(b"qRcmd," + command.encode().hex().encode())
        while reply.startswith(b"O") and reply != b"OK":
            try:
                text += bytes.fromhex(reply[1:].decode("ascii"))
            except ValueError:
                raise PacketError("the monitor's output is not hexadecimal") from None
            if len(text) > _LONGEST_OUTPUT:
                raise PacketError("the monitor's output does not end")
            # QEMU reads no acknowledgement while it sends these, and hundreds would fill
            # the connection; it takes our next packet for one.
            reply = self._next_packet(acknowledge=False)
        return text.decode("utf-8", "replace")

    def remove_breakpoints(self) -> None:
        """Make the stub forget the breakpoints of the client before.

        QEMU does so at `?`, with which a debugger begins (gdbstub.c,
        handle_target_halt); the reply tells why the guest has stopped.
        """
        self._socket.sendall(frame(b"?"))
        self._next_packet()

    def _next_packet(self, *, acknowledge: bool = True) -> bytes:
        # The socket's own time-out would let a peer go on for ever, a byte at a time.
        deadline = time.monotonic() + (self._socket.gettimeout() or 0)
        for _ in range(_ATTEMPTS):
            while not self._packets:
                if time.monotonic() > deadline:
                    raise TimeoutError
                self._receive()
            packet = self._packets.popleft()
            if not packet.intact:
                self._socket.sendall(b"-")
                continue
            if acknowledge:
                self._socket.sendall(b"+")
            return packet.payload
        raise PacketError("every packet arrives damaged")

    def _receive(self) -> None:
        try:
            data = self._socket.recv(1 << 16)
        except ConnectionError as error:
            raise PacketError(f"the connection broke ({error.strerror})") from None
        if not data:
            raise PacketError("the connection was closed")
        # A `-` would ask for our packet again; on a local stream nothing is damaged,
        # and a stub that never answers ends in the time-out.
        self._packets.extend(
            event for event in self._decoder.feed(data) if isinstance(event, Packet)
        )
