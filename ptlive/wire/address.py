"""Where a gdb stub or QMP listens: `HOST:PORT` or `unix:PATH`, as the user writes it."""

from __future__ import annotations

import socket
from typing import NamedTuple

from ptlive.errors import PtliveError

_EXPECTED = "{!r} is no address: HOST:PORT or unix:PATH is expected"


def parse_address(text: str) -> str | tuple[str, int]:
    """Return the path of `unix:PATH`, or host and port of `HOST:PORT`, `:PORT`, `[IPV6]:PORT`.

    A host that is left out is this machine. Raises PtliveError for anything else.
    """
    if text.startswith("unix:") and len(text) > len("unix:"):
        return text.removeprefix("unix:")
    host, colon, port = text.rpartition(":")
    if colon and port.isascii() and port.isdigit() and int(port) < 1 << 16:
        return host.strip("[]") or "127.0.0.1", int(port)
    raise PtliveError(_EXPECTED.format(text))


class StubAddress(NamedTuple):
    """The place of one gdb stub: a unix socket's path, or a host and a port."""

    text: str
    path: str | None = None
    host: str = ""
    port: int = 0

    @classmethod
    def parse(cls, text: str) -> StubAddress:
        """Read `HOST:PORT`, `:PORT` (this machine), `[IPV6]:PORT` or `unix:PATH`.

        Raises PtliveError for anything else.
        """
        place = parse_address(text)
        if isinstance(place, str):
            return cls(text, path=place)
        host, port = place
        if not port:
            raise PtliveError(_EXPECTED.format(text))
        return cls(text, host=host, port=port)

    def connect(self, timeout: float) -> socket.socket:
        """Open a connection; every later call on it waits `timeout` seconds at most.

        Raises PtliveError when nothing listens there.
        """
        try:
            if self.path is None:
                connection = socket.create_connection((self.host, self.port), timeout)
                # An acknowledgement and the next packet are two small writes.
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                return connection
            connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                connection.settimeout(timeout)
                connection.connect(self.path)
            except BaseException:
                connection.close()
                raise
        except (TimeoutError, BlockingIOError):
            raise PtliveError(f"{self.text} does not accept a connection") from None
        except OSError as error:
            reason = error.strerror or str(error)
            raise PtliveError(f"nothing listens on {self.text} ({reason})") from None
        return connection


def gdb_target(connection: socket.socket) -> str:
    """Return what gdb's `target remote` takes to reach the peer of `connection`.

    A name may stand for several addresses, and gdb would try them in its own order:
    the one that answered is named.
    """
    peer = connection.getpeername()
    if connection.family == socket.AF_UNIX:
        return str(peer)
    host, port = peer[0], peer[1]
    return f"[{host}]:{port}" if connection.family == socket.AF_INET6 else f"{host}:{port}"
