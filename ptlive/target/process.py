"""Processes that ptlive starts: begun, recognised again, ended.

A process is named by its number and its start time, because the kernel gives a
number out again once its owner is gone.
"""

from __future__ import annotations

import enum
import os
import select
import signal
import sys
import threading
import weakref
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ptlive.errors import PtliveError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import FrameType

# How processes of ours ended, by number.
_exit_codes: dict[int, int] = {}
#: Whether signals are this program's. Inside a debugger they are not: it has a handler for
#: Ctrl-C of its own below Python's, which would not come back.
signals_are_ours = True

# Seconds until a signal that came at a bad moment is sent again.
_LATER = 0.001


def spawn(
    argv: Sequence[str], *, output: Path, keep: Sequence[int] = (), outlive: bool = False
) -> int:
    """Start a program in a session of its own and return its process id.

    Its input is empty, its output goes to the file `output`; it inherits the
    file descriptors in `keep`. In its own session, a Ctrl-C meant for ptlive does
    not reach it. Unless `outlive`, the kernel kills it when the calling thread
    ends, however that ends (prctl(2), PR_SET_PDEATHSIG). Raises PtliveError when
    the program cannot be executed.
    """
    # setpriv is part of util-linux, which every Debian has; unlike a preexec_fn it
    # runs nothing of ours between fork and exec, which threads could deadlock.
    command = list(argv) if outlive else ["setpriv", "--pdeathsig", "KILL", "--", *argv]
    for descriptor in keep:
        os.set_inheritable(descriptor, True)
    try:
        pid = os.posix_spawnp(
            command[0],
            command,
            os.environ,
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_OPEN, 1, output, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600),
                (os.POSIX_SPAWN_DUP2, 1, 2),
            ],
            setsid=True,
            setsigmask=[],
            setsigdef=[signal.SIGPIPE],
        )
    except OSError as error:
        raise PtliveError(f"cannot run {command[0]}: {error.strerror}") from error
    finally:
        for descriptor in keep:
            os.set_inheritable(descriptor, False)
    _exit_codes.pop(pid, None)  # of another process that had this number
    return pid


def start_time(pid: int) -> int | None:
    """Return when the process started, in clock ticks since boot; None if it is gone.

    A process that has ended and only waits for its parent counts as gone.
    """
    _reap(pid, os.WNOHANG)
    try:
        # The name in parentheses may hold spaces; proc(5) counts fields from 1, the
        # state is field 3 and the start time field 22.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else int(fields[19])


def exit_code(pid: int) -> int | None:
    """Return the exit status of a process of ours that has ended (-N: by signal N), else None."""
    if start_time(pid) is None:
        # Its first thread is gone; the others, and the status, may take some milliseconds more.
        _reap(pid, 0)
    return _exit_codes.get(pid)


def _reap(pid: int, options: int) -> None:
    """Take an ended process off the system's table, if it is ours, and keep its status."""
    with suppress(ChildProcessError):
        ended, status = os.waitpid(pid, options)
        if ended:
            _exit_codes[pid] = os.waitstatus_to_exitcode(status)


def end(pid: int, started: int, *, patience: float = 3.0) -> None:
    """End a process: SIGTERM, then, after `patience` seconds, SIGKILL.

    Nothing is sent when the number now belongs to another process.
    """
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            handle = os.pidfd_open(pid)
        except ProcessLookupError:
            return
        try:
            if start_time(pid) != started:
                return
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(handle, number)
        finally:
            os.close(handle)
        # Nothing outlasts SIGKILL but a kernel that is busy.
        if wait_end(pid, started, patience if number == signal.SIGTERM else 30.0):
            return
    raise PtliveError(f"process {pid} does not end, not even by SIGKILL")


def wait_end(pid: int, started: int, seconds: float) -> bool:
    """Wait at most `seconds` for a process to end, and tell whether it has."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        if start_time(pid) == started:
            select.select([handle], [], [], seconds)
    finally:
        os.close(handle)
    return start_time(pid) != started


@contextmanager
def orderly_signals() -> Iterator[None]:
    """Turn SIGTERM and SIGHUP into SystemExit, so that clean-up code runs; let none be lost.

    Only where the default action was in force, sudden death, or KeyboardInterrupt for
    SIGINT; and only in the main thread, because Python handles signals nowhere else.
    """

    def leave(number: int, frame: FrameType | None) -> None:
        if _forgetful(frame):
            threading.Timer(_LATER, os.kill, (os.getpid(), number)).start()
        elif number == signal.SIGINT:
            raise KeyboardInterrupt
        else:
            raise SystemExit(128 + number)

    replaced: dict[signal.Signals, Any] = {}
    if signals_are_ours and threading.current_thread() is threading.main_thread():
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            before = signal.getsignal(number)
            if before in (signal.SIG_DFL, signal.default_int_handler):
                replaced[number] = signal.signal(number, leave)
    try:
        yield
    finally:
        for number, before in replaced.items():
            signal.signal(number, before)


# numpy looks for attributes of the class of every scalar that it is given, and forgets what
# that raises (PyArray_LookupSpecial). The class of an enum looks in Python code up to 3.11
# (enum.py, EnumType.__getattr__). Python itself forgets what is raised while something is
# deleted: by __del__, and by what weak references call (weakref.py, _weakrefset.py).
_FORGETFUL = {enum.__file__, weakref.__file__, sys.modules[weakref.WeakSet.__module__].__file__}


def _forgetful(frame: FrameType | None) -> bool:
    """Tell whether an exception raised here may be lost."""
    while frame is not None:
        if frame.f_code.co_filename in _FORGETFUL or frame.f_code.co_name == "__del__":
            return True
        frame = frame.f_back
    return False
