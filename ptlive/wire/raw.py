"""Talk to a gdb stub without gdb: packets out, replies in.

One connection class for all who do: the first conversation (`preflight`), the guard that
puts everything back, and `PacketStub`. Standard library only, and little of it.

No acknowledgement is sent: QEMU takes our next packet for one (gdbstub.c, gdb_read_byte),
so many can be in flight. The socket blocks, and the kernel wakes us every _TICK seconds.
"""

from __future__ import annotations

import re
import socket
import struct
import time
from collections import deque
from typing import TYPE_CHECKING

from ptlive.wire.packet import Decoder, Packet, PacketError, frame

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import TracebackType

_ATTEMPTS = 4
_TICK = 0.05
_PATIENCE = 5.0

# A human monitor's answer; `info mtree` of a large machine has some ten thousand bytes.
_LONGEST_OUTPUT = 1 << 20
# Stop packets in a row. There is one for each time that the guest ran.
_MOST_STOPS = 64

# Bytes of requests that are sent before their replies are read: the kernel always takes
# so much at once, even from a QEMU that reads nothing because it is writing to us. So a
# packet is never sent in part, whatever interrupts us.
IN_FLIGHT = 1 << 13

_INTERRUPT = b"\x03"
# QEMU goes on in the middle of a packet where the client before, if it was killed, had
# sent more than QEMU had read (gdbstub.c, gdb_chr_event resets nothing). This ends such a
# packet wherever it is, with a checksum that is most likely wrong (00 would be right for an
# empty one); else it is ignored.
_END_OF_PACKET = b"#01#01"
# The reply to `settle`'s question for so many bytes of the target's description.
_MARKS = range(5, 37)


class ConnectionGoneError(PacketError):
    """The stub's end of the connection was closed."""


class RawStub:
    """A connection to a gdb stub, which stops the guest by being opened.

    Closing it leaves the guest stopped. `patience` is how many seconds one reply may
    take; None takes the socket's own time-out. Every method raises PacketError when what
    comes is not the protocol or the peer hangs up, and TimeoutError when nothing comes.

    An exchange that is interrupted (KeyboardInterrupt) leaves `busy` set; the next one
    then begins by passing over what is still to come.
    """

    def __init__(self, connection: socket.socket, patience: float | None = None) -> None:
        self._patience = patience or connection.gettimeout() or _PATIENCE
        self._socket = connection
        connection.setblocking(True)
        for option, seconds in (
            (socket.SO_RCVTIMEO, _TICK),
            (socket.SO_SNDTIMEO, self._patience),
        ):
            whole = int(seconds)
            moment = struct.pack("ll", whole, int((seconds - whole) * 1e6))
            connection.setsockopt(socket.SOL_SOCKET, option, moment)
        self._decoder = Decoder()
        self._packets: deque[Packet] = deque()
        self._mark = 0
        self.exchanges = 0
        """How many exchanges have begun."""
        self.busy = False
        """Whether an exchange has not come to its end; set it to pass over what still comes."""
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
        self.close()

    def close(self) -> None:
        """Hang up; the guest stays as it is."""
        self._socket.close()

    def ask(self, payload: bytes) -> bytes:
        """Send one packet and return the reply."""
        return self.ask_all([payload])[0]

    def ask_all(self, payloads: Sequence[bytes]) -> list[bytes]:
        """Send packets, many in flight; return the reply to each."""
        return [reply for reply, _ in self._replies(payloads)]

    def monitor(self, command: str) -> str:
        """Run a command of QEMU's human monitor (qRcmd) and return what it prints."""
        return self.monitor_all([command])[0]

    def monitor_all(self, commands: Sequence[str]) -> list[str]:
        """Run commands of the human monitor, many in flight; return what each prints."""
        packets = [b"qRcmd," + command.encode().hex().encode() for command in commands]
        return [output.decode("utf-8", "replace") for _, output in self._replies(packets)]

    def remove_breakpoints(self) -> None:
        """Make the stub forget the breakpoints of the client before.

        QEMU does so at `?`, with which a debugger begins (gdbstub.c,
        handle_target_halt); the reply tells why the guest has stopped.
        """
        self.start([b"?"])
        self.await_stop(self._patience)

    def detach(self) -> None:
        """Let go of the guest, which runs from then on.

        Once any client has said `multiprocess+`, QEMU wants the process named
        (gdbstub.c, handle_detach); before 4.0 it knows no processes.
        """
        if self.ask(b"D;1") != b"OK":
            self.ask(b"D")

    def start(self, payloads: Sequence[bytes]) -> list[bytes]:
        """Send packets of which the last lets the guest run; return the others' replies.

        Nothing but `interrupt` may be sent until `await_stop` has returned the stop.
        """
        self.begin()
        self.send(b"".join(map(frame, payloads)))
        return [self.next_reply()[0] for _ in payloads[1:]]

    def await_stop(self, patience: float) -> bytes | None:
        """Return the packet that tells why the guest has stopped; None if none comes in time."""
        try:
            stop = self._next_packet(patience)
        except TimeoutError:
            return None
        self.busy = False
        return stop

    def interrupt(self) -> None:
        """Stop a running guest; a stopped one does not notice."""
        self.send(_INTERRUPT)

    def end_old_packet(self) -> None:
        """End the packet in whose middle the client before may have been killed."""
        self.send(_END_OF_PACKET)

    def begin(self) -> None:
        """Begin an exchange; if one was interrupted, first pass over what is left of it."""
        if self.busy:
            self._settle()
        self.exchanges += 1
        self.busy = True

    def send(self, data: bytes) -> None:
        """Send bytes, at most IN_FLIGHT whose replies have not been read."""
        try:
            self._socket.sendall(data)
        except BlockingIOError:
            raise TimeoutError from None
        except ConnectionError as error:
            raise ConnectionGoneError(f"the connection broke ({error.strerror})") from None

    def receive_into(self, view: memoryview) -> int:
        """Fill `view`; return how much came of it within a moment, perhaps nothing."""
        try:
            # The kernel wakes us once, and not for each reply.
            size = self._socket.recv_into(view, 0, socket.MSG_WAITALL)
        except BlockingIOError:
            return 0
        except ConnectionError as error:
            raise ConnectionGoneError(f"the connection broke ({error.strerror})") from None
        if size == 0:
            raise ConnectionGoneError("the connection was closed")
        return size

    def feed(self, data: bytes) -> None:
        """Decode bytes that were received for something else."""
        # A `-` would ask for our packet again; on a local stream nothing is damaged,
        # and a stub that never answers ends in the time-out.
        self._packets.extend(
            event for event in self._decoder.feed(data) if isinstance(event, Packet)
        )

    def next_reply(self, *, alone: bool = False) -> tuple[bytes, bytes]:
        """Return the next reply, and the monitor's output that came before it.

        alone: no other packet is in flight, so that a damaged reply can be asked for again.
        """
        output = bytearray()
        stops = 0
        while True:
            reply = self._next_packet(self._patience, alone=alone)
            # No reply that is asked for here begins with T: QEMU's answers are hex
            # digits, OK, Exx, m..., l... or O...
            if reply.startswith(b"T"):
                stops += 1
                if stops > _MOST_STOPS:
                    raise PacketError("the guest stops again and again")
                self.stops.append(reply)
            elif not reply.startswith(b"O") or reply == b"OK":
                return reply, bytes(output)
            else:
                try:
                    output += bytes.fromhex(reply[1:].decode("ascii"))
                except ValueError:
                    raise PacketError("the monitor's output is not hexadecimal") from None
                if len(output) > _LONGEST_OUTPUT:
                    raise PacketError("the monitor's output does not end")

    def _replies(self, payloads: Sequence[bytes]) -> Iterator[tuple[bytes, bytes]]:
        self.begin()
        for frames in _portions([frame(payload) for payload in payloads]):
            self.send(b"".join(frames))
            for _ in frames:
                yield self.next_reply(alone=len(frames) == 1)
        self.busy = False

    def _settle(self) -> None:
        """Pass over all that the stub still sends because of an interrupted exchange.

        Nobody knows how much of it has arrived. So we ask for a number of bytes that was
        not asked for before, of a text that nothing else answers with: what comes before
        that is passed over. If the guest runs, it is stopped first.
        """
        self._mark += 1
        size = _MARKS[self._mark % len(_MARKS)]
        mark = re.compile(rb"\$m<[^#$]{%d}#[0-9a-fA-F]{2}" % (size - 1))
        self._decoder = Decoder()
        self._packets.clear()
        question = frame(b"qXfer:features:read:target.xml:0,%x" % size)
        self.send(_INTERRUPT + _END_OF_PACKET + question)
        held = bytearray()
        deadline = time.monotonic() + self._patience
        while (found := mark.search(held)) is None:
            # What a mark cannot begin in any more is not kept.
            del held[: -(size + len("$m#00"))]
            if time.monotonic() > deadline:
                raise TimeoutError
            held += self._receive()
        self.busy = False
        self.feed(bytes(held[found.end() :]))

    def _next_packet(self, patience: float, *, alone: bool = False) -> bytes:
        # The socket's own time-out would let a peer go on for ever, a byte at a time.
        deadline = time.monotonic() + patience
        for _ in range(_ATTEMPTS):
            while not self._packets:
                self.feed(self._receive())
                if not self._packets and time.monotonic() > deadline:
                    raise TimeoutError
            packet = self._packets.popleft()
            if packet.intact:
                return packet.payload
            if not alone:
                raise PacketError("a packet arrives damaged")
            self.send(b"-")
        raise PacketError("every packet arrives damaged")

    def _receive(self) -> bytes:
        """Return what came within a moment; perhaps nothing."""
        try:
            data = self._socket.recv(1 << 16)
        except BlockingIOError:
            return b""
        except ConnectionError as error:
            raise ConnectionGoneError(f"the connection broke ({error.strerror})") from None
        if not data:
            raise ConnectionGoneError("the connection was closed")
        return data


def _portions(frames: Sequence[bytes]) -> Iterator[list[bytes]]:
    """Cut packets into portions that may be in flight together."""
    portion: list[bytes] = []
    size = 0
    for packet in frames:
        if portion and size + len(packet) > IN_FLIGHT:
            yield portion
            portion, size = [], 0
        portion.append(packet)
        size += len(packet)
    if portion:
        yield portion
