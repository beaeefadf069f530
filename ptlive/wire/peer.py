"""Which process is at the far end of a connection on this machine.

Of unix sockets the kernel tells it. Of TCP it tells the inode of the very socket at the
other end, and a process that has it open is found among those of this user.
"""

from __future__ import annotations

import os
import socket
import struct
from contextlib import suppress

from ptlive.wire.holder import hexadecimal, lines


def peer_pid(connection: socket.socket) -> int | None:
    """Return the process at the far end of a connection; None if that is not told.

    Of a unix socket it is the one that called listen(2), which need not be the one that
    answers. Of TCP it is one that holds the other end open, once it has accepted.
    """
    if connection.family == socket.AF_UNIX:
        length = struct.calcsize("3i")
        credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, length)
        pid: int = struct.unpack("3i", credentials)[0]
        return pid or None
    inode = _inode_of_peer(connection)
    return _owner(f"socket:[{inode}]") if inode else None


def _inode_of_peer(connection: socket.socket) -> str | None:
    """Return the inode of the socket at the other end, if that is on this machine."""
    try:
        ours, theirs = connection.getsockname(), connection.getpeername()
    except OSError:
        return None
    # The other end has our addresses, exchanged. A server on :: has mapped ones.
    local = set(hexadecimal(connection.family, theirs[0], theirs[1]))
    remote = set(hexadecimal(connection.family, ours[0], ours[1]))
    for name in ("tcp", "tcp6"):
        for line in lines(f"/proc/net/{name}"):
            # sl local_address rem_address st tx:rx tr:when retrnsmt uid timeout inode ...
            row = line.split(maxsplit=10)
            if len(row) > 9 and row[1] in local and row[2] in remote and row[9] != "0":
                return row[9]
    return None


def _owner(target: str) -> int | None:
    """Return the first process, of those that we may look into, that has this open."""
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        with suppress(OSError):
            folder = f"/proc/{name}/fd"
            for descriptor in os.listdir(folder):
                # Others come and go meanwhile.
                with suppress(OSError):
                    if os.readlink(f"{folder}/{descriptor}") == target:
                        return int(name)
    return None
