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
    # A path is as the one who listens wrote it, perhaps from another folder.
    path, port = os.path.basename(details), details.rpartition(":")[2]
    for name in os.listdir("/proc/self/fd"):
        with suppress(OSError):
            if not os.readlink(f"/proc/self/fd/{name}").startswith("socket:"):
                continue
            with socket.socket(fileno=os.dup(int(name))) as connection:
                peer = connection.getpeername()
                if connection.family == socket.AF_UNIX:
                    if peer and os.path.basename(os.fsdecode(peer)) == path:
                        return FarEnd(f"unix:{os.path.abspath(details)}", peer_pid(connection))
                elif port.isdigit() and peer[1] == int(port):
                    return FarEnd(gdb_target(connection), peer_pid(connection))
    return None
