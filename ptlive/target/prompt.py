"""The prompt that a bundled Linux guest has on its serial port: a command typed, its answer read.

The guest runs meanwhile, and is then stopped again if it was.
"""

from __future__ import annotations

import secrets
import socket
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ptlive.errors import PtliveError
from ptlive.target.process import orderly_signals
from ptlive.wire.address import parse_address
from ptlive.wire.qmp import Qmp

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ptlive.target.running import Guest

# TCG on a busy computer: the first line comes when the guest has read all of its symbols.
_SILENCE = 60.0
# A guest that never stops talking is not waited for.
_LONGEST = 600.0
_MOST = 64 << 20


def ask(guest: Guest, command: str, *, silence: float = _SILENCE) -> str:
    """Type a command at a guest's prompt and return what it prints.

    Raises PtliveError when nothing is said for `silence` seconds: something else runs at
    the prompt, or somebody else holds the serial port.
    """
    place = parse_address(guest.serial)
    if not isinstance(place, str):
        raise PtliveError(f"the serial port of {guest.name} is no unix socket")
    # The echo of the line shows the quotes, its answer does not.
    mark = f"ptlive-{secrets.token_hex(8)}"
    line = f"{command}; echo {mark[:6]}''{mark[6:]}\n"
    with _running(guest), socket.socket(socket.AF_UNIX) as serial:
        try:
            serial.connect(place)
            serial.sendall(line.encode())
            said = _until(serial, mark.encode(), silence)
        except OSError as error:
            raise PtliveError(
                f"guest {guest.name} does not answer at its prompt ({error}): is something "
                f"running there, or another program on {guest.serial}?"
            ) from error
    return said.decode(errors="replace").replace("\r", "")


def _until(serial: socket.socket, mark: bytes, silence: float) -> bytes:
    said = bytearray()
    deadline = time.monotonic() + _LONGEST
    while True:
        serial.settimeout(silence)
        more = serial.recv(1 << 16)
        if not more:
            raise OSError("it closed the connection")
        searched = max(len(said) - len(mark), 0)
        said += more
        if len(said) > _MOST or time.monotonic() > deadline:
            raise OSError("it says too much")
        if mark in said[searched:]:
            return bytes(said)


@contextmanager
def _running(guest: Guest) -> Iterator[None]:
    """Let a guest run, and stop it afterwards if it was stopped; after a signal, too."""
    with orderly_signals():
        with Qmp(guest.qmp) as qmp:
            stood = not _runs(qmp)
        try:
            if stood:
                with Qmp(guest.qmp) as qmp:
                    qmp.command("cont")
            yield
        finally:
            if stood:
                with Qmp(guest.qmp) as qmp:
                    qmp.command("stop")


def _runs(qmp: Qmp) -> bool:
    status = qmp.command("query-status")
    return isinstance(status, dict) and bool(status["running"])
