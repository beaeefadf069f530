"""Bare clients of QEMU's two sockets, as fast as Python can be: the limits to compare with.

They check nothing but that every answer came: neither checksums nor errors nor text are looked
at while the time runs.
"""

from __future__ import annotations

import json
import socket
from typing import TYPE_CHECKING, Self

from ptlive.errors import PtliveError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ptlive.arrays import U64

#: The most bytes that QEMU answers in one `m` packet (gdbstub.c, MAX_PACKET_LENGTH 4096 in hex).
LONGEST_READ = 2048
#: More of them in flight do not make it faster.
IN_FLIGHT = 256
# A stopped guest answers at once, but `info tlb` of a million pages takes seconds.
_PATIENCE = 600.0


def connect(address: str) -> socket.socket:
    """Connect to `unix:PATH`. Raises PtliveError if nothing listens there."""
    made = socket.socket(socket.AF_UNIX)
    try:
        made.connect(address.removeprefix("unix:"))
    except OSError as error:
        made.close()
        raise PtliveError(f"nothing listens on {address} ({error.strerror})") from error
    made.settimeout(_PATIENCE)
    return made


def packet(payload: bytes) -> bytes:
    """Return a packet of the gdb remote protocol; the payload must need no escapes."""
    return b"$%s#%02x" % (payload, sum(payload) & 0xFF)


def reads(tables: U64) -> list[bytes]:
    """Return the packets that read these 4K tables."""
    halves = (0, LONGEST_READ)
    return [
        packet(b"m%x,%x" % (at + half, LONGEST_READ)) for at in tables.tolist() for half in halves
    ]


def commands(lines: Sequence[str]) -> list[bytes]:
    """Return the packets that have QEMU's monitor run these lines."""
    return [packet(b"qRcmd," + line.encode().hex().encode()) for line in lines]


class RawPackets:
    """A connection to a stub of a stopped guest that reads physical memory for a `with` block."""

    def __init__(self, address: str) -> None:
        self._socket = connect(address)
        self._buffer = bytearray(1 << 20)

    def __enter__(self) -> Self:
        try:
            self._transfer([packet(b"Qqemu.PhyMemMode:1")], b"#")
        except BaseException:
            self._socket.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self._transfer([packet(b"Qqemu.PhyMemMode:0")], b"#")
        finally:
            self._socket.close()

    def read(self, requests: Sequence[bytes]) -> None:
        """Have the stub answer these reads, and throw the answers away."""
        # Nothing in a reply but its end has a `#`: what is sent as such is escaped.
        self._transfer(requests, b"#")

    def monitor(self, requests: Sequence[bytes]) -> None:
        """Have QEMU's monitor run these lines, and throw away what they print."""
        # What is printed comes as packets $O...#, in hex, before the reply itself.
        self._transfer(requests, b"$OK#")

    def _transfer(self, requests: Sequence[bytes], end: bytes) -> None:
        """Send requests, some always in flight, until as many replies have come."""
        buffer, keep = self._buffer, len(end) - 1
        sent = answered = held = 0
        while answered < len(requests):
            # Few large writes: half a window at a time is followed up.
            if sent < len(requests) and sent - answered <= IN_FLIGHT // 2:
                more = requests[sent : answered + IN_FLIGHT]
                self._socket.sendall(b"".join(more))
                sent += len(more)
            size = self._socket.recv_into(memoryview(buffer)[held:])
            if not size:
                raise PtliveError("the stub closed the connection")
            answered += buffer.count(end, 0, held + size)
            # The end of a reply may come in two parts.
            tail = buffer[max(held + size - keep, 0) : held + size] if keep else b""
            buffer[: len(tail)] = tail
            held = len(tail)


class RawQmp:
    """A QMP session that does not parse what it is answered."""

    def __init__(self, address: str) -> None:
        self._socket = connect(address)
        self._rest = b""
        try:
            self._line()  # the greeting
            self.command("qmp_capabilities")
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the session; QEMU serves the next client then."""
        self._socket.close()

    def command(self, name: str, **arguments: object) -> bytes:
        """Execute a command and return its answer, a line of JSON."""
        asked = {"execute": name, "arguments": arguments} if arguments else {"execute": name}
        self._socket.sendall(json.dumps(asked).encode())
        while True:
            line = self._line()
            if line.startswith((b'{"return"', b'{"error"')):
                return line

    def human(self, line: str) -> bytes:
        """Run a line of the human monitor; its output comes as JSON, unparsed."""
        return self.command("human-monitor-command", **{"command-line": line})

    def text(self, line: str) -> str:
        """Run a line of the human monitor and return what it prints."""
        answer = json.loads(self.human(line))
        if "error" in answer:
            raise PtliveError(f"QEMU refused over QMP: {answer['error'].get('desc')}")
        return str(answer["return"]).replace("\r", "")

    def _line(self) -> bytes:
        """Return the next line: an event and an answer may come together."""
        parts: list[bytes] = []
        while True:
            part = self._rest or self._socket.recv(1 << 20)
            if not part:
                raise PtliveError("QMP closed the connection")
            end = part.find(b"\n") + 1
            self._rest = part[end:] if end else b""
            parts.append(part[:end] if end else part)
            if end:
                return b"".join(parts)
