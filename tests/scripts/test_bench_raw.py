"""The bare clients, against peers that answer in awkward pieces."""

from __future__ import annotations

import re
import socket
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING

import numpy as np
import pytest

from ptlive.errors import PtliveError
from scripts.benchmark import raw
from scripts.benchmark.raw import RawPackets, RawQmp, packet

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Serve = Callable[[Callable[[bytes], bytes], int], "Peer"]

REQUEST = re.compile(rb"\$([^#]*)#([0-9a-f]{2})")


class Peer:
    """Serves one client: each request is answered, in pieces of `piece` bytes."""

    def __init__(self, path: Path, answer: Callable[[bytes], bytes], piece: int) -> None:
        self.seen: list[bytes] = []
        self.most_in_flight = 0
        self._answer, self._piece = answer, piece
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.bind(str(path))
        self._socket.listen(1)
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._thread.join(5)
        self._socket.close()

    def _serve(self) -> None:
        client, _ = self._socket.accept()
        # Whoever has seen the end of the last packet need not wait for its checksum.
        with client, suppress(ConnectionError):
            held = b""
            while data := client.recv(1 << 16):
                held = self._answers(client, held + data)

    def _answers(self, client: socket.socket, held: bytes) -> bytes:
        """Answer all requests that are there whole; return what is left."""
        requests = list(REQUEST.finditer(held))
        self.most_in_flight = max(self.most_in_flight, len(requests))
        for request in requests:
            assert sum(request[1]) & 0xFF == int(request[2], 16)
            self.seen.append(request[1])
            answer = self._answer(request[1])
            for at in range(0, len(answer), self._piece):
                client.sendall(answer[at : at + self._piece])
        return held[requests[-1].end() :] if requests else held


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "stub.sock"


@pytest.fixture
def serve(path: Path) -> Iterator[Serve]:
    """Start peers, and end them after the test."""
    peers: list[Peer] = []

    def start(answer: Callable[[bytes], bytes], piece: int) -> Peer:
        peers.append(Peer(path, answer, piece))
        return peers[-1]

    yield start
    for peer in peers:
        peer.close()


def table_or_ok(request: bytes) -> bytes:
    if not request.startswith(b"m"):
        return b"+" + packet(b"OK")
    return b"+" + packet(b"ab" * int(request.partition(b",")[2], 16))


@pytest.mark.parametrize("piece", [7, 4099, 1 << 20])
def test_each_half_of_each_table_is_asked_for_once(path: Path, serve: Serve, piece: int) -> None:
    peer = serve(table_or_ok, piece)
    tables = np.array([0x1000 * n for n in range(1, 40)], np.uint64)
    with RawPackets(f"unix:{path}") as stub:
        stub.read(raw.reads(tables))
    halves = [b"m%x,%x" % (table + half, 2048) for table in tables.tolist() for half in (0, 2048)]
    assert peer.seen[0] == b"Qqemu.PhyMemMode:1"
    assert peer.seen[1:79] == halves
    deadline = time.monotonic() + 5
    while peer.seen[-1] != b"Qqemu.PhyMemMode:0" and time.monotonic() < deadline:
        time.sleep(0.01)
    assert peer.seen[79:] == [b"Qqemu.PhyMemMode:0"]


def test_never_more_are_in_flight_than_allowed(
    path: Path, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(raw, "IN_FLIGHT", 8)
    peer = serve(table_or_ok, 1 << 20)
    with RawPackets(f"unix:{path}") as stub:
        stub.read(raw.reads(np.arange(1, 64).astype(np.uint64) << np.uint64(12)))
    assert 2 <= peer.most_in_flight <= 8


@pytest.mark.parametrize("piece", [1, 2, 3, 5, 1 << 20])
def test_what_the_monitor_prints_is_no_end_of_its_reply(
    path: Path, serve: Serve, piece: int
) -> None:
    said = packet(b"O" + b"gpa: 0x1000\n".hex().encode())
    answers: dict[bytes, bytes] = {}
    peer = serve(lambda request: answers.get(request, said * 2 + packet(b"OK")), piece)
    answers |= {b"Qqemu.PhyMemMode:%d" % mode: packet(b"OK") for mode in (0, 1)}
    with RawPackets(f"unix:{path}") as stub:
        stub.monitor(raw.commands([f"gva2gpa {n:#x}" for n in range(20)]))
        told = [seen for seen in peer.seen if seen.startswith(b"qRcmd,")]
    asked = [bytes.fromhex(seen[6:].decode()).decode() for seen in told]
    assert asked == [f"gva2gpa {n:#x}" for n in range(20)]


def test_a_stub_that_hangs_up_is_told(path: Path) -> None:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen(1)

    def hang_up() -> None:
        client, _ = listener.accept()
        client.recv(100)
        client.close()

    threading.Thread(target=hang_up, daemon=True).start()
    with pytest.raises(PtliveError, match="closed the connection"), RawPackets(f"unix:{path}"):
        pass
    listener.close()


@pytest.fixture
def qmp(path: Path) -> Iterator[str]:
    """A QMP that sends events and the beginning of its answer at once, and then the rest."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen(1)

    def serve() -> None:
        client, _ = listener.accept()
        client.sendall(b'{"QMP": {}}\r\n')
        while data := client.recv(4096):
            text = b"nothing" if b"info" not in data else b"a line\\r\\n"
            event = b'{"timestamp": {}, "event": "STOP"}\r\n'
            client.sendall(event + event + b'{"return": "' + text)
            time.sleep(0.01)
            client.sendall(b'"}\r\n')
        client.close()

    threading.Thread(target=serve, daemon=True).start()
    yield f"unix:{path}"
    listener.close()


def test_an_answer_is_a_whole_line_and_no_event(qmp: str) -> None:
    with RawQmp(qmp) as session:
        assert session.human("info tlb") == b'{"return": "a line\\r\\n"}\r\n'
        assert session.text("info status") == "a line\n"


def test_where_nothing_listens_there_is_a_sentence(path: Path) -> None:
    with pytest.raises(PtliveError, match="nothing listens on"):
        RawQmp(f"unix:{path}")
