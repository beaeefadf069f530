"""Packets that QEMU's stub is sent, and what its replies say, whoever carries them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from ptlive.errors import PtliveError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from ptlive.wire.registers import RegisterLayout

#: The least that any stub takes.
SMALLEST_PACKET = 1 << 9
# gdbstub.c, gdb_handle_query_qemu_sstepbits: step, mask interrupts, stop the timers.
_SSTEP = 7
_MASKS_INTERRUPTS = 2
# `M` holds two digits a byte, behind its address.
_WRITE_BYTES = 1 << 10

_ERROR = re.compile(rb"E[0-9a-fA-F]{2}")


class StepFlags(NamedTuple):
    """How a stub steps (`Qqemu.sstep`): as it was found, and as we want it."""

    found: int
    wanted: int

    @classmethod
    def told(cls, flags: bytes, bits: bytes) -> StepFlags:
        """Read the replies to `qqemu.sstep` and `qqemu.sstepbits`."""
        found = re.fullmatch(rb"0x([0-9a-fA-F]{1,8})", flags)
        supported = sum(int(bit) for bit in re.findall(rb"=(\d{1,8})", bits))
        return cls(int(found[1], 16) if found else 0, supported & _SSTEP)

    def switch(self) -> list[bytes]:
        """Return what switches to those that we want. Raises PtliveError if they do not serve."""
        if not self.wanted & _MASKS_INTERRUPTS:
            raise PtliveError("this QEMU cannot hold interrupts back while it steps")
        return self._set(self.wanted)

    def switch_back(self) -> list[bytes]:
        """Return what switches to those that were found."""
        return self._set(self.found)

    def _set(self, flags: int) -> list[bytes]:
        return [] if self.found == self.wanted else [b"Qqemu.sstep=%x" % flags]


def packet_size(features: bytes) -> int:
    """Return how many digits a packet may hold, of the reply to `qSupported`."""
    told = re.search(rb"PacketSize=([0-9a-fA-F]{1,8})", features)
    return max(int(told[1], 16) if told else 0, SMALLEST_PACKET)


def accepted(packets: Iterable[bytes], replies: list[bytes]) -> list[bytes]:
    """Return the replies. Raises PtliveError for a packet that the stub refuses."""
    for packet, reply in zip(packets, replies, strict=True):
        if reply == b"" or _ERROR.fullmatch(reply):
            head = packet.partition(b":")[0].decode("ascii", "replace")
            said = reply.decode() or "not supported"
            raise PtliveError(f"QEMU refuses the packet {head}: {said}")
    return replies


def memory_writes(writes: Sequence[tuple[int, bytes]]) -> list[bytes]:
    """Return packets that write each `(address, bytes)`, in order."""
    return [
        b"M%x,%x:%s" % (address + at, len(piece), piece.hex().encode())
        for address, data in writes
        for at in range(0, len(data), _WRITE_BYTES)
        for piece in (data[at : at + _WRITE_BYTES],)
    ]


def register_writes(layout: RegisterLayout, values: Mapping[str, int]) -> list[bytes]:
    """Return packets that write registers of the selected vCPU.

    Under KVM `P` does not fetch the registers first, but `g` does.
    """
    packets = [packet.encode() for packet in layout.write_packets(values)]
    return [b"g", *packets] if packets else []


def register_reads(layout: RegisterLayout) -> list[bytes]:
    """Return packets that read the registers of the selected vCPU; see `registers_told`."""
    return [packet.encode() for packet in layout.read_packets]


def registers_told(layout: RegisterLayout, replies: Iterable[bytes]) -> dict[str, int]:
    """Return the registers by name. Raises PtliveError for what is none."""
    try:
        return layout.decode(*(reply.decode("ascii") for reply in replies))
    except ValueError:
        raise PtliveError("the stub's registers cannot be read") from None


def halted(digits: bytes) -> bool | None:
    """Tell whether a vCPU sleeps, by the reply to `qThreadExtraInfo`; None if that says nothing."""
    state = re.search(rb"\[(halted|running) *\]", unhex(digits) or b"")
    return None if state is None else state[1] == b"halted"


def unhex(digits: bytes) -> bytes | None:
    """Return the bytes that a reply spells in hexadecimal digits; None for what is none."""
    try:
        return bytes.fromhex(digits.decode("ascii"))
    except ValueError:
        return None
