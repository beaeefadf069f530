"""The vCPUs as the protocol's threads: their names, and letting them run.

QEMU's thread 1 is vCPU 0; with several processes (clusters) a name is `pPROCESS.THREAD`.
"""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, NamedTuple, Protocol

from ptlive.errors import PtliveError
from ptlive.wire.packet import PacketError

if TYPE_CHECKING:
    from ptlive.wire.raw import RawStub

#: Seconds that a guest may take to stop when it is told to.
STOPPING = 30.0

_MOST = 4096
_NAME = re.compile(rb"(p[0-9a-fA-F]{1,8}\.)?([0-9a-fA-F]{1,8})")
# Signal 5: a breakpoint was met, or a step was made.
_TRAP = re.compile(rb"T05thread:(?:p[0-9a-fA-F]+\.)?([0-9a-fA-F]{1,8});")


class Asked(Protocol):
    """A stub that answers packets, whoever carries them."""

    def ask(self, payload: bytes) -> bytes:
        """Send one packet and return the reply."""
        ...


class Threads(NamedTuple):
    """The vCPUs of a stopped guest: numbers, from 1 and ascending, and names."""

    names: dict[int, bytes]

    @classmethod
    def ask(cls, stub: Asked) -> Threads:
        """Ask the stub for them. Raises PacketError when it does not tell."""
        names: dict[int, bytes] = {}
        reply = stub.ask(b"qfThreadInfo")
        while reply.startswith(b"m") and len(names) < _MOST:
            for name in reply[1:].split(b","):
                found = _NAME.fullmatch(name)
                if found is None or int(found[2], 16) in names:
                    raise PacketError("the list of vCPUs cannot be read")
                names[int(found[2], 16)] = name
            reply = stub.ask(b"qsThreadInfo")
        if reply != b"l" or not names:
            raise PacketError("the list of vCPUs cannot be read")
        return cls(dict(sorted(names.items())))

    def name(self, vcpu: int) -> bytes:
        """Return the vCPU's name. Raises PtliveError if there is no such vCPU."""
        if vcpu not in self.names:
            raise PtliveError(f"the guest has no vCPU {vcpu}")
        return self.names[vcpu]

    def step(self, stub: RawStub, vcpu: int) -> None:
        """Execute one instruction on one vCPU. Raises PacketError when it does not stop."""
        stub.start([b"vCont;s:" + self.name(vcpu)])
        await_step(stub, vcpu)

    def run_until_trap(self, stub: RawStub, vcpu: int, seconds: float) -> bool:
        """Let the guest run until this vCPU meets a breakpoint, or for so long; tell which."""
        deadline = time.monotonic() + seconds
        while True:
            stub.start([b"vCont;c"])
            stop = stub.await_stop(max(deadline - time.monotonic(), 0))
            if stop is None:
                stub.interrupt()
                stop = stub.await_stop(STOPPING)
                if stop is None:
                    raise PacketError("the guest does not stop again")
                return trapped(stop) == vcpu
            other = trapped(stop)
            if other is None or other == vcpu:
                return other == vcpu
            # It would meet the breakpoint again at once.
            self.step(stub, other)


def trapped(stop: bytes) -> int | None:
    """Return the vCPU that has met a breakpoint or has made a step; None for another reason."""
    found = _TRAP.match(stop)
    return int(found[1], 16) if found else None


def await_step(stub: RawStub, vcpu: int) -> None:
    """Wait for the end of a step. Raises PacketError when it does not come."""
    stop = stub.await_stop(STOPPING)
    if stop is not None and stop.startswith(b"E."):
        # A proxy says why not; QEMU's errors are numbers.
        raise PtliveError(stop[2:].decode("ascii", "replace"))
    if stop is None or trapped(stop) != vcpu:
        raise PacketError(f"vCPU {vcpu} did not stop after one step")
