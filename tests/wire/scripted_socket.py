"""A socket behind which memory answers, in any form and cut in any way: no QEMU, no thread."""

from __future__ import annotations

import re
from itertools import cycle
from typing import TYPE_CHECKING

import numpy as np

from ptlive.wire.packet import Decoder, Packet, checksum, frame

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ptlive.arrays import U8, U64

DESCRIPTION = b'<?xml version="1.0"?><!DOCTYPE target SYSTEM "gdb-target.dtd"><target></target>'


def byte_at(addresses: U64) -> U8:
    """What memory holds: zeros in every other KiB, so that there are runs."""
    mixed = (addresses * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(40)
    return np.where(addresses >> np.uint64(10) & np.uint64(1), mixed, 0).astype(np.uint8)


def bytes_at(address: int, length: int) -> bytes:
    """What memory holds at an address."""
    return byte_at(np.uint64(address) + np.arange(length, dtype=np.uint64)).tobytes()


def good(digits: bytes) -> bytes:
    return b"+" + frame(digits)


def refused(_: bytes) -> bytes:
    return b"+$E14#aa"


def empty(_: bytes) -> bytes:
    return b"+$#00"


def unacknowledged(digits: bytes) -> bytes:
    return frame(digits)


def upper_case(digits: bytes) -> bytes:
    return b"+" + frame(digits.upper())


def escaped(digits: bytes) -> bytes:
    """The first digit as an escape sequence, which nobody needs but anybody may send."""
    body = b"}" + bytes((digits[0] ^ 0x20,)) + digits[1:]
    return b"+$%s#%02x" % (body, checksum(body))


def run_lengths(digits: bytes) -> bytes:
    """Runs of zeros as the manual's "Overview" says: a character, `*`, the count plus 29."""
    body = re.sub(rb"0{4,90}", lambda run: b"0*" + bytes((len(run[0]) - 1 + 29,)), digits)
    # `#` and `$` may not be counts.
    if b"#" in body or b"$" in body:
        body = digits
    return b"+$%s#%02x" % (body, checksum(body))


def short(digits: bytes) -> bytes:
    return good(digits[:-2])


def damaged(digits: bytes) -> bytes:
    packet = bytearray(good(digits))
    packet[2] ^= 1
    return bytes(packet)


class ScriptedSocket:
    """Answers memory packets, the n-th in the n-th form of `forms`, in pieces of `cuts` bytes."""

    def __init__(
        self, forms: Sequence[Callable[[bytes], bytes]] = (good,), cuts: Sequence[int] = (1 << 20,)
    ) -> None:
        self.forms, self.cuts = cycle(forms), cycle(cuts)
        self.decoder = Decoder()
        self.waiting = bytearray()
        self.seen: list[bytes] = []
        self.reads: list[tuple[int, int]] = []
        self.physical = False
        self.unread = 0
        self.most_unread = 0
        self.calls = 0
        self.closes_after: int | None = None

    # What a client sends.

    def sendall(self, data: bytes) -> None:
        for event in self.decoder.feed(data.replace(b"\x03#01#01", b"").replace(b"#01#01", b"")):
            assert isinstance(event, Packet)
            self.seen.append(event.payload)
            self.waiting += self._answer(event.payload)
        self.unread += len(data)
        self.most_unread = max(self.most_unread, self.unread)

    def _answer(self, payload: bytes) -> bytes:
        if payload.startswith(b"Qqemu.PhyMemMode:"):
            self.physical = payload.endswith(b"1")
            return b"+$OK#9a"
        if payload.startswith(b"qXfer:features:read:target.xml:0,"):
            size = int(payload.rpartition(b",")[2], 16)
            return b"+" + frame(b"m" + DESCRIPTION[:size])
        found = re.fullmatch(rb"m([0-9a-f]+),([0-9a-f]+)", payload)
        assert found, payload
        assert self.physical
        address, length = int(found[1], 16), int(found[2], 16)
        assert 0 < length <= 2048
        self.reads.append((address, length))
        return next(self.forms)(bytes_at(address, length).hex().encode())

    # What a client receives.

    def recv(self, size: int) -> bytes:
        self.calls += 1
        if self.closes_after is not None and self.calls > self.closes_after:
            return b""
        if not self.waiting:
            raise BlockingIOError
        self.unread = 0
        count = min(size, next(self.cuts))
        data = bytes(self.waiting[:count])
        del self.waiting[:count]
        return data

    def recv_into(self, view: memoryview, _size: int, _flags: int) -> int:
        data = self.recv(len(view))
        view[: len(data)] = data
        return len(data)

    def gettimeout(self) -> float:
        return 1.0

    def setblocking(self, _: bool) -> None:
        """Nothing blocks here."""

    def setsockopt(self, *_: object) -> None:
        """There are no options."""

    def close(self) -> None:
        """There is nothing to close."""
