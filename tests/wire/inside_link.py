"""A debugger's connection, played: over a real stub, or over a stub's state alone."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ptlive.wire.raw import RawStub

#: The vCPU that the debugger has selected.
OWN = 1
_XML = (
    b'<?xml version="1.0"?><target>'
    + b"".join(b'<reg name="%s" bitsize="64"/>' % n for n in (b"rip", b"eflags", b"cs", b"ss"))
    + b"".join(b'<reg name="cr%d" bitsize="64"/>' % n for n in (0, 2, 3, 4))
    + b'<reg name="efer" bitsize="64"/></target>'
)
_REGISTERS = 9


class RawLink:
    """Implements `ptlive.wire.inside_stub.Link` over packets of our own."""

    def __init__(self, raw: RawStub) -> None:
        self._raw = raw

    def send(self, packet: bytes) -> bytes:
        if packet.startswith(b"vCont;s"):
            self._raw.start([packet])
            return self._raw.await_stop(10) or b""
        return self._raw.ask(packet)

    def monitor(self, command: str) -> str:
        return self._raw.monitor(command)

    def settle(self) -> int:
        self._raw.ask(b"Hgp1.%x" % OWN)
        return OWN

    @contextmanager
    def calm(self) -> Iterator[None]:
        yield

    def announce(self, mode: int | None) -> None:
        pass

    def forget(self) -> None:
        pass


class PlayedLink:
    """A stub of two vCPUs that only keeps what can be left behind, and may be interrupted.

    mode, selected: at the stub; announced: what the guard was told last; forgotten: how often
    the debugger was told to forget; interrupt_in: raise KeyboardInterrupt at this packet, once,
    behind=True after the stub has taken it
    """

    def __init__(self, mode: int = 0) -> None:
        self.mode, self.selected = mode, OWN
        self.sstep = 7
        self.announced: int | None = None
        self.forgotten = 0
        self.packets: list[bytes] = []
        self.interrupt_in: int | None = None
        self.behind = False

    def send(self, packet: bytes) -> bytes:
        if self.interrupt_in is not None:
            self.interrupt_in -= 1
        now = self.interrupt_in == -1
        if now and not self.behind:
            raise KeyboardInterrupt
        reply = self._answer(packet)
        if now:
            raise KeyboardInterrupt
        return reply

    def _answer(self, packet: bytes) -> bytes:
        self.packets.append(packet)
        head = packet.partition(b":")[0]
        if head == b"Qqemu.PhyMemMode":
            # Whoever is killed between two packets must have told before.
            mode = int(packet[-1:])
            assert self.announced is not None
            self.mode = mode
            return b"OK"
        if packet.startswith(b"Hgp1."):
            self.selected = int(packet[5:], 16)
            return b"OK"
        if packet.startswith(b"vCont;s:p1."):
            self.selected = int(packet[11:], 16)
            return b"T05thread:p01.%02x;" % self.selected
        if packet.startswith(b"qXfer:features:read:target.xml:"):
            at, size = (int(n, 16) for n in packet.rpartition(b":")[2].split(b","))
            return b"l" + _XML[at:] if at + size >= len(_XML) else b"m" + _XML[at : at + size]
        if packet.startswith(b"m"):
            return b"ab" * int(packet.partition(b",")[2], 16)
        return {
            b"qSupported": b"PacketSize=1000",
            b"qqemu.sstep": b"0x7",
            b"qqemu.sstepbits": b"ENABLE=1,NOIRQ=2,NOTIMER=4",
            b"qfThreadInfo": b"mp1.1,p1.2",
            b"qsThreadInfo": b"l",
            b"qqemu.PhyMemMode": b"%d" % self.mode,
            b"g": b"00" * 8 * _REGISTERS,
        }.get(packet, b"OK")

    def monitor(self, command: str) -> str:
        return ""

    def settle(self) -> int:
        self.selected = OWN
        return OWN

    @contextmanager
    def calm(self) -> Iterator[None]:
        yield

    def announce(self, mode: int | None) -> None:
        self.announced = mode

    def forget(self) -> None:
        self.forgotten += 1
