"""QEMU's own control channel (QMP), as plain calls.

The protocol is spoken by the library qemu.qmp, which is asynchronous and takes
0.1 s to import: both stay inside this file.
"""

from __future__ import annotations

import logging
import signal
import socket
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Self, TypeVar

from ptlive.errors import PtliveError
from ptlive.wire.address import parse_address
from ptlive.wire.peer import peer_pid

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Coroutine, Iterator
    from types import FrameType

_T = TypeVar("_T")

_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Qmp:
    """One QMP session with a QEMU.

    `address` is `HOST:PORT` or `unix:PATH`; `timeout` bounds the connection and
    each command, in seconds. Raises PtliveError when nothing answers there, or
    when what answers is no QMP. QEMU serves one client per QMP socket: a second
    one waits for its greeting until the time is over.
    """

    def __init__(self, address: str, *, timeout: float = 5.0) -> None:
        import asyncio

        from qemu.qmp import EventListener, QMPClient

        # The library logs what it also raises; one report to the user is enough.
        logging.getLogger("qemu.qmp").setLevel(logging.CRITICAL + 1)
        target = parse_address(address)
        self.address, self._timeout = address, timeout
        self._loop = asyncio.new_event_loop()
        self._client = QMPClient("ptlive")
        self._resumes = EventListener("RESUME")
        self._client.register_listener(self._resumes)
        self.pid: int | None = None
        """The process that listens, if it is one of this machine."""
        try:
            self._run(self._connect(target))
        except BaseException:
            self.close()
            raise

    def command(self, name: str, **arguments: object) -> object:
        """Execute one QMP command and return its answer.

        An underscore in an argument's name stands for QMP's dash. Raises
        PtliveError when QEMU refuses the command or does not answer.
        """
        given = {key.replace("_", "-"): value for key, value in arguments.items()}
        return self._run(self._client.execute(name, given or None))

    def human(self, line: str) -> str:
        """Execute one line of QEMU's human monitor and return what it prints."""
        return str(self.command("human-monitor-command", command_line=line))

    def running(self) -> bool:
        """Tell whether the guest runs."""
        status = self.command("query-status")
        return isinstance(status, dict) and bool(status.get("running"))

    def resumed(self) -> bool:
        """Tell whether the guest was let run since this was last asked, or since the start."""
        # Events come in order, so that all earlier ones are here once this is answered.
        runs = self.running()
        seen = not self._resumes.empty()
        self._resumes.clear()
        return runs or seen

    async def _connect(self, target: str | tuple[str, int]) -> None:
        if isinstance(target, str):
            connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        else:
            connection = socket.create_connection(target, self._timeout)
        try:
            if isinstance(target, str):
                connection.settimeout(self._timeout)
                connection.connect(target)
            connection.setblocking(False)
            await self._client.connect(connection)
            # Not before it has greeted us: a server that did not accept yet has no socket.
            self.pid = peer_pid(connection)
        except BaseException:
            connection.close()
            raise

    def close(self) -> None:
        """End the session; the guest goes on as it is. Closing twice is harmless."""
        if self._loop.is_closed():
            return
        try:
            self._run(self._client.disconnect())
        except PtliveError:
            pass  # the far end is gone, which is what was wanted
        finally:
            self._loop.close()

    def _run(self, work: Coroutine[object, object, _T]) -> _T:
        import asyncio

        from qemu.qmp import ExecuteError, QMPError

        task = self._loop.create_task(asyncio.wait_for(work, self._timeout))
        try:
            with _cancelled_by_signals(self._loop, task):
                return self._loop.run_until_complete(task)
        except ExecuteError as error:
            raise PtliveError(f"QEMU refused over QMP: {error}") from error
        except TimeoutError as error:
            raise PtliveError(
                f"QMP at {self.address} gave no answer within {self._timeout:g} s "
                "(it serves one client at a time)"
            ) from error
        except (QMPError, OSError, EOFError) as error:
            reason = getattr(error, "strerror", None) or str(error) or "the connection was closed"
            raise PtliveError(f"no QMP at {self.address}: {reason}") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@contextmanager
def _cancelled_by_signals(
    loop: asyncio.AbstractEventLoop, task: asyncio.Task[object]
) -> Iterator[None]:
    """Let a signal cancel a task, and do what it does otherwise once the task has ended.

    Raised in the midst of the library, KeyboardInterrupt would leave tasks of its own behind
    that tell of themselves on the terminal.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[tuple[int, FrameType | None]] = []

    def note(number: int, frame: FrameType | None) -> None:
        came.append((number, frame))
        loop.call_soon_threadsafe(task.cancel)

    handlers = {number: signal.getsignal(number) for number in _ENDING}
    ours = {number: handler for number, handler in handlers.items() if callable(handler)}
    for number in ours:
        signal.signal(number, note)
    try:
        yield
    finally:
        for number, handler in ours.items():
            signal.signal(number, handler)
        for first, frame in came[:1]:
            ours[signal.Signals(first)](first, frame)
