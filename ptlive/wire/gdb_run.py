"""What a debugger does, by gdb itself: symbols, breakpoints, running, stepping, expressions.

`GdbStub` sends packets past gdb's own notions (`gdb_packets`). Here gdb is asked for what it
does best, so before it is asked anything it is brought up to date: its registers are read
again, and the vCPU that it takes for selected is made the one that the stub has selected.
"""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from ptlive.errors import PtliveError
from ptlive.wire.gdb import quote

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ptlive.wire.gdb import Reply
    from ptlive.wire.gdb_stub import GdbStub

# A guest that runs stops within milliseconds; QEMU itself may be busy.
_INTERRUPT_SECONDS = 30.0
# How long is waited at once, so that Ctrl-C and a QEMU that has ended are seen.
_SLICE = 1.0
# Functions of a kernel are no values; as numbers they are where they begin.
_NUMBER = "(unsigned long) ({})"
_VALUE = re.compile(r"\$\d+ = (0x[0-9a-f]+)\b")

_REASONS = {
    "breakpoint-hit": "breakpoint",
    "watchpoint-trigger": "watchpoint",
    "read-watchpoint-trigger": "watchpoint",
    "access-watchpoint-trigger": "watchpoint",
    "end-stepping-range": "step",
    "function-finished": "finished",
    "location-reached": "reached",
}
# gdb manual, "GDB/MI Async Records": under which name a watchpoint's number comes.
_WATCHED = ("wpt", "hw-rwpt", "hw-awpt")


class Stopped(NamedTuple):
    """How the guest stopped: why, on which vCPU, where, by which of gdb's breakpoints."""

    reason: str
    vcpu: int
    rip: int
    function: str | None
    breakpoint: int | None


class GdbRun:
    """Drives the guest of an attached `GdbStub`; every method raises PtliveError.

    The selected vCPU is the one whose registers gdb's expressions mean.
    """

    def __init__(self, stub: GdbStub) -> None:
        self._stub, self._gdb = stub, stub.gdb
        self.vcpu = stub.vcpus()[0]

    @property
    def pid(self) -> int:
        """The id of gdb's process."""
        return self._gdb.pid

    @property
    def running(self) -> bool:
        """Whether the guest runs, as far as gdb has said up to now."""
        self._gdb.await_stop(self._gdb.stops, 0)
        return self._gdb.running

    def check(self) -> None:
        """Raise PtliveError if the guest cannot be asked now: it runs, or gdb or QEMU is lost."""
        if self.running:
            raise PtliveError("the guest runs: wait for it to stop, or interrupt it")

    @property
    def failed(self) -> bool:
        """Whether gdb, or its connection to the guest, is lost for good."""
        return self._gdb.failed

    def console(self, command: str) -> str:
        """Run a command of gdb's command line; return what it prints."""
        [reply] = self._ask([f"-interpreter-exec console {quote(command)}"])
        return reply.text

    def select(self, vcpu: int) -> None:
        """Select a vCPU."""
        thread = self._stub.thread_of(vcpu)
        self._ask([f"-thread-select {thread}"])
        self.vcpu = vcpu

    def evaluate(self, expression: str) -> int:
        """Return the value of an expression of gdb's, as an unsigned number of 64 bits."""
        text = self.console(f"print/x {_NUMBER.format(expression)}")
        found = _VALUE.search(text)
        if found is None:
            raise PtliveError(f"gdb: {expression!r} is no number: {text.strip()}")
        return int(found[1], 16)

    def may_have_written(self) -> None:
        """Let nothing that was read count any more: gdb was asked for what may write memory."""
        self._stub.written()

    def insert(
        self,
        place: str,
        *,
        hardware: bool = False,
        temporary: bool = False,
        condition: str | None = None,
        vcpu: int | None = None,
    ) -> dict[str, Any]:
        """Set a breakpoint; return what gdb tells of it (gdb manual, "GDB/MI Breakpoint")."""
        options = "-h " * hardware + "-t " * temporary
        if condition is not None:
            options += f"-c {quote(condition)} "
        if vcpu is not None:
            options += f"-p {self._stub.thread_of(vcpu)} "
        [reply] = self._ask([f"-break-insert {options}{quote(place)}"])
        return dict(reply.payload["bkpt"])

    def watch(self, expression: str, kind: str) -> int:
        """Set a hardware watchpoint; kind: write, read or access. Return its number."""
        option = {"write": "", "read": "-r ", "access": "-a "}[kind]
        [reply] = self._ask([f"-break-watch {option}{quote(expression)}"])
        told = next((reply.payload[name] for name in _WATCHED if name in reply.payload), None)
        if told is None:
            raise PtliveError(f"gdb sets no hardware watchpoint on {expression}")
        return int(told["number"])

    def delete(self, numbers: Sequence[int] = ()) -> None:
        """Delete breakpoints and watchpoints, all by default."""
        self._ask([f"-break-delete {' '.join(map(str, numbers))}".rstrip()])

    def resume(self, command: str = "-exec-continue") -> None:
        """Let the guest run: by -exec-continue, -exec-step, ...; see the gdb manual."""
        self._stub.went_on()
        self._ask([command])

    def wait(self, stops: int, seconds: float | None) -> bool:
        """Wait until the guest has stopped more than `stops` times; tell whether it has."""
        deadline = None if seconds is None else time.monotonic() + seconds
        while True:
            left = _SLICE if deadline is None else min(deadline - time.monotonic(), _SLICE)
            if self._gdb.await_stop(stops, max(left, 0)):
                return True
            if deadline is not None and time.monotonic() >= deadline:
                return False

    def interrupt(self) -> None:
        """Stop the guest if it runs."""
        self._gdb.check()
        self._gdb.interrupt(_INTERRUPT_SECONDS)

    @property
    def stops(self) -> int:
        """How many times the guest has stopped."""
        return self._gdb.stops

    def stopped(self) -> Stopped:
        """Return how it stopped last, and select the vCPU that did."""
        told = self._gdb.last_stop
        frame = told.get("frame", {})
        self.vcpu = self._stub.vcpu_of(told.get("thread-id"))
        reason = told.get("reason", "")
        if reason == "signal-received":
            signal = told.get("signal-name", "")
            reason = "interrupted" if signal in ("SIGINT", "0") else f"signal {signal}"
        number = told.get("bkptno")
        for name in _WATCHED:
            number = told.get(name, {}).get("number", number)
        return Stopped(
            reason=_REASONS.get(reason, reason or "stopped"),
            vcpu=self.vcpu,
            rip=int(frame.get("addr", "0"), 16),
            function=frame.get("func") if frame.get("func") != "??" else None,
            breakpoint=None if number is None else int(number),
        )

    def _ask(self, commands: Sequence[str]) -> list[Reply]:
        """Ask gdb, brought up to date. Raises PtliveError for what it refuses, and if it runs."""
        self.check()
        self._stub.hand_over(self.vcpu)
        try:
            replies = self._gdb.batch(commands)
        except ValueError as error:
            raise PtliveError(f"too much for gdb at once: {error}") from None
        for reply in replies:
            if reply.error is not None:
                raise PtliveError(f"gdb: {reply.error}")
        return replies
