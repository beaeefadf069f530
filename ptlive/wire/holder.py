"""Tell whether a local stub already serves a client, without connecting to it.

QEMU's stub serves one client. The connection of a second one waits in the kernel's
queue, and when the first goes QEMU accepts it, even if it was closed long ago, and
stops the guest for it (gdbstub.c, CHR_EVENT_OPENED): merely trying would pause
another user's guest. Linux lists every connection in /proc/net.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ptlive.wire.address import StubAddress

_TCP_ESTABLISHED = "01"
_UNIX_CONNECTED = ("02", "03")  # 02: not accepted yet


def is_held(place: StubAddress) -> bool:
    """Tell whether a connection to this stub exists; False where that cannot be seen."""
    if place.path is not None:
        # Num RefCount Protocol Flags Type St Inode Path; the stub's end has its path.
        rows = (line.rstrip("\n").split(maxsplit=7) for line in lines("/proc/net/unix"))
        return any(
            len(row) == 8 and row[5] in _UNIX_CONNECTED and row[7] == place.path for row in rows
        )
    wanted = set(_hexadecimal(place))
    # sl local_address rem_address st ...; the stub's end has the port as its own.
    rows = (
        line.split(maxsplit=4) for name in ("tcp", "tcp6") for line in lines(f"/proc/net/{name}")
    )
    return any(len(row) > 3 and row[3] == _TCP_ESTABLISHED and row[1] in wanted for row in rows)


def lines(path: str) -> Iterator[str]:
    """Yield the lines of one of the kernel's tables; none where it cannot be read."""
    with contextlib.suppress(OSError), open(path, encoding="utf-8", errors="replace") as table:
        yield from table


def _hexadecimal(place: StubAddress) -> Iterator[str]:
    with contextlib.suppress(OSError):
        for family, *_, address in socket.getaddrinfo(
            place.host, place.port, proto=socket.IPPROTO_TCP
        ):
            yield from hexadecimal(family, str(address[0]), place.port)


def hexadecimal(family: int, host: str, port: int) -> Iterator[str]:
    """Yield an address as the kernel prints it: 32-bit words in host order, and the port.

    An IPv4 address is printed as such, or as the mapped one that a server on :: sees.
    """
    packed = socket.inet_pton(family, host.partition("%")[0])
    mapped = bytes(10) + b"\xff\xff"
    if family == socket.AF_INET:
        yield _words(packed, port)
        packed = mapped + packed
    elif packed.startswith(mapped):
        yield _words(packed[len(mapped) :], port)
    yield _words(packed, port)


def _words(packed: bytes, port: int) -> str:
    words = struct.unpack(f">{len(packed) // 4}I", packed)
    return "".join(f"{_host_order(word):08X}" for word in words) + f":{port:04X}"


def _host_order(word: int) -> int:
    return int.from_bytes(word.to_bytes(4, "big"), sys.byteorder)
