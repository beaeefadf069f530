"""The two places at which a proxy listens, and its run."""

from __future__ import annotations

import os
import socket
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ptlive.errors import PtliveError
from ptlive.target.running import locked, private_folder
from ptlive.wire.address import StubAddress, parse_address
from ptlive.wire.holder import lines
from ptlive.wire.proxy import Proxy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# sun_path holds 108 bytes, of which one is the final zero (unix(7)).
_LONGEST_SOCKET = 107
# Those who wait while another one is served.
_QUEUE = 4


class Places(NamedTuple):
    """Where a proxy listens: what gdb's `target remote` takes, and ptlive's `--gdb`."""

    debugger: str
    ptlive: str


@contextmanager
def proxy(
    stub: str, listen: str, tell: Callable[[str], None]
) -> Iterator[tuple[Places, Callable[[], None]]]:
    """Listen for a debugger at `listen` and for ptlive at a place of our own.

    stub: the address of QEMU's, which nobody touches until a client comes. Yields the
    places, and what serves until it is interrupted. Raises PtliveError if something
    listens there already.
    """
    StubAddress.parse(stub)
    with ExitStack() as stack:
        debuggers, debugger = stack.enter_context(_listening(parse_address(listen)))
        with locked() as folder:
            path = _free_path(folder)
            ptlives, _ = stack.enter_context(_listening(path))
        served = Proxy(stub, debuggers, ptlives, tell)
        stack.callback(served.close)
        yield Places(debugger, f"unix:{path}"), served.serve


def _free_path(folder: Path) -> str:
    """Return a path for a socket at which no proxy listens; the state's lock is held."""
    if len(os.fsencode(folder / "proxy-99.sock")) > _LONGEST_SOCKET:
        folder = private_folder(Path(f"/tmp/ptlive-{os.geteuid()}"))
    number = 1
    while True:
        path = str(folder / ("proxy.sock" if number == 1 else f"proxy-{number}.sock"))
        if not _is_bound(path):
            return path
        number += 1


@contextmanager
def _listening(place: str | tuple[str, int]) -> Iterator[tuple[socket.socket, str]]:
    """Listen at a path, or a host and a port; yield the socket and what gdb calls the place."""
    if isinstance(place, str):
        with _at_path(place) as listener:
            yield listener, place
        return
    with _at_port(*place) as listener:
        yield listener, f"{place[0]}:{listener.getsockname()[1]}"


@contextmanager
def _at_path(path: str) -> Iterator[socket.socket]:
    if _is_bound(path):
        raise PtliveError(f"something listens on unix:{path} already")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        try:
            if Path(path).is_socket():
                os.unlink(path)  # of one that was killed
            listener.bind(path)
            os.chmod(path, 0o600)
            listener.listen(_QUEUE)
        except OSError as error:
            raise PtliveError(f"cannot listen on unix:{path}: {_reason(error)}") from None
        try:
            yield listener
        finally:
            with suppress(OSError):
                os.unlink(path)


@contextmanager
def _at_port(host: str, port: int) -> Iterator[socket.socket]:
    listener, reason = None, "no such host"
    with suppress(socket.gaierror):
        for family, _, _, _, address in socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        ):
            try:
                listener = socket.create_server(address[:2], family=family, backlog=_QUEUE)
                break
            except OSError as error:
                reason = _reason(error)
    if listener is None:
        raise PtliveError(f"cannot listen on {host}:{port}: {reason}")
    with listener:
        yield listener


def _reason(error: OSError) -> str:
    return error.strerror or str(error)


def _is_bound(path: str) -> bool:
    """Tell whether a socket with this path is open; merely trying would stop a guest."""
    absolute = os.path.abspath(path)
    rows = (line.rstrip("\n").split(maxsplit=7) for line in lines("/proc/net/unix"))
    return any(len(row) == 8 and os.path.abspath(row[7]) == absolute for row in rows)
