"""The prompt that the Linux guest has on its serial port."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ptlive.target.running import Guest


def at_the_prompt(guest: Guest, command: str) -> str:
    """Type a command and return what it prints."""
    with socket.socket(socket.AF_UNIX) as serial:
        serial.settimeout(30)
        serial.connect(guest.serial.removeprefix("unix:"))
        # The echo of the line shows the quotes; the answer does not.
        serial.sendall(f"{command}; echo the''end\n".encode())
        said = b""
        while b"theend" not in said:
            said += serial.recv(4096)
    return said.decode().replace("\r", "")
