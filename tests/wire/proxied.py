"""A proxy in a process of its own, a client that speaks packets, and a stub to share."""

from __future__ import annotations

import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ptlive.wire.address import StubAddress
from ptlive.wire.packet import Decoder, Packet, frame
from tests.wire.fake_stub import FakeStub

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator
    from pathlib import Path

_PROGRAM = "from ptlive.cli.main import main; main()"


@dataclass
class RunningProxy:
    """Where it listens, and what it says."""

    debugger: str
    ptlive: str
    process: subprocess.Popen[str]
    errors: Path

    def said(self) -> str:
        return self.errors.read_text()


@contextmanager
def a_proxy(stub: str, folder: Path) -> Iterator[RunningProxy]:
    """Start `ptlive proxy` for this stub; its sockets are in `folder` or in the state's."""
    command = [sys.executable, "-c", _PROGRAM, "proxy", "--gdb", stub]
    errors = folder / "proxy-errors"
    with (
        errors.open("w") as log,
        subprocess.Popen(
            [*command, "--listen", f"unix:{folder}/debugger"],
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        ) as process,
    ):
        try:
            assert process.stdout is not None
            lines = [process.stdout.readline() for _ in range(3)]
            gdb, ptlive = lines[1].split("target remote ")[1], lines[2].split("--gdb ")[1]
            assert gdb.strip("'\n") == f"{folder}/debugger"
            yield RunningProxy(f"unix:{folder}/debugger", ptlive.strip(), process, errors)
            assert process.poll() in (None, -9, 128 + 15), errors.read_text()
        finally:
            process.terminate()


class Speaker:
    """One client: sends packets, and receives one at a time."""

    def __init__(self, address: str, patience: float = 10.0) -> None:
        self.socket = StubAddress.parse(address).connect(patience)
        self._decoder = Decoder()
        self._packets: list[Packet] = []
        self.acks = 0

    def send(self, *payloads: bytes) -> None:
        self.socket.sendall(b"".join(map(frame, payloads)))

    def receive(self) -> bytes:
        """Return the next packet; b"<gone>" at the end."""
        while not self._packets:
            try:
                data = self.socket.recv(1 << 16)
            except ConnectionError:
                data = b""
            if not data:
                return b"<gone>"
            for event in self._decoder.feed(data):
                if isinstance(event, Packet):
                    assert event.intact
                    self._packets.append(event)
                else:
                    self.acks += 1
        return self._packets.pop(0).payload

    def ask(self, payload: bytes) -> bytes:
        self.send(payload)
        return self.receive()

    def silent(self, seconds: float) -> bool:
        """Tell whether nothing but acknowledgements comes for so long."""
        self.socket.settimeout(seconds)
        try:
            packet = self.receive()
        except TimeoutError:
            return True
        finally:
            self.socket.settimeout(10)
        self._packets.insert(0, Packet(packet, intact=True))
        return False

    def close(self) -> None:
        self.socket.close()


@dataclass
class SharedStub(FakeStub):
    """A stub whose answers show how it is set, and whose guest runs and stops."""

    running: bool = False
    selected: bytes = b"p01.01"
    listed: int = 0
    cpu: bytes = b"0"

    def _converse(self, client: socket.socket) -> None:
        client.sendall(frame(b"T02thread:p01.01;") if self.running else self.greeting)
        self.running = False
        decoder = Decoder()
        while data := client.recv(4096):
            if self.running:  # QEMU takes the first byte as the wish to stop, and loses it
                self.running, data = False, data[1:]
                client.sendall(frame(b"T02thread:p01.01;"))
            for event in decoder.feed(data.replace(b"\x03", b"").replace(b"#01#01", b"")):
                if not isinstance(event, Packet):
                    continue
                self.seen.append(event.payload)
                if event.payload.startswith(self.hang_up_at):
                    return
                client.sendall(b"+")
                for reply in self._replies(event.payload):
                    client.sendall(frame(reply))

    def _replies(self, payload: bytes) -> list[bytes]:
        if payload.startswith(b"m"):
            size = int(payload.partition(b",")[2], 16)
            return [(b"p" if self.phy_mem_mode == "1" else b"v").hex().encode() * size]
        if payload.startswith(b"Hg"):
            self.selected = payload[2:]
        if payload == b"g":
            return [self.selected.hex().encode()]
        if payload.startswith(b"vCont;c"):
            self.running = True
            return []
        if payload.startswith(b"vCont;s"):
            return [b"T05thread:p01.01;"]
        if payload in (b"qfThreadInfo", b"qsThreadInfo"):
            self.listed = 1 if payload == b"qfThreadInfo" else self.listed + 1
            return [b"mp01.%02x" % self.listed if self.listed < 4 else b"l"]
        if payload[:1] in (b"Z", b"z"):
            return [b"OK"]
        if payload.startswith(b"qRcmd,"):
            word, _, number = bytes.fromhex(payload[6:].decode()).partition(b" ")
            if word == b"cpu":
                self.cpu = number
                return [b"OK"]
            if number == b"cpus":
                text = b"  CPU #9: thread_id=1\r\n* CPU #%s: thread_id=2\r\n" % self.cpu
                return [b"O" + text.hex().encode(), b"OK"]
        plain = {b"qC": b"QCp01.01", b"qqemu.sstep": b"0x7", b"vCont?": b"vCont;c;s"}
        if payload in plain:
            return [plain[payload]]
        return super()._replies(payload)
