"""QMP sessions with a real QEMU, and with what is none."""

from __future__ import annotations

import gc
import os
import signal
import socket
import threading
import time
from typing import TYPE_CHECKING

import pytest

from ptlive.errors import PtliveError
from ptlive.wire.address import parse_address
from ptlive.wire.qmp import Qmp

if TYPE_CHECKING:
    from pathlib import Path

    from ptlive.target.running import Guest


@pytest.mark.qemu
def test_commands_are_answered(menu_guest_5: Guest) -> None:
    with Qmp(menu_guest_5.qmp) as qmp:
        assert qmp.command("query-name") == {}
        found = qmp.command("qom-list", path="/objects")
        assert isinstance(found, list)
        assert "ram" in [item["name"] for item in found]
        assert "paused" in qmp.human("info status")
    qmp.close()


@pytest.mark.qemu
def test_a_refused_command_is_told_in_qemus_words(menu_guest_5: Guest) -> None:
    with Qmp(menu_guest_5.qmp) as qmp:
        with pytest.raises(PtliveError, match=r"QEMU refused .*no-such-command has not been found"):
            qmp.command("no-such-command")
        assert qmp.command("query-status")


@pytest.mark.qemu
def test_a_second_client_does_not_wait_for_ever(menu_guest_5: Guest) -> None:
    with (
        Qmp(menu_guest_5.qmp),
        pytest.raises(PtliveError, match=r"no answer within 0\.2 s \(it serves one client"),
    ):
        Qmp(menu_guest_5.qmp, timeout=0.2)
    with Qmp(menu_guest_5.qmp) as again:
        assert again.command("query-status")


@pytest.mark.qemu
def test_it_tells_who_listens_and_whether_the_guest_ran(menu_guest_5: Guest) -> None:
    with Qmp(menu_guest_5.qmp) as qmp:
        assert qmp.pid == menu_guest_5.pid
        assert (qmp.running(), qmp.resumed()) == (False, False)
        qmp.command("cont")
        assert (qmp.running(), qmp.resumed()) == (True, True)
        qmp.command("stop")
        assert qmp.resumed() is False, "it ran before this was last asked"
        qmp.command("cont")
        qmp.command("stop")
        assert (qmp.running(), qmp.resumed(), qmp.resumed()) == (False, True, False)


def test_nothing_listens() -> None:
    with pytest.raises(PtliveError, match=r"no QMP at unix:/nowhere/qmp.sock: No such file"):
        Qmp("unix:/nowhere/qmp.sock")


@pytest.mark.parametrize("says", [b"SSH-2.0-OpenSSH_9.2\r\n", b'{"hello": 1}\r\n', b""])
def test_something_else_listens(says: bytes) -> None:
    def serve(server: socket.socket) -> None:
        connection, _ = server.accept()
        connection.sendall(says)
        connection.close()

    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        thread = threading.Thread(target=serve, args=(server,))
        thread.start()
        with pytest.raises(PtliveError, match=f"no QMP at {address}"):
            Qmp(address)
        thread.join()


def test_no_session_leaves_a_file_open() -> None:
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        with pytest.raises(PtliveError):
            Qmp("unix:/nowhere/qmp.sock")
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("unix:/run/q.sock", "/run/q.sock"),
        ("localhost:4444", ("localhost", 4444)),
        (":4444", ("127.0.0.1", 4444)),
        ("[::1]:4444", ("::1", 4444)),
    ],
)
def test_addresses(text: str, place: object) -> None:
    assert parse_address(text) == place


@pytest.mark.parametrize("text", ["", "unix:", "localhost", "localhost:", "localhost:x", "h:65536"])
def test_no_addresses(text: str) -> None:
    with pytest.raises(PtliveError, match="is no address: HOST:PORT or unix:PATH is expected"):
        parse_address(text)


def test_an_interruption_leaves_nothing_behind(tmp_path: Path) -> None:
    """A server that never greets; pytest makes an error of what is not awaited."""
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "qmp"))
        server.listen()
        before = signal.getsignal(signal.SIGINT)
        interruption = threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT))
        interruption.start()
        began = time.monotonic()
        with pytest.raises(KeyboardInterrupt):
            Qmp(f"unix:{tmp_path / 'qmp'}", timeout=20)
        assert time.monotonic() - began < 10
        interruption.join()
    gc.collect()
    assert signal.getsignal(signal.SIGINT) is before
