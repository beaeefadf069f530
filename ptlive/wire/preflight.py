"""Ask a gdb stub who it is and what its guest was doing: the first conversation.

Opening the connection stops the guest, so whether it ran must be learnt from this
very conversation: QEMU up to 8.0 then sends a stop packet unasked (gdbstub.c,
gdb_vm_state_change). Since 8.1 stop packets are only sent when they are awaited
(allow_stop_reply), and the question stays open unless the monitor names a state
that is not the one which connecting brings about.
"""

from __future__ import annotations

import re
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, NamedTuple

from ptlive.errors import PtliveError
from ptlive.wire.address import StubAddress, gdb_target
from ptlive.wire.holder import is_held
from ptlive.wire.packet import PacketError
from ptlive.wire.peer import peer_pid
from ptlive.wire.raw import RawStub

if TYPE_CHECKING:
    import socket

#: Seconds that a stub may take for one reply; a busy host may be slow.
PATIENCE = 5.0

#: Seconds for QEMU to notice that its last client went away.
HANDOVER = 2.0


class Preflight(NamedTuple):
    """What the stub told first; the guest is stopped since."""

    gdb_target: str
    was_running: bool | None
    phy_mem_mode: int
    version: str
    pid: int | None = None
    """The process that listens, if it is one of this machine."""
    stub: str | None = None
    """Where QEMU's own stub is, if what listens is a proxy of ours."""


def preflight(address: str, patience: float = PATIENCE) -> Preflight:
    """Ask the stub at `address` what there is to know, as `hold` does, and hang up."""
    found, connection = hold(address, patience)
    connection.close()
    return found


def hold(address: str, patience: float = PATIENCE) -> tuple[Preflight, socket.socket]:
    """Ask the stub at `address` what there is to know; return the connection as well.

    The guest is stopped, and stays so when the connection is closed. `PhyMemMode` is
    left off, so that gdb's own reads while it attaches are virtual;
    the value found is returned. Raises PtliveError when nothing listens, when what
    listens is no gdb stub or answers nothing, and when it knows no `PhyMemMode`.
    """
    place = StubAddress.parse(address)
    deadline = time.monotonic() + HANDOVER
    while is_held(place):
        if time.monotonic() > deadline:
            raise PtliveError(f"another client holds the stub at {address}")
        time.sleep(0.01)
    connection = place.connect(patience)
    with ExitStack() as stack:
        stub = stack.enter_context(RawStub(connection))
        try:
            stub.end_old_packet()
            mode = stub.ask(b"qqemu.PhyMemMode")
            if mode.startswith(b"E."):
                raise PtliveError(f"{address}: {mode[2:].decode('ascii', 'replace')}")
            if mode not in (b"0", b"1"):
                if stub.stops:
                    stub.detach()
                raise PtliveError(
                    f"{address} is a stub without PhyMemMode "
                    "(needs QEMU's system emulator 4.1 or newer)"
                )
            version = spaced(stub.monitor("info version").strip())
            status = stub.monitor("info status").strip()
            target = gdb_target(connection)
            pid, behind = _behind(stub.ask(b"qptlive.proxy")) or (peer_pid(connection), None)
            if mode == b"1":
                stub.ask(b"Qqemu.PhyMemMode:0")
        except TimeoutError:
            raise PtliveError(
                f"{address} answers nothing: another client holds the stub, or it is no gdb stub"
            ) from None
        except (PacketError, OSError) as error:
            raise PtliveError(f"what listens on {address} is no gdb stub: {error}") from None
        stack.pop_all()
    was_running = _was_running(bool(stub.stops), version, status)
    return Preflight(target, was_running, int(mode), version, pid, behind), connection


def _behind(reply: bytes) -> tuple[int | None, str] | None:
    """Read what a proxy tells of the QEMU behind it; None of QEMU, which knows no such query."""
    found = re.fullmatch(rb"(\d{1,9});((?:[0-9a-f]{2}){1,512})", reply)
    if found is None:
        return None
    return int(found[1]) or None, bytes.fromhex(found[2].decode()).decode("utf-8", "replace")


def spaced(version: str) -> str:
    """Put the blank that QEMU leaves out before what its packager adds: 7.2.22 Debian ..."""
    return re.sub(r"^(\d+(?:\.\d+)*)(?=[A-Za-z])", r"\1 ", version)


def _was_running(stopped_by_us: bool, version: str, status: str) -> bool | None:
    if stopped_by_us:
        return True
    numbers = re.match(r"(\d+)\.(\d+)", version)
    if numbers and (int(numbers[1]), int(numbers[2])) < (8, 1):
        return False
    # Connecting makes a running guest "paused" and leaves every other state alone
    # (cpus.c, do_vm_stop), such as "paused (prelaunch)".
    return None if status in ("", "VM status: paused") else False
