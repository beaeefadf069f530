"""The sockets of a proxy: its clients, and QEMU with the replies that are awaited of it."""

from __future__ import annotations

import socket
from collections import deque
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ptlive.wire.packet import PacketError, frame
from ptlive.wire.preflight import hold
from ptlive.wire.proxy_packets import Requests, answered_by_stop, framed, lets_run
from ptlive.wire.proxy_settings import Settings
from ptlive.wire.raw import RawStub

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_AT_ONCE = 1 << 18
# More than that is read neither of a client that asks nor for one that does not read.
_MOST_REQUESTS = 1 << 10
_MOST_UNSENT = 1 << 20
# The longest packet that comes from QEMU is some text of its monitor.
_LONGEST_REPLY = 1 << 22

# The first acknowledges the last packet, if that is still open. The second stops a guest
# that somebody has let run behind our back: QEMU takes the first byte for that, and loses
# it (gdbstub.c, gdb_read_byte). A stopped guest's stub ignores it.
_WAKE = b"++"
_INTERRUPT = b"\x03"


class Peer:
    """One socket, which is never waited for. `gone` once the other end has hung up."""

    def __init__(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        if connection.family != socket.AF_UNIX:
            # An acknowledgement and the reply are two small writes.
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket = connection
        self.unsent = bytearray()
        self.gone = False

    def send(self, data: bytes) -> None:
        """Send now what can be sent, and keep the rest."""
        sent = 0 if self.unsent else self._send(data)
        if sent < len(data):
            self.unsent += data[sent:]

    def flush(self) -> None:
        """Send more of what was kept."""
        del self.unsent[: self._send(self.unsent)]

    def receive(self) -> bytes:
        """Return what has come; nothing at the end, when `gone` is set."""
        try:
            data = self.socket.recv(_AT_ONCE)
        except BlockingIOError:
            return b""
        except OSError:
            data = b""
        self.gone = self.gone or not data
        return data

    def close(self) -> None:
        """Hang up."""
        self.gone = True
        self.socket.close()

    def _send(self, data: bytes | bytearray) -> int:
        if self.gone:
            return len(data)
        try:
            return self.socket.send(data)
        except BlockingIOError:
            return 0
        except OSError:
            self.gone = True
            return len(data)


class Client(Peer):
    """A debugger, or ptlive: what it has asked, and how it has set the stub for itself.

    begun: it has had a turn. changed: it has changed the guest, and did not say yet that it
    has put everything back. repairs: it does so for another one. leaving: its last reply was
    given.
    """

    def __init__(self, connection: socket.socket, settings: Settings, *, acks: bool) -> None:
        super().__init__(connection)
        self.settings = settings
        self.inbox: deque[bytes] = deque()
        self.begun = self.changed = self.repairs = self.leaving = False
        self._requests = Requests()
        # A debugger must not wait for its acknowledgement until its turn has come; ptlive
        # needs none, and has QEMU's own passed on.
        self._acks = acks

    @property
    def wants_more(self) -> bool:
        """Whether it may send."""
        return len(self.inbox) < _MOST_REQUESTS

    @property
    def slow(self) -> bool:
        """Whether it does not read what is sent to it."""
        return len(self.unsent) > _MOST_UNSENT

    def requests(self) -> list[bytes]:
        """Return what has come; `gone` is set at the end, and by what is no protocol."""
        try:
            requests, bad = self._requests.feed(self.receive())
        except PacketError:
            self.gone = True
            return []
        if bad:
            self.send(b"-" * bad)
        return requests

    def take(self, body: bytes) -> None:
        """Put a packet in its queue."""
        if self._acks:
            self.send(b"+")
        self.inbox.append(body)

    def answer(self, payload: bytes) -> None:
        """Answer a packet in QEMU's stead."""
        self.send(frame(payload) if self._acks else b"+" + frame(payload))

    def deliver(self, unit: bytes) -> None:
        """Pass on a packet of QEMU, with the acknowledgement before it."""
        self.send(unit[unit.find(b"$") :] if self._acks else unit)


@dataclass(eq=False)
class Awaited:
    """A reply that QEMU owes, or `count` of those that mean nothing to us (no payload)."""

    owner: Client | None
    payload: bytes = b""
    count: int = 1


class Upstream(Peer):
    """QEMU's end: one exchange after the other, its settings as they really are.

    `finished` is told of each reply but those in bulk.
    """

    def __init__(self, address: str, finished: Callable[[Awaited, bytes], None]) -> None:
        """Connect, which stops the guest. Raises PtliveError as `hold` does."""
        self.found, connection = hold(address)
        try:
            self.settings = _settings(RawStub(connection))
        except BaseException:
            connection.close()
            raise
        super().__init__(connection)
        self.awaited: deque[Awaited] = deque()
        self._finished = finished
        self._held = b""
        self._spoke = False

    @property
    def first(self) -> Settings:
        """The settings as they were found, for whoever comes first."""
        return replace(self.settings, physical=b"%d" % self.found.phy_mem_mode)

    @property
    def running(self) -> Client | None:
        """The client that lets the guest run or step, and waits for it to stop."""
        last = self.awaited[-1] if self.awaited else None
        return last.owner if last is not None and lets_run(last.payload) else None

    @property
    def held_up(self) -> bool:
        """Whether whoever is to get the next reply does not read."""
        owner = self.awaited[0].owner if self.awaited else None
        return owner is not None and not owner.gone and owner.slow

    def switch(self, wanted: Settings) -> bool:
        """Set what differs; tell whether anything does. Nothing may be in flight."""
        packets = self.settings.packets_to(wanted)
        for packet in packets:
            self.awaited.append(Awaited(None, packet))
        if packets:
            self.send(_WAKE + b"".join(map(frame, packets)))
        return bool(packets)

    def pass_on(self, client: Client, bodies: Sequence[bytes]) -> None:
        """Send packets of a client as they are."""
        for body in bodies:
            if not body.startswith(b"m"):
                self.awaited.append(Awaited(client, body))
            elif self.awaited and self.awaited[-1].owner is client and not self.awaited[-1].payload:
                self.awaited[-1].count += 1
            else:
                self.awaited.append(Awaited(client))
        self.send(b"".join(map(framed, bodies)))

    def wake(self) -> None:
        """Make sure that the stub listens, before the first packet of an exchange."""
        self.send(_WAKE)

    def interrupt(self) -> None:
        """Stop the guest that runs."""
        self.send(_INTERRUPT)

    def pump(self) -> None:
        """Take what QEMU has sent and hand it to whom it belongs."""
        data = self.receive()
        held = self._held + data if self._held else data
        at = 0
        while True:
            head = self.awaited[0] if self.awaited else None
            if head is not None and not head.payload:
                end = self._bulk(held, at, head)
                if end > at:
                    at = end
                    continue
            sharp = held.find(b"#", at)
            end = sharp + len(b"#cc")
            if sharp < 0 or end > len(held):
                break
            self._one(held[at:end], head)
            at = end
        self._held = held[at:]
        if len(self._held) > _LONGEST_REPLY:
            self.gone = True

    def _bulk(self, held: bytes, at: int, head: Awaited) -> int:
        """Pass on many replies at once, with a look at their beginnings; return where they end."""
        end, count, last = at, 0, len(held) - len(b"#cc")
        while (
            count < head.count
            and held[end : end + 2] == b"+$"
            and held[end + 2 : end + 3] not in b"TO"
        ):
            sharp = held.find(b"#", end)
            if not 0 <= sharp <= last:
                break
            end = sharp + len(b"#cc")
            count += 1
        if not count:
            return at
        if head.owner is not None:
            head.owner.deliver(held if end - at == len(held) else held[at:end])
        head.count -= count
        if not head.count:
            self.awaited.popleft()
        return end

    def _one(self, unit: bytes, head: Awaited | None) -> None:
        """Handle one packet of QEMU, with what stands before it."""
        dollar = unit.find(b"$")
        # What nobody asked for: the guest was stopped that ran behind our back.
        if head is None or dollar < 0:
            return
        reply = unit[dollar + 1 : -len(b"#cc")]
        text = reply.startswith(b"O") and reply != b"OK"
        if reply.startswith(b"T") and not answered_by_stop(head.payload):
            return
        if head.owner is not None:
            head.owner.deliver(unit)
        if text:  # of the monitor: the reply is still to come
            self._spoke = True
            return
        silent, self._spoke = not self._spoke, False
        head.count -= 1
        if not head.count:
            self.awaited.popleft()
        if head.payload:
            self.settings = self.settings.after(head.payload, reply, silent=silent)
            if head.owner is not None:
                head.owner.settings = head.owner.settings.after(head.payload, reply, silent=silent)
            self._finished(head, reply)


def _settings(stub: RawStub) -> Settings:
    """Ask how the stub is set; `hold` has switched `PhyMemMode` off."""
    flags, thread = stub.ask_all([b"qqemu.sstep", b"qC"])
    monitors = stub.monitor("info cpus")
    chosen = monitors.partition("* CPU #")[2].partition(":")[0]
    name = thread[2:] if thread.startswith(b"QC") else None
    return Settings(
        thread_g=name,
        thread_c=name,
        physical=b"0",
        sstep=flags[2:] if flags.startswith(b"0x") else None,
        cpu=chosen.encode() if chosen.isdigit() else None,
    )
