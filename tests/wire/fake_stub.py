"""A gdb stub made of a thread and a socket, which can misbehave as told."""

from __future__ import annotations

import socket
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ptlive.wire.packet import Decoder, Packet, frame

if TYPE_CHECKING:
    from pathlib import Path

DESCRIPTION = b'<?xml version="1.0"?><!DOCTYPE target SYSTEM "gdb-target.dtd"><target></target>'


@dataclass
class FakeStub:
    """Serves one client after the other on a unix socket, with QEMU's own queries."""

    path: Path
    phy_mem_mode: str = "0"
    """What the query answers; "" is a stub that does not know it."""
    version: str = "7.2.22Debian"
    status: str = "paused"
    greeting: bytes = b""
    """Bytes sent unasked on every connection."""
    silent: bool = False
    dripping: bool = False
    """Nothing but acknowledgements, for ever."""
    hang_up_at: bytes = b"\0"
    """The connection is closed at a packet that starts so."""
    damage: int = 0
    """How many packets are sent with a wrong checksum, from now on."""
    seen: list[bytes] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.bind(str(self.path))
        self._socket.listen(1)
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    @property
    def address(self) -> str:
        return f"unix:{self.path}"

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join(5)
        assert not self._thread.is_alive()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._socket.accept()
            except OSError:
                return
            with client:
                try:
                    self._converse(client)
                except OSError:
                    continue

    def _converse(self, client: socket.socket) -> None:
        client.sendall(self.greeting)
        while self.dripping:
            client.sendall(b"+")
            time.sleep(0.01)
        decoder = Decoder()
        last = b""
        while data := client.recv(4096):
            # What may stand between packets, for a stub that was left in the middle of one.
            for event in decoder.feed(data.replace(b"\x03#01#01", b"").replace(b"#01#01", b"")):
                if event == b"-":
                    client.sendall(self._damaged(last))
                if self.silent or not isinstance(event, Packet):
                    continue
                self.seen.append(event.payload)
                if event.payload.startswith(self.hang_up_at):
                    return
                client.sendall(b"+")
                for reply in self._replies(event.payload):
                    last = frame(reply)
                    client.sendall(self._damaged(last))

    def _damaged(self, packet: bytes) -> bytes:
        if not self.damage:
            return packet
        self.damage -= 1
        return packet[:-2] + b"00"

    def _replies(self, payload: bytes) -> list[bytes]:
        if payload == b"qqemu.PhyMemMode":
            return [self.phy_mem_mode.encode()]
        if payload.startswith(b"Qqemu.PhyMemMode:"):
            self.phy_mem_mode = payload[-1:].decode()
            return [b"OK"]
        if payload.startswith(b"qRcmd,"):
            command = bytes.fromhex(payload[6:].decode()).decode()
            text = {"info version": self.version, "info status": f"VM status: {self.status}"}
            # In pieces, as QEMU sends it.
            line = text.get(command, f"unknown command: {command!r}").encode() + b"\r\n"
            pieces = [line[:4], *(line[at : at + 1000] for at in range(4, len(line), 1000))]
            return [*(b"O" + piece.hex().encode() for piece in pieces), b"OK"]
        if payload.startswith(b"qXfer:features:read:target.xml:0,"):
            return [b"m" + DESCRIPTION[: int(payload.rpartition(b",")[2], 16)]]
        if payload == b"?":
            return [b"T05thread:p01.01;"]
        return [b"OK" if payload[:1] in b"DMPH" else b""]
