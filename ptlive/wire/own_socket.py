"""The socket by which this very process, a debugger that we are in, is connected to a stub.

The debugger does not hand it out, but the kernel lists what a process has open.
"""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from typing import NamedTuple

from ptlive.wire.address import gdb_target
from ptlive.wire.peer import peer_pid


class FarEnd(NamedTuple):
    """Where a stub listens, as `StubAddress` reads it, and the process that does."""

    address: str
    pid: int | None


def far_end(details: str) -> FarEnd | None:
    """Return the far end of our connection to a stub; None if there is no such socket.

    details: what the debugger was told to connect to: `HOST:PORT` or a path
    """
    for name in os.listdir("/proc/self/fd"):
        with suppress(OSError):
            if not os.readlink(f"/proc/self/fd/{name}").startswith("socket:"):
                continue
            with socket.socket(fileno=os.dup(int(name))) as connection:
                peer = connection.getpeername()
                if connection.family == socket.AF_UNIX:
                    if peer and _same_path(os.fsdecode(peer), details, peer_pid(connection)):
                        return FarEnd(f"unix:{os.path.abspath(details)}", peer_pid(connection))
                elif _same_host(peer, details):
                    return FarEnd(gdb_target(connection), peer_pid(connection))
    return None


def _same_path(peer: str, path: str, listener: int | None) -> bool:
    """Tell whether a socket's name, as the one who listens wrote it, means this path."""
    peer = os.path.join(f"/proc/{listener}/cwd", peer)
    if os.path.exists(peer):
        return os.path.samefile(peer, path)
    # Written in a folder or a container that is not ours to look into.
    return os.path.basename(peer) == os.path.basename(path)


def _same_host(peer: tuple[str, int], place: str) -> bool:
    """Tell whether an address is one of HOST:PORT, or of :PORT, which is on this machine."""
    host, _, port = place.rpartition(":")
    if not port.isdigit() or peer[1] != int(port):
        return False
    # remote.c: gdb takes a protocol before it (tcp:, tcp4:, tcp6:), and brackets around IPv6.
    host = host.removeprefix("tcp:").removeprefix("tcp4:").removeprefix("tcp6:").strip("[]")
    found = socket.getaddrinfo(host or "localhost", int(port), type=socket.SOCK_STREAM)
    return peer[0] in {one[4][0] for one in found}
