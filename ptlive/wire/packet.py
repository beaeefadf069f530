"""Frame and unframe packets of the GDB remote serial protocol.

`$payload#checksum`, acknowledged by `+` or refused by `-`; see "Overview" in the
appendix "GDB Remote Serial Protocol" of the gdb manual. Standard library only: the
guard process imports this file without the rest of the house.
"""

from __future__ import annotations

import re
from typing import NamedTuple

#: Far above what QEMU sends (gdbstub.h, MAX_PACKET_LENGTH: 4096), yet a bound.
LONGEST_PACKET = 1 << 16

_DOLLAR, _HASH, _PLUS, _MINUS, _ESCAPE, _REPEAT = b"$#+-}*"
_NOTIFICATION = ord("%")
_SPECIAL = re.compile(rb"[$#}*]")


class PacketError(Exception):
    """The bytes that arrived are not the remote protocol."""


class Packet(NamedTuple):
    """One packet, unescaped; `intact` tells whether its checksum was right."""

    payload: bytes
    intact: bool


#: What a decoder yields: a packet, or b"+" or b"-" for an acknowledgement.
Event = Packet | bytes


def checksum(body: bytes | bytearray) -> int:
    """Return the sum of the escaped bytes, modulo 256."""
    return sum(body) & 0xFF


def frame(payload: bytes) -> bytes:
    """Return `payload` as it travels: escaped, between `$` and its checksum."""
    body = _SPECIAL.sub(lambda found: bytes((_ESCAPE, found[0][0] ^ 0x20)), payload)
    return b"$%s#%02x" % (body, checksum(body))


def unescape(body: bytes) -> bytes:
    """Return the payload of an escaped and perhaps run-length encoded body.

    Raises PacketError for a run or an escape that lacks its other half, and for a
    body that grows beyond LONGEST_PACKET.
    """
    if _ESCAPE not in body and _REPEAT not in body:
        return body
    payload = bytearray()
    position, end = 0, len(body)
    while position < end:
        byte = body[position]
        position += 1
        if byte not in (_ESCAPE, _REPEAT):
            payload.append(byte)
        elif position == end:
            raise PacketError("a packet ends inside an escape sequence")
        elif byte == _ESCAPE:
            payload.append(body[position] ^ 0x20)
            position += 1
        else:
            repeats = body[position] - 29
            if repeats < 1 or not payload:
                raise PacketError("a packet holds a run of nothing")
            payload += payload[-1:] * repeats
            position += 1
        if len(payload) > LONGEST_PACKET:
            raise PacketError("a packet is too long")
    return bytes(payload)


class Decoder:
    """Split a stream of bytes into packets and acknowledgements.

    Feeding costs time linear in what is fed, however it is cut into pieces, and
    the decoder never holds more than one packet.
    """

    def __init__(self) -> None:
        self._held = bytearray()
        self._searched = 0

    def feed(self, data: bytes) -> list[Event]:
        """Take more bytes; return what is complete.

        Raises PacketError at a byte that may not stand where it does, and at a
        packet of more than LONGEST_PACKET bytes.
        """
        held = self._held
        held += data
        events: list[Event] = []
        start = 0
        while start < len(held):
            first = held[start]
            if first in (_PLUS, _MINUS):
                events.append(bytes((first,)))
                start += 1
                continue
            if first not in (_DOLLAR, _NOTIFICATION):
                raise PacketError(f"the byte {first:#04x} stands between two packets")
            hash_at = held.find(_HASH, max(start + 1, self._searched))
            if hash_at < 0 or hash_at + 2 >= len(held):
                self._searched = hash_at if hash_at >= 0 else len(held)
                break
            if first == _DOLLAR:
                events.append(_packet(bytes(held[start + 1 : hash_at]), held[hash_at + 1 :][:2]))
            start = hash_at + 3
        del held[:start]
        self._searched = max(self._searched - start, 0)
        if len(held) > LONGEST_PACKET:
            raise PacketError("a packet is too long")
        return events


def _packet(body: bytes, digits: bytearray) -> Packet:
    try:
        told = int(digits, 16)
    except ValueError:
        raise PacketError("a packet's checksum is no number") from None
    intact = told == checksum(body)
    return Packet(unescape(body) if intact else body, intact)
