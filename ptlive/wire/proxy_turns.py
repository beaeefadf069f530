"""Whose packet goes to QEMU next, of a debugger and of ptlive; see `ptlive.wire.proxy`."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from ptlive.errors import PtliveError
from ptlive.wire.address import StubAddress
from ptlive.wire.packet import PacketError, frame
from ptlive.wire.proxy_packets import Kind, is_one_step, kind, lets_run, refusal
from ptlive.wire.proxy_peers import Awaited, Client, Upstream
from ptlive.wire.proxy_settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable

#: Seconds that ptlive has when the debugger wants to go on.
PATIENCE = 3.0
#: Seconds for the guard of a ptlive that was cut off or killed to come, and to restore.
REPAIR = 10.0
#: Seconds after which a debugger is answered in any case: gdb gives up after three times 2.
ANSWER = 5.0
#: Seconds that ptlive waits for the guest to stop: a debugger's `next` is many short runs.
MOMENT = 1.0

# A list of threads comes in several exchanges, and QEMU has one place in it.
_LISTING = 0.5
_IN_FLIGHT = 1 << 10

_RUNS = "the guest runs under the debugger of this proxy: interrupt it there first"
_NOT_OURS = "only the debugger of this proxy lets the guest run"
_BREAKPOINTS = (
    "the debugger of this proxy keeps its breakpoints inserted while the guest is stopped "
    "(set breakpoint always-inserted off)"
)
_CUT_OFF = "ptlive was cut off, for the debugger to go on"
_REPAIRING = "what ptlive has changed is being put back: try again"
_UNREPAIRED = "a ptlive has ended, and nobody has put back what it had changed"
_GONE = "QEMU closed the connection: the guest is gone"


class Turns:
    """A debugger, ptlive, and QEMU, each of which may be absent.

    next_ptlive: fetches a ptlive that waits to be served, if there is one. tell: gets a
    sentence now and then.
    """

    def __init__(
        self, address: str, next_ptlive: Callable[[], bool], tell: Callable[[str], None]
    ) -> None:
        self.address, self._next_ptlive, self._tell = address, next_ptlive, tell
        self.up: Upstream | None = None
        self.debugger: Client | None = None
        self.ptlive: Client | None = None
        # Why QEMU cannot be reached.
        self._absent: str | None = None
        # Until when a guard may come.
        self._repair: float | None = None
        self._forget()

    def _forget(self) -> None:
        """Forget what belongs to one connection with QEMU."""
        # How the last debugger left the stub, or how it was found.
        self.left = Settings()
        self.debugger_came = False
        self._breakpoints: set[bytes] = set()
        self._last: Client | None = None
        self._lister: tuple[Client, float] | None = None
        # Since when the debugger waits for this ptlive, its packet for any, and ptlive for
        # the guest to stop.
        self._waits: float | None = None
        self._unanswered: float | None = None
        self._runs: float | None = None

    def debugger_arrives(self, client: Client) -> None:
        """Take a debugger that has come."""
        self.debugger = client
        self.debugger_came = True
        client.settings = self.left

    def ptlive_arrives(self, client: Client) -> None:
        """Take a ptlive that has come, or the guard of one that was killed."""
        self.ptlive = client
        client.settings = self.debugger.settings if self.debugger else self.left
        # A guard ends with the word that all is put back.
        client.changed = client.repairs = self._repair is not None
        self._repair = self._waits = self._runs = None

    def debugger_interrupts(self) -> None:
        """Stop the guest that the debugger lets run, or would if it had its turn."""
        debugger = self.debugger
        assert debugger is not None
        if self.up is not None and self.up.running is debugger:
            self.up.interrupt()
        elif debugger.inbox and lets_run(debugger.inbox[-1]):
            debugger.inbox.pop()
            debugger.answer(_stop(2, debugger))

    def ptlive_interrupts(self) -> None:
        """Stop the guest if ptlive steps it."""
        if self.up is not None and self.up.running is self.ptlive:
            self.up.interrupt()

    def tend(self) -> None:
        """Do all that can be done without waiting."""
        while self._end_what_is_gone() or self._mind_the_clock() or self._go_on():
            pass

    def timeout(self) -> float | None:
        """Return the seconds after which there is something to tend to anyhow."""
        moments = [self._repair, self._lister and self._lister[1]]
        if self.ptlive is not None:
            moments.append(self._waits and self._waits + _patience(self.ptlive))
        moments.append(self._unanswered and self._unanswered + ANSWER)
        if self.ptlive is not None and self.ptlive.inbox:
            moments.append(self._runs and self._runs + MOMENT)
        first = min((moment for moment in moments if moment), default=None)
        return None if first is None else max(first - time.monotonic(), 0.0)

    def _connect(self, client: Client) -> None:
        """Connect to QEMU because of a client, which is told if that is not possible."""
        debugger_came = client is self.debugger
        self._forget()
        self.debugger_came = debugger_came
        try:
            self.up = Upstream(self.address, self._finished)
        except (PtliveError, PacketError, OSError) as error:
            self._absent = str(error) or "QEMU does not answer"
            self._tell(self._absent)
            return
        client.settings = self.left = self.up.first
        # As QEMU tells it to who stops a running guest by coming (up to 8.0).
        if self.up.found.was_running and not debugger_came:
            client.send(frame(_stop(2, client)))

    def _disconnect(self) -> None:
        if self.up is not None:
            self.up.close()
        self.up = None
        self._forget()

    def _end_what_is_gone(self) -> bool:
        up, debugger, ptlive = self.up, self.debugger, self.ptlive
        if up is not None and up.gone:
            self._tell(_GONE)
            self._repair = None
            for client in (debugger, ptlive):
                if client is not None:
                    client.gone = True
            self._disconnect()
        elif ptlive is not None and (ptlive.gone or ptlive.leaving):
            self._end_ptlive(ptlive)
        elif debugger is not None and (debugger.gone or debugger.leaving):
            self.debugger, self.left = None, debugger.settings
            if up is not None and (up.running is debugger or debugger.leaving):
                # The guest runs, and goes on so; the next one stops it anew.
                self._disconnect()
            debugger.close()
        else:
            return False
        return True

    def _end_ptlive(self, ptlive: Client) -> None:
        self.ptlive = None
        if self.up is not None and self.up.running is ptlive:
            self.up.interrupt()
        if ptlive.changed:
            self._repair = time.monotonic() + REPAIR
        if ptlive.leaving and not self.debugger_came:
            self._disconnect()
        ptlive.close()

    def _mind_the_clock(self) -> bool:
        now = time.monotonic()
        debugger, ptlive = self.debugger, self.ptlive
        if self._repair is not None and now >= self._repair:
            self._repair = None
            self._tell(_UNREPAIRED)
        if self._lister is not None and now >= self._lister[1]:
            self._lister = None
        self._answer_in_time(now)
        if debugger is None or ptlive is None:
            self._waits = self._runs = None
            return False
        self._waits = (self._waits or now) if debugger.inbox and ptlive.begun else None
        if self._waits is not None and now >= self._waits + _patience(ptlive):
            self._tell(_CUT_OFF)
            self._end_ptlive(ptlive)
            return True
        runs = self.up is not None and self.up.running is debugger
        self._runs = (self._runs or now) if runs else None
        if self._runs is not None and now >= self._runs + MOMENT:
            while ptlive.inbox:
                ptlive.inbox.popleft()
                ptlive.answer(refusal(_RUNS))
        return False

    def _answer_in_time(self, now: float) -> None:
        """Refuse a packet of the debugger for whose reply it waits no longer.

        For the stop of a guest that runs it waits for ever.
        """
        debugger = self.debugger
        if debugger is None or not debugger.inbox or not self._must_wait(debugger):
            self._unanswered = None
        elif self._unanswered is None or lets_run(debugger.inbox[0]):
            self._unanswered = now
        elif now >= self._unanswered + ANSWER:
            debugger.inbox.popleft()
            debugger.answer(refusal(_REPAIRING))
            self._unanswered = None

    def _go_on(self) -> bool:
        """Pass on what may be; tell whether there was anything."""
        up = self.up
        if up is None:
            return self._without_qemu()
        if up.awaited:
            return self._add_to(up)
        client = self._whose_turn()
        if client is not None:
            self._begin(up, client)
            return True
        if self.ptlive is not None:
            return False
        if up.switch(self.debugger.settings if self.debugger else self.left):
            return True
        if self.debugger is None and self._repair is None:
            # Whoever waits comes first: a guard must find what it is to put back.
            if not self._next_ptlive():
                self._disconnect()
            return True
        return False

    def _without_qemu(self) -> bool:
        """Connect for a client that has come; if that failed, its first packet is told."""
        for client in (self.debugger, self.ptlive):
            if client is None:
                continue
            if self._absent is None:
                self._connect(client)
                return True
            if client.inbox:
                client.answer(refusal(self._absent))
                client.leaving = True
                return True
        if self.debugger is None and self.ptlive is None:
            self._absent = None
        return False

    def _whose_turn(self) -> Client | None:
        ready = [
            client
            for client in (self.debugger, self.ptlive)
            if client is not None and client.inbox and not self._must_wait(client)
        ]
        if len(ready) == 2 and ready[0] is self._last:
            return ready[1]
        return ready[0] if ready else None

    def _must_wait(self, client: Client) -> bool:
        if self._lister is not None and self._lister[0] is not client:
            return not self._lister[0].gone
        if client is not self.debugger:
            return False
        ptlive = self.ptlive
        if self._repair is not None or (ptlive is not None and ptlive.changed):
            return True
        begun = ptlive is not None and ptlive.begun
        return begun and kind(client.inbox[0]) is not Kind.ASKS

    def _begin(self, up: Upstream, client: Client) -> None:
        """Begin a client's turn: the stub is idle."""
        client.begun = True
        answer = self._own_answer(client, client.inbox[0])
        if answer is not None:
            client.inbox.popleft()
            client.answer(answer)
            return
        self._last = client
        if not up.switch(client.settings):
            up.wake()
        self._pass_on(up, client)

    def _add_to(self, up: Upstream) -> bool:
        """Pass on more of ptlive while its replies come, if nobody else has a turn."""
        ptlive, debugger = self.ptlive, self.debugger
        last = up.awaited[-1]
        if ptlive is None or not ptlive.inbox or last.owner is not ptlive:
            return False
        if debugger is not None and debugger.inbox and not self._must_wait(debugger):
            return False
        if lets_run(last.payload) or sum(one.count for one in up.awaited) >= _IN_FLIGHT:
            return False
        return self._pass_on(up, ptlive)

    def _pass_on(self, up: Upstream, client: Client) -> bool:
        """Pass on a packet of the debugger, or those of ptlive that need no answer of ours."""
        bodies: list[bytes] = []
        inbox = client.inbox
        if client is self.debugger:
            bodies.append(inbox.popleft())
        while client is self.ptlive and inbox and len(bodies) < _IN_FLIGHT:
            body = inbox[0]
            if body.startswith(b"m"):
                bodies.append(inbox.popleft())
                continue
            if self._own_answer(client, body) is not None:
                break
            # What ptlive understands must not count as what the debugger does.
            bodies.append(b"qSupported" if body.startswith(b"qSupported") else body)
            inbox.popleft()
            client.changed |= body.startswith((b"G", b"P", b"M", b"X")) or is_one_step(body)
            if lets_run(body):
                break
        up.pass_on(client, bodies)
        return bool(bodies)

    def _own_answer(self, client: Client, body: bytes) -> bytes | None:
        """Return the reply that is given here; None for what QEMU is asked."""
        if body == b"QStartNoAckMode":
            return b""
        if client is self.debugger:
            return None
        if body == b"?":
            client.changed = False
            return _stop(5, client)
        if body == b"qptlive.proxy":
            pid = (self.up and self.up.found.pid) or 0
            return b"%d;%s" % (pid, _absolute(self.address).encode().hex().encode())
        if body[:1] == b"D":
            return b"OK" if self.debugger_came else None
        if is_one_step(body):
            return refusal(_BREAKPOINTS) if self._breakpoints else None
        if kind(body) is Kind.RESUMES or body[:1] in (b"z", b"Z"):
            return refusal(_NOT_OURS)
        return None

    def _finished(self, awaited: Awaited, reply: bytes) -> None:
        """Note what a reply means for others than its receiver."""
        owner, payload = awaited.owner, awaited.payload
        if owner is None:
            return
        listing = payload.startswith((b"qfThreadInfo", b"qsThreadInfo"))
        if listing and reply.startswith(b"m"):
            self._lister = owner, time.monotonic() + _LISTING
        elif self._lister is not None and self._lister[0] is owner:
            self._lister = None
        if payload == b"?":
            self._breakpoints.clear()
        if reply != b"OK":
            return
        if payload[:1] == b"Z":
            self._breakpoints.add(payload[1:])
        elif payload[:1] == b"z":
            self._breakpoints.discard(payload[1:])
        elif payload[:1] == b"D":
            owner.leaving = True


def _patience(ptlive: Client) -> float:
    return REPAIR if ptlive.repairs else PATIENCE


def _absolute(address: str) -> str:
    """Return an address that means the same to a process in another folder."""
    path = StubAddress.parse(address).path
    return address if path is None else f"unix:{os.path.abspath(path)}"


def _stop(signal: int, client: Client) -> bytes:
    return b"T%02dthread:%s;" % (signal, client.settings.thread_g or b"01")
