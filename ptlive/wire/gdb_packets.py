"""Raw packets of the remote protocol, sent by gdb on our behalf (`maint packet`).

They go past gdb's own notions: which thread it thinks selected, which registers it has
cached. So nothing of gdb's that depends on those is used afterwards, and a packet about
one vCPU selects it by a packet (`Hg`).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ptlive.errors import PtliveError
from ptlive.wire.gdb import PATIENCE, GdbMi

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ptlive.wire.gdb import Reply

_RECEIVED = re.compile(r'^received: "(.*)"$', re.MULTILINE)
_ERROR = re.compile(r"E[0-9a-fA-F]{2}")


class GdbPackets:
    """Sends packets through one attached gdb, as many as there are in one batch.

    Every method raises PtliveError when the connection is lost.
    """

    def __init__(self, gdb: GdbMi) -> None:
        self._gdb = gdb
        self._selected: str | None = None

    def ask(self, packets: Sequence[str], patience: float = PATIENCE) -> list[str]:
        """Return the stub's reply to each packet, errors ("E22") and refusals ("") too."""
        replies = self._gdb.console([f"maint packet {packet}" for packet in packets], patience)
        return [_received(reply) for reply in replies]

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

    def physical(self, commands: Sequence[str]) -> list[Reply]:
        """Run commands of gdb's command line while memory packets are physical.

        `PhyMemMode` is off again afterwards, whatever happens.
        """
        on, off = (f"maint packet Qqemu.PhyMemMode:{mode}" for mode in (1, 0))
        # gdb may select a thread of its own for its memory packets.
        self.forget_thread()
        try:
            first, *replies, last = self._gdb.console([on, *commands, off])
        except BaseException:
            if not self._gdb.failed:
                self._gdb.console([off])
            raise
        _accepted(["PhyMemMode"] * 2, [_received(first), _received(last)])
        return replies

    def order_physical(self, packets: Sequence[str]) -> None:
        """Send memory packets that mean physical addresses; all must be accepted."""
        replies = self.physical([f"maint packet {packet}" for packet in packets])
        _accepted(packets, [_received(reply) for reply in replies])


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
