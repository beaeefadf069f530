"""Raw packets of the remote protocol, sent by gdb on our behalf.

Many go into one command of ours (`gdb_side`), or, where gdb has no Python, each is a
`maint packet`: measured side by side, a step with its registers takes a third of the time.

They go past gdb's own notions: which thread it thinks selected, which registers it has
cached. So nothing of gdb's that depends on those is used afterwards, and a packet about
one vCPU selects it by a packet (`Hg`).
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from ptlive.errors import PtliveError
from ptlive.wire.gdb import PATIENCE, GdbMi

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ptlive.wire.gdb import Reply

_GDB_SIDE = Path(__file__).with_name("gdb_side.py")
# A command must fit into the pipe to gdb whole (`GdbMi`); this leaves room for its frame.
_COMMAND = 3900
_PHYSICAL, _VIRTUAL = "Qqemu.PhyMemMode:1", "Qqemu.PhyMemMode:0"

_RECEIVED = re.compile(r'^received: "(.*)"$', re.MULTILINE)
_ERROR = re.compile(r"E[0-9a-fA-F]{2}")


class GdbPackets:
    """Sends packets through one attached gdb, as many as there are in one batch.

    used: whether any were sent since gdb was brought up to date, see `GdbStub.hand_over`

    Every method raises PtliveError when the connection is lost.
    """

    def __init__(self, gdb: GdbMi) -> None:
        self._gdb = gdb
        self.used = False
        self._selected: str | None = None
        self._together: bool | None = None

    def ask(self, packets: Sequence[str], patience: float = PATIENCE) -> list[str]:
        """Return the stub's reply to each packet, errors ("E22") and refusals ("") too."""
        self.used = True
        if self._together is None:
            [sourced] = self._gdb.console([f"source {_GDB_SIDE}"])
            self._together = sourced.error is None
        if not self._together:
            replies = self._gdb.console([f"maint packet {packet}" for packet in packets], patience)
            return [_received(reply) for reply in replies]
        lines = list(_lines(packets))
        said = self._gdb.console([f"ptlive-packets {line}" for line in lines], patience)
        for reply in said:
            if reply.error is not None:
                raise PtliveError(f"gdb did not get an answer from QEMU: {reply.error}")
        return [word for reply in said for word in reply.text.strip("\n").split("|")]

    def order(self, packets: Sequence[str], patience: float = PATIENCE) -> list[str]:
        """Like `ask`; raises PtliveError for a packet that the stub refuses."""
        return _accepted(packets, self.ask(packets, patience))

    def ask_about(
        self, thread: str, packets: Sequence[str], patience: float = PATIENCE
    ) -> list[str]:
        """Like `ask`, for packets about one thread (vCPU), given as `Hg` names it."""
        if self._selected == thread:
            return self.ask(packets, patience)
        self.forget_thread()
        selected, *replies = self.ask([f"Hg{thread}", *packets], patience)
        _accepted([f"Hg{thread}"], [selected])
        self._selected = thread
        return replies

    def order_about(
        self, thread: str, packets: Sequence[str], patience: float = PATIENCE
    ) -> list[str]:
        """Like `ask_about`; raises PtliveError for a packet that the stub refuses."""
        return _accepted(packets, self.ask_about(thread, packets, patience))

    def forget_thread(self) -> None:
        """Take no thread for selected: the stub or gdb may have chosen another."""
        self._selected = None

    def run_physical(self, commands: Sequence[str]) -> list[Reply]:
        """Run commands of gdb's command line while memory packets are physical.

        `PhyMemMode` is off again afterwards, whatever happens.
        """
        # gdb may select a thread of its own for its memory packets.
        self.forget_thread()
        try:
            self.order([_PHYSICAL])
            return self._gdb.console(commands)
        finally:
            self._leave_physical()

    def ask_physical(self, packets: Sequence[str]) -> list[str]:
        """Like `ask`, for memory packets that mean physical addresses."""
        try:
            first, *replies, last = self.ask([_PHYSICAL, *packets, _VIRTUAL])
        except BaseException:
            self._leave_physical()
            raise
        _accepted([_PHYSICAL, _VIRTUAL], [first, last])
        return replies

    def order_physical(self, packets: Sequence[str]) -> None:
        """Like `ask_physical`; raises PtliveError for a packet that the stub refuses."""
        _accepted(packets, self.ask_physical(packets))

    def _leave_physical(self) -> None:
        if not self._gdb.failed:
            self.order([_VIRTUAL])


def _lines(packets: Sequence[str]) -> Iterator[str]:
    """Join packets by "|", which none contains, into lines that are not too long."""
    line = ""
    for packet in packets:
        if line and len(line) + 1 + len(packet) > _COMMAND:
            yield line
            line = ""
        line = f"{line}|{packet}" if line else packet
    if line:
        yield line


def _received(reply: Reply) -> str:
    """Return what the stub answered to a `maint packet`."""
    found = _RECEIVED.search(reply.text)
    if found is None:
        raise PtliveError(f"gdb did not get an answer from QEMU: {reply.error or reply.text!r}")
    return found[1]


def _accepted(packets: Sequence[str], replies: list[str]) -> list[str]:
    for packet, reply in zip(packets, replies, strict=True):
        if reply == "" or _ERROR.fullmatch(reply):
            head = packet.partition(":")[0]
            raise PtliveError(f"QEMU refuses the packet {head}: {reply or 'not supported'}")
    return replies
