"""The guard: a small process that outlives its parent and puts the guest back.

SIGKILL cannot be caught, gdb resumes the guest when its input ends, and QEMU keeps
`PhyMemMode` when its client vanishes. So this process sees by the end of its own input
that the parent is gone, ends the parent's hold on the guest, and restores what the
parent can no longer restore. It also opens the very first connection, so that from the
moment when the guest is stopped somebody lives who knows whether it ran.

The parent holds the guest in one of two ways. Without gdb, by that first connection: we
hand it over and keep it open as well. Through gdb, which connects after us: we hold its
input open as well.

Its input: journal records, and `folder PATH`, `keep N`, `resume 0|1`, `release`. Its
output, a unix socket: one line of JSON, and the connection. To start
fast it imports a few small files and little of the standard library (NamedTuple, not
dataclasses, which alone take as long as Python itself).

Inside a debugger (`watch`) it opens no connection: the debugger holds the stub and the guest.
Only if that is killed at a bad moment it connects, and leaves the guest stopped.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import sys
from typing import NamedTuple

from ptlive.errors import PtliveError
from ptlive.target.journal import Record, parse, undo_order
from ptlive.wire.address import StubAddress
from ptlive.wire.holder import is_held
from ptlive.wire.packet import PacketError
from ptlive.wire.preflight import PATIENCE, hold, preflight
from ptlive.wire.raw import RawStub

RESTORED, NOT_RESTORED = 0, 1


def main() -> int:
    """Guard the stub at argv[1] against the death of the process that writes our input.

    argv[2], if there is one, is a descriptor of the gdb process (pidfd). Returns the exit
    status.
    """
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    address = sys.argv[1]
    gdb = int(sys.argv[2]) if len(sys.argv) > 2 else None
    connection = None
    try:
        if gdb is None:
            found, connection = hold(address)
        else:
            found = preflight(address)
    except PtliveError as error:
        _tell({"error": str(error)})
        return RESTORED
    _tell(found._asdict(), connection)
    told = _listen()
    if told is None:
        return RESTORED
    resume = bool(found.was_running) if told.resume is None else told.resume
    # A proxy may have been killed as well; then we go to QEMU itself.
    for place in filter(None, (address, found.stub)):
        with contextlib.suppress(PtliveError, PacketError, OSError):
            with _take_over(StubAddress.parse(place), gdb, connection) as stub:
                restore(stub, told.records, phy_mem_mode=found.phy_mem_mode, resume=resume)
            return RESTORED
    return NOT_RESTORED


def watch() -> int:
    """Guard the stub at argv[1], held by the debugger that writes our input.

    argv[2] is a descriptor of a file of one byte: 0 as long as `PhyMemMode` is as the
    debugger's user left it, else one more than what it is to be.
    """
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    told = _listen()
    switched = os.pread(int(sys.argv[2]), 1, 0)[0]
    if told is None or not (told.records or switched):
        return RESTORED
    with contextlib.suppress(PtliveError, PacketError, OSError):
        with _take_over(StubAddress.parse(sys.argv[1]), None, None) as stub:
            mode = max(switched - 1, 0)
            restore(stub, told.records, phy_mem_mode=mode, resume=False)
        return RESTORED
    return NOT_RESTORED


class _Told(NamedTuple):
    """What the parent has told until it was gone: what it has changed, and whether it ran."""

    records: list[Record]
    resume: bool | None


def _listen() -> _Told | None:
    """Read our input to its end, and remove the folders of a parent that was killed.

    None if it released us.
    """
    records: list[Record] = []
    folders: list[str] = []
    resume = None
    for line in sys.stdin:
        # The parent may be killed within a line: what was not announced in full was
        # not done yet either.
        if not line.endswith("\n"):
            break
        word, _, rest = line.strip().partition(" ")
        if word == "release":
            return None
        if word == "resume":
            resume = rest == "1"
        elif word == "folder":
            folders.append(rest)
        elif word == "keep":
            del records[int(rest, 16) :]
        else:
            records.append(parse(line))
    for folder in folders:
        _remove(folder)
    return _Told(records, resume)


def restore(stub: RawStub, records: list[Record], *, phy_mem_mode: int, resume: bool) -> None:
    """Undo the records, put `PhyMemMode` and the run state back.

    Raises PacketError or OSError when the connection is lost.
    """
    memory, registers = undo_order(records)
    if memory:
        stub.ask(b"Qqemu.PhyMemMode:1")
        for write in memory:
            # Short of QEMU's longest packet, 4096 hex digits.
            for at in range(0, len(write.old), 1024):
                piece = write.old[at : at + 1024]
                head = f"M{write.address + at:x},{len(piece):x}:"
                stub.ask(f"{head}{piece.hex()}".encode())
    if stub.ask(b"Qqemu.PhyMemMode:%d" % phy_mem_mode).startswith(b"E."):
        raise PacketError("a proxy's debugger lets the guest run")
    if registers:
        # QEMU ignores `P` until its register description was read, and before `g`
        # has fetched the registers from KVM.
        stub.ask(b"qSupported:multiprocess+;xmlRegisters=i386")
        stub.ask(b"qXfer:features:read:target.xml:0,ffb")
        for record in registers:
            stub.ask(b"Hgp1.%x" % record.vcpu)
            stub.ask(b"g")
            for packet in record.packets:
                stub.ask(packet.encode())
    stub.remove_breakpoints()
    if resume:
        stub.detach()


def _take_over(place: StubAddress, gdb: int | None, connection: socket.socket | None) -> RawStub:
    """End gdb, or the connection, and connect in its stead.

    While it holds the stub we queue behind it before it ends, so that the next user of
    the stub cannot slip in between and find what is not restored yet.
    """
    try:
        waiting = place.connect(PATIENCE) if is_held(place) else None
    finally:
        if connection is not None:
            # For all who have it open.
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()
        if gdb is not None:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(gdb, signal.SIGKILL)
            select.select([gdb], [], [], PATIENCE)
    stub = RawStub(waiting or place.connect(PATIENCE))
    # Perhaps in the middle of a packet.
    stub.busy = True
    return stub


def _remove(folder: str) -> None:
    """Remove a folder with its files; mostly it is gone already."""
    with contextlib.suppress(OSError):
        for name in os.listdir(folder):
            os.unlink(os.path.join(folder, name))
        os.rmdir(folder)


def _tell(report: dict[str, object], connection: socket.socket | None = None) -> None:
    line = json.dumps(report).encode() + b"\n"
    held = [connection.fileno()] if connection else []
    # A parent that is gone already shows as the end of our input.
    with contextlib.suppress(OSError), socket.socket(fileno=os.dup(1)) as output:
        socket.send_fds(output, [line], held)


if __name__ == "__main__":
    sys.exit(main())
