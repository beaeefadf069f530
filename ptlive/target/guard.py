"""The parent's hold on its guard process; see `guard_process` for why there is one."""

from __future__ import annotations

import contextlib
import json
import mmap
import os
import socket
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from ptlive.errors import PtliveError
from ptlive.wire.preflight import Preflight

if TYPE_CHECKING:
    from ptlive.wire.gdb import GdbMi

_PACKAGES = Path(__file__).resolve().parents[2]

# `-I -S`: no site packages, nothing of the environment, so that it starts in a few
# hundredths of a second. The rest of ptlive's own dependencies is not imported.
_OPTIONS = ("-I", "-S", "-c")

# Longer than all that the guard waits for by itself.
_PATIENCE = 20.0


class Guard:
    """One guard process, watching over the stub at `address` and, if one is used, over gdb.

    It starts by asking the stub what `ptlive.wire.preflight` asks, which stops the guest.
    """

    def __init__(self, address: str, gdb: GdbMi | None = None) -> None:
        command = [_python(), *_OPTIONS, _program("main"), address]
        self._channel, output = socket.socketpair()
        with output, ExitStack() as stack:
            passed: tuple[int, ...] = ()
            if gdb is not None:
                descriptor = os.pidfd_open(gdb.pid)
                stack.callback(os.close, descriptor)
                command.append(str(descriptor))
                # Inherited so that gdb's input does not end with us.
                passed = (descriptor, gdb.stdin)
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=output.fileno(),
                pass_fds=passed,
                start_new_session=True,
                text=True,
            )
        self._connection: socket.socket | None = None

    def preflight(self) -> Preflight:
        """Return what the stub told. Raises PtliveError with the guard's reason."""
        line = b""
        while not line.endswith(b"\n"):
            data, held, _, _ = socket.recv_fds(self._channel, 1 << 16, 1, socket.MSG_CMSG_CLOEXEC)
            if held:
                self._connection = socket.socket(fileno=held[0])
            if not data:
                raise PtliveError("the guard process ended unexpectedly")
            line += data
        report = json.loads(line)
        if "error" in report:
            raise PtliveError(report["error"])
        return Preflight(**report)

    def take_connection(self) -> socket.socket:
        """Return the connection on which the guard has asked the stub, once.

        Whatever becomes of it here, the guard can end it. There is none with gdb.
        """
        connection, self._connection = self._connection, None
        assert connection is not None
        return connection

    def send(self, line: str) -> None:
        """Hand one line over; once this returns, the guard will read it whatever happens.

        Raises PtliveError when the guard is gone: nothing may be changed without it.
        """
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(line + "\n")
            self._process.stdin.flush()
        except OSError:
            raise PtliveError("the process that guards the guest's state has ended") from None

    def set_resume(self, resume: bool) -> None:
        """Tell whether the guest shall run again, if that is known better than it saw."""
        self.send(f"resume {int(resume)}")

    def close(self, *, release: bool) -> bool:
        """End the guard: released from its duty, or doing it now.

        Returns whether the guest is as it was found.
        """
        assert self._process.stdin is not None
        if release:
            with contextlib.suppress(PtliveError):
                self.send("release")
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        self._channel.close()
        if self._connection is not None:
            self._connection.close()
        try:
            return self._process.wait(_PATIENCE) == 0
        except subprocess.TimeoutExpired:
            # It goes on alone, and ends by itself.
            return False


class Watch:
    """The guard of a debugger that we are in: it acts only if this process is killed.

    address: of the stub. The process begins when it is first needed.
    """

    def __init__(self, address: str) -> None:
        self._address = address
        self._process: subprocess.Popen[str] | None = None
        # Shared with the process: a packet is quicker than telling it through a pipe.
        self._switched: mmap.mmap | None = None

    def send(self, line: str) -> None:
        """Hand one line over; see `Guard.send`."""
        process, _ = self._begun()
        assert process.stdin is not None
        try:
            process.stdin.write(line + "\n")
            process.stdin.flush()
        except OSError:
            raise PtliveError("the process that guards the guest's state has ended") from None

    def announce(self, mode: int | None) -> None:
        """Tell what `PhyMemMode` is to be put back to; None once it is as it was found."""
        _, switched = self._begun()
        switched[0] = 0 if mode is None else 1 + mode

    def close(self) -> None:
        """End the process: there is nothing to put back any more."""
        if self._process is not None:
            self._process.communicate("release\n")
            self._process = None

    def _begun(self) -> tuple[subprocess.Popen[str], mmap.mmap]:
        """Return the process, begun if need be, and the byte that it looks at."""
        if self._process is None or self._switched is None:
            flag = os.memfd_create("ptlive-switched")
            try:
                os.ftruncate(flag, mmap.PAGESIZE)
                self._switched = mmap.mmap(flag, mmap.PAGESIZE)
                self._process = subprocess.Popen(
                    [_python(), *_OPTIONS, _program("watch"), self._address, str(flag)],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    pass_fds=(flag,),
                    start_new_session=True,
                    text=True,
                )
            except OSError as error:
                raise PtliveError(
                    f"the process that guards the guest's state does not start: {error.strerror}"
                ) from None
            finally:
                os.close(flag)
        return self._process, self._switched


def _program(function: str) -> str:
    return (
        f"import os, sys; sys.path.insert(0, {str(_PACKAGES)!r}); "
        f"from ptlive.target import guard_process; os._exit(guard_process.{function}())"
    )


def _python() -> str:
    """Return a Python to run; one that is embedded, as gdb's, may name a program that is not."""
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    candidates = (sys.executable, f"{sys.base_prefix}/bin/python{version}", "/usr/bin/python3")
    return next((one for one in candidates if one and os.access(one, os.X_OK)), "python3")
