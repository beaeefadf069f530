"""Drive one gdb process through its machine interface (gdb manual, "GDB/MI").

Every command carries a token, and waiting means waiting on gdb's output for the
result record with that token: there are no fixed waits. Many commands travel at once.
"""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import subprocess
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pygdbmi.gdbmiparser import parse_response

from ptlive.errors import PtliveError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

#: Seconds without a word from gdb after which it counts as hanging.
PATIENCE = 60.0

# Seconds after which the target is asked again to stop.
_AGAIN = 0.1

# A pipe takes this much whole or not at all (POSIX: at least 512; Linux: 4096). So
# whatever interrupts us, gdb has never seen half a command.
_ATOMIC = select.PIPE_BUF

# What gdb says once the stub's end of the connection is gone (remote.c).
_CLOSED = ("Remote connection closed", "Remote communication error", "remote target")

# ... and to most commands while the target runs (remote.c, remote_target::putpkt_binary).
_RUNS = "Cannot execute this command while the target is running"

_GONE = "QEMU closed the connection: the guest is gone"

_ENVIRONMENT = {"LC_ALL": "C", "TERM": "dumb", "DEBUGINFOD_URLS": ""}


@dataclass
class Reply:
    """What gdb answered to one command."""

    message: str = ""
    """The result class: done, connected, error, exit, or nothing yet."""
    payload: dict[str, Any] = field(default_factory=dict)
    """The fields of the result record."""
    text: str = ""
    """What the command printed: gdb's console and the stub's own output."""

    @property
    def error(self) -> str | None:
        """The message of gdb if the command failed, else None."""
        return str(self.payload.get("msg", "")) if self.message == "error" else None


class GdbMi:
    """One gdb process, in a session of its own so that a terminal's Ctrl-C spares it.

    running: whether the target runs, as far as gdb has said; last_stop: the fields of the
    record (gdb manual, "GDB/MI Async Records") with which it stopped last

    executable: which gdb; by default what PTLIVE_GDB names, as for `ptlive gdb`, else "gdb"

    Raises PtliveError when gdb cannot be started.
    """

    def __init__(self, executable: str | None = None, pass_fds: Sequence[int] = ()) -> None:
        executable = executable or os.environ.get("PTLIVE_GDB") or "gdb"
        path = shutil.which(executable)
        if path is None:
            raise PtliveError(f"{executable} is not installed (Debian: apt install gdb)")
        try:
            self.process = subprocess.Popen(
                [path, "-nx", "-q", "--interpreter=mi3"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
                pass_fds=pass_fds,
                env=os.environ | _ENVIRONMENT,
            )
        except OSError as error:
            raise PtliveError(f"gdb does not start: {error.strerror}") from None
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.stdin = self.process.stdin.fileno()
        self._stdout = self.process.stdout.fileno()
        os.set_blocking(self.stdin, False)
        os.set_blocking(self._stdout, False)
        self._token = 0
        self._partial = bytearray()
        self._settled = True
        self._failure: str | None = None
        self._stops = 0
        self.running = False
        self.last_stop: dict[str, Any] = {}

    @property
    def pid(self) -> int:
        """The process's id."""
        return self.process.pid

    @property
    def failed(self) -> bool:
        """Whether gdb, or its connection to the stub, is lost for good."""
        return self._failure is not None

    def check(self) -> None:
        """Raise PtliveError if gdb, or its connection to the stub, is lost."""
        if self._failure is not None:
            raise PtliveError(self._failure)

    def batch(self, commands: Sequence[str], patience: float = PATIENCE) -> list[Reply]:
        """Run MI commands in order; return their replies, errors among them.

        All are written at once, as fast as gdb takes them. Raises PtliveError when
        gdb ends, when the stub closes the connection, and when gdb says nothing for
        `patience` seconds; every later call then raises the same. An interrupted
        batch (KeyboardInterrupt) leaves the rest of its commands unsent, and the
        replies that come late are skipped by the next one.
        """
        self.check()
        if not commands:
            return []
        self._settle()
        self._settled = False
        replies = self._exchange(commands, patience)
        self._settled = True
        return replies

    def console(self, commands: Sequence[str], patience: float = PATIENCE) -> list[Reply]:
        """Run commands of gdb's own command line, as `batch` does."""
        return self.batch([f"-interpreter-exec console {quote(c)}" for c in commands], patience)

    def await_stop(self, stops: int, patience: float) -> bool:
        """Wait until the target has stopped more than `stops` times; tell whether it has.

        Raises PtliveError when gdb or the connection to the stub ends meanwhile.
        """
        self.check()
        self._settle()
        self._settled = False
        deadline = time.monotonic() + patience
        while self._stops <= stops:
            left = max(deadline - time.monotonic(), 0)
            if not select.select([self._stdout], [], [], left)[0]:
                break
            for record in map(parse_response, self._lines()):
                self._note(record)
        self._settled = True
        return self._stops > stops

    def interrupt(self, patience: float) -> None:
        """Stop the target if it runs. Raises PtliveError if it does not stop.

        It is asked again and again: QEMU drops the request while the guest stands (gdbstub.c,
        gdb_read_byte), as at a breakpoint that gdb lets it go on from, its condition being false.
        """
        self._settle()
        deadline = time.monotonic() + patience
        while self.running:
            if time.monotonic() >= deadline:
                raise PtliveError("the guest does not stop")
            stops = self._stops
            self.batch(["-exec-interrupt"])
            self.await_stop(stops, _AGAIN)

    @property
    def stops(self) -> int:
        """How many times the target has stopped after running."""
        return self._stops

    def _note(self, record: dict[str, Any]) -> None:
        payload = record["payload"] or {}
        if record["type"] == "result":
            self.running = self.running or _tells_run(record["message"], payload)
        elif record["type"] != "notify":
            return
        elif record["message"] == "running":
            self.running = True
        elif record["message"] == "thread-group-exited" and self.running:
            # Of a target that runs there is nothing else that tells it.
            raise self._fail(_GONE)
        elif record["message"] == "stopped":
            self._note_stop(payload)

    def _note_stop(self, told: dict[str, Any]) -> None:
        self._stops += 1
        self.running = False
        self.last_stop = told

    def quit(self) -> None:
        """End gdb; it lets go of a target that it still has."""
        if not self.failed:
            with contextlib.suppress(PtliveError):
                self.batch(["-gdb-exit"], patience=5)
        self.kill()

    def kill(self) -> None:
        """End gdb at once if it still lives; the guest stays stopped."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()
        self._failure = self._failure or "gdb has ended"

    def _settle(self) -> None:
        """Learn what an interrupted call has not heard; nothing if none was interrupted.

        The interruption may have come between reading and keeping what was read: then a
        line lacks its middle, and that the target runs or has stopped may be among what is lost.
        """
        if self._settled:
            return
        # What the first one prints comes before the reply that counts, and may be torn. The second
        # reads neither registers nor memory, which may still mean physical addresses.
        commands = ["-gdb-version", "-thread-list-ids"]
        _, threads = self._exchange(commands, PATIENCE, broken_lines=True)
        if self.running and threads.error is None:
            [frame] = self._exchange(["-stack-info-frame"], PATIENCE)
            self._note_stop({"thread-id": threads.payload["current-thread-id"], **frame.payload})
        self._settled = True

    def _exchange(
        self, commands: Sequence[str], patience: float, *, broken_lines: bool = False
    ) -> list[Reply]:
        first = self._token + 1
        self._token += len(commands)
        outgoing = _pieces(commands, first)
        piece = next(outgoing, None)
        replies = [Reply() for _ in commands]
        texts: list[list[str]] = [[] for _ in commands]
        answered = 0
        spoken: list[str] = []
        while answered < len(commands):
            writable = [self.stdin] if piece is not None else []
            readable, writable, _ = select.select([self._stdout], writable, [], patience)
            if not readable and not writable:
                raise self._fail(f"gdb has not answered for {patience:.0f} seconds")
            if writable and piece is not None:
                piece = next(outgoing, None) if self._write(piece) else piece
            if not readable:
                continue
            for line in self._lines():
                try:
                    record = parse_response(line)
                except ValueError:
                    if broken_lines:
                        continue
                    raise
                kind = record["type"]
                self._note(record)
                if kind in ("console", "target"):
                    spoken.append(record["payload"])
                elif kind == "result":
                    at = (record["token"] or 0) - first
                    if at >= 0:
                        replies[at].message = record["message"]
                        replies[at].payload = record["payload"] or {}
                        texts[at], spoken = spoken, []
                        answered = at + 1
                        self._check_connection(replies[at])
                    spoken = []
        for reply, parts in zip(replies, texts, strict=True):
            reply.text = "".join(parts)
        return replies

    def _write(self, piece: bytes) -> bool:
        try:
            os.write(self.stdin, piece)
        except BlockingIOError:  # less room than the piece needs: nothing was taken
            return False
        except BrokenPipeError:
            raise self._fail("gdb ended unexpectedly") from None
        return True

    def _lines(self) -> list[str]:
        data = os.read(self._stdout, 1 << 20)
        if not data:
            raise self._fail("gdb ended unexpectedly")
        *lines, rest = data.split(b"\n")
        if lines:
            lines[0] = bytes(self._partial) + lines[0]
            self._partial.clear()
        self._partial += rest
        return [line.decode("utf-8", "replace") for line in lines]

    def _check_connection(self, reply: Reply) -> None:
        error = reply.error
        if error is not None and any(words in error for words in _CLOSED):
            raise self._fail(_GONE)

    def _fail(self, sentence: str) -> PtliveError:
        self._failure = sentence
        return PtliveError(sentence)


def quote(text: str) -> str:
    """Return `text` as a C string, as MI's parameters are written."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def _tells_run(message: str, told: dict[str, Any]) -> bool:
    """Tell whether a result record says that the target runs."""
    # gdb prints ^running first and *running behind it, maybe into another piece of the pipe
    # (mi-interp.c, mi_on_resume): who was told that the command is done may not see it stand.
    return message == "running" or _RUNS in told.get("msg", "")


def _pieces(commands: Sequence[str], first_token: int) -> Iterator[bytes]:
    """Yield whole command lines, as many at a time as a pipe takes in one piece."""
    piece = bytearray()
    for token, command in enumerate(commands, first_token):
        line = b"%d%s\n" % (token, command.encode())
        if len(line) > _ATOMIC:
            raise ValueError(f"a command of {len(line)} bytes does not fit into the pipe whole")
        if len(piece) + len(line) > _ATOMIC:
            yield bytes(piece)
            piece.clear()
        piece += line
    yield bytes(piece)
