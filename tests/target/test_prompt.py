"""A prompt on a serial port, played by a thread; QMP is played, too."""

from __future__ import annotations

import os
import re
import signal
import socket
import threading
from typing import TYPE_CHECKING, Any

import pytest

from ptlive.errors import PtliveError
from ptlive.target import prompt
from ptlive.target.running import Guest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


def a_guest(serial: Path) -> Guest:
    return Guest(
        name="linux",
        kind="linux",
        levels=5,
        accelerator="tcg",
        memory=1 << 28,
        cpus=1,
        pid=1,
        process_started=0,
        started=0.0,
        gdb="127.0.0.1:1",
        qmp="unix:/qmp",
        serial=f"unix:{serial}",
        ram="/dev/null",
        folder="/f",
        socket_folder="/f",
        symbols=None,
        command=["qemu"],
    )


class Monitor:
    """Stands in for QMP: notes what is asked, and knows whether the guest runs."""

    def __init__(self, running: bool) -> None:
        self.runs = running
        self.asked: list[str] = []

    def __call__(self, _address: str) -> Monitor:
        return self

    def __enter__(self) -> Monitor:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def command(self, name: str) -> Any:
        if name == "query-status":
            return {"running": self.runs}
        self.asked.append(name)
        self.runs = name == "cont"
        return {}


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[tuple[Guest, list[Callable[[bytes], bytes]]]]:
    """A guest whose serial port is served once, by the function that a test puts in the list."""
    path = tmp_path / "serial.sock"
    answer: list[Callable[[bytes], bytes]] = []
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()

        def serve() -> None:
            client, _ = server.accept()
            with client:
                client.sendall(answer[0](client.recv(1000)))
                client.recv(1)  # until the other side goes

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield a_guest(path), answer
        thread.join(5)


def echoed(said: bytes) -> Callable[[bytes], bytes]:
    """A terminal shows what is typed; then comes what the command says, and its end."""

    def answer(line: bytes) -> bytes:
        mark = re.search(rb"echo (\S+)''(\S+)\n", line)
        assert mark
        return line.replace(b"\n", b"\r\n") + said + mark[1] + mark[2] + b"\r\n# "

    return answer


def test_what_a_command_prints_comes_back(
    shell: tuple[Guest, list[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    guest, answer = shell
    monitor = Monitor(running=True)
    monkeypatch.setattr(prompt, "Qmp", monitor)
    answer.append(echoed(b"one\r\ntwo \xff\r\n"))
    assert "\none\ntwo \ufffd\n" in prompt.ask(guest, "say it")
    assert monitor.asked == []


def test_a_stopped_guest_runs_meanwhile_and_is_stopped_again(
    shell: tuple[Guest, list[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    guest, answer = shell
    monitor = Monitor(running=False)
    monkeypatch.setattr(prompt, "Qmp", monitor)
    answer.append(echoed(b"x\r\n"))
    prompt.ask(guest, "say it")
    assert monitor.asked == ["cont", "stop"]


@pytest.mark.parametrize(
    ("number", "error"), [(signal.SIGTERM, SystemExit), (signal.SIGINT, KeyboardInterrupt)]
)
def test_a_signal_leaves_the_guest_as_it_was(
    shell: tuple[Guest, list[Any]],
    monkeypatch: pytest.MonkeyPatch,
    number: signal.Signals,
    error: type[BaseException],
) -> None:
    guest, answer = shell
    monitor = Monitor(running=False)
    monkeypatch.setattr(prompt, "Qmp", monitor)

    def silent(_line: bytes) -> bytes:
        threading.Timer(0.2, os.kill, (os.getpid(), number)).start()
        return b"still at it"

    answer.append(silent)
    before = signal.getsignal(number)
    with pytest.raises(error):
        prompt.ask(guest, "say it")
    assert monitor.asked == ["cont", "stop"]
    assert signal.getsignal(number) is before


def test_silence_is_told_and_the_guest_stopped_again(
    shell: tuple[Guest, list[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    guest, answer = shell
    monitor = Monitor(running=False)
    monkeypatch.setattr(prompt, "Qmp", monitor)
    answer.append(lambda line: line)
    with pytest.raises(PtliveError, match=r"does not answer at its prompt .*is something"):
        prompt.ask(guest, "say it", silence=0.1)
    assert monitor.asked == ["cont", "stop"]


def test_a_port_that_is_gone_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prompt, "Qmp", Monitor(running=True))
    guest = a_guest(tmp_path / "none")
    with pytest.raises(PtliveError, match="does not answer"):
        prompt.ask(guest, "say it")
