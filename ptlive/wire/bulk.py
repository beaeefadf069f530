"""Physical memory in bulk by our own packets, at the rate at which QEMU answers.

QEMU answers one `m` packet after the other and blocks when nobody reads. So requests for
more than it has buffers for are always in flight, and the replies, which all have the
same length, are taken a window at a time and decoded as arrays: no Python runs for a
single packet. Whatever looks different is left to the general decoder.

Measured side by side: a thread that only receives makes it slower (it fights for the
interpreter), and so do larger windows and pieces (QEMU's end of a unix socket holds some
40 KB); smaller ones cost their user more.
"""

from __future__ import annotations

import binascii
import time
from typing import TYPE_CHECKING

import numpy as np

from ptlive.errors import PtliveError
from ptlive.wire.bulk_requests import Requests
from ptlive.wire.packet import PacketError, frame

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from ptlive.arrays import U8, U64, Bool
    from ptlive.wire.raw import RawStub

#: SDM vol. 3A 4.1.4: a physical address has 52 bits at most.
_PHYSICAL_END = 1 << 52

# QEMU takes requests from the socket 4096 bytes at a time and answers all of these
# before it looks for more: so many and one window must be in flight.
_REQUESTS = 384
_WINDOW_BYTES, _WINDOW_REQUESTS = 1 << 16, 128
_PIECE_BYTES, _PIECE_ROWS = 1 << 17, 1 << 12
_LARGEST = 1 << 12

_SWITCH_ON, _SWITCH_OFF = b"Qqemu.PhyMemMode:1", b"Qqemu.PhyMemMode:0"
_OK = b"+$OK#9a"

_PLUS, _DOLLAR, _HASH = b"+$#"
_HEAD, _TAIL = len("+$"), len("#cc")
_DIGITS = np.frombuffer(b"0123456789abcdef", np.uint8)


class PhysicalPackets:
    """Sends memory packets that mean physical addresses.

    `PhyMemMode` is on during an exchange; one that was interrupted leaves `switched` set
    until `calm`. `packet_size` is the stub's PacketSize: the digits that a packet holds.
    Raises PacketError when what comes is not the protocol, TimeoutError when nothing
    comes for `patience` seconds.
    """

    def __init__(self, stub: RawStub, packet_size: int, patience: float) -> None:
        self.stub = stub
        self.largest = max(min(packet_size // 2, _LARGEST), 1)
        self.patience = patience
        self.switched = False

    def calm(self) -> None:
        """End what was interrupted: nothing is in flight, and addresses are virtual."""
        if self.switched:
            self.accept(self.stub.ask(_SWITCH_OFF))
            self.switched = False

    def ask_all(self, packets: Sequence[bytes]) -> list[bytes]:
        """Return the stub's reply to each packet."""
        self.switched = True
        on, *replies, off = self.stub.ask_all([_SWITCH_ON, *packets, _SWITCH_OFF])
        self.accept(off)
        self.switched = False
        self.accept(on)
        return replies

    def read(self, addresses: U64, length: int) -> tuple[U8, Bool]:
        """Read `length` bytes at each address, each distinct address once."""
        inside = addresses <= np.uint64(_PHYSICAL_END - length)
        if bool(inside.all()) and bool((addresses[1:] > addresses[:-1]).all()):
            return self._read(addresses, length)
        data = np.zeros((len(addresses), length), np.uint8)
        valid = np.zeros(len(addresses), np.bool_)
        distinct, where = np.unique(addresses[inside], return_inverse=True)
        rows, good = self._read(distinct, length)
        data[inside], valid[inside] = rows[where], good[where]
        return data, valid

    def stream(self, addresses: U64, length: int) -> Iterator[tuple[U8, Bool]]:
        """Yield the rows of `read`, some at a time, in order, as they arrive.

        A piece is good until the next one is asked for. Nothing else may be sent
        meanwhile, or asking for the next piece raises PtliveError.
        """
        if length == 0 or bool((addresses > np.uint64(_PHYSICAL_END - length)).any()):
            for at in range(0, len(addresses), _PIECE_ROWS):
                yield self.read(addresses[at : at + _PIECE_ROWS], length)
        elif len(addresses):
            yield from _Transfer(self, addresses, length).pieces()

    def _read(self, addresses: U64, length: int) -> tuple[U8, Bool]:
        """Read rows at addresses that are all asked for."""
        data = np.empty((len(addresses), length), np.uint8)
        valid = np.zeros(len(addresses), np.bool_)
        at = 0
        if data.size:
            for rows, good in _Transfer(self, addresses, length, data).pieces():
                valid[at : at + len(rows)] = good
                at += len(rows)
        return data, valid

    def accept(self, reply: bytes) -> None:
        """Raise PacketError unless `PhyMemMode` was switched."""
        if reply != b"OK":
            raise PacketError(f"the stub answers {reply[:16]!r} to PhyMemMode")


class _Transfer:
    """One bulk read: what was asked for, what is in flight, what has come.

    A row longer than a packet comes in parts of equal length, the last of which may
    overlap the one before. Requests are counted over all rows. With `whole`, an array of
    all rows, they stay there; else a piece is overwritten by the next.
    """

    def __init__(
        self, packets: PhysicalPackets, addresses: U64, length: int, whole: U8 | None = None
    ) -> None:
        self._packets, self._stub = packets, packets.stub
        self._length, self._whole = length, whole
        self._part = part = min(length, packets.largest)
        self._starts = [*range(0, length - part, part), length - part]
        self._requests = Requests(addresses, self._starts, part)
        self._sent = self._done = 0
        self._window = max(min(_WINDOW_BYTES // part, _WINDOW_REQUESTS), 1)
        self._frame = _HEAD + 2 * part + _TAIL
        self._buffer = memoryview(bytearray(self._window * self._frame))
        # Whether all replies so far were of the expected form.
        self._regular = True

    def pieces(self) -> Iterator[tuple[U8, Bool]]:
        """Yield pieces of whole rows."""
        self._stub.begin()
        exchange = self._stub.exchanges
        self._packets.switched = True
        self._top_up()
        self._expect_ok()
        parts = len(self._starts)
        total = len(self._requests) // parts
        each = max(min(_PIECE_BYTES // self._length, _PIECE_ROWS), 1)
        piece = np.empty((min(each, total), self._length), np.uint8)
        for first in range(0, total, each):
            if self._stub.exchanges != exchange:
                raise PtliveError("something else was asked before all of a stream was read")
            count = min(each, total - first)
            rows = piece[:count] if self._whole is None else self._whole[first : first + count]
            good = np.ones(count, np.bool_)
            for begin in range(0, count * parts, self._window):
                self._take(begin, min(begin + self._window, count * parts), rows, good)
            if not good.all():
                rows[~good] = 0
            if self._done == len(self._requests):
                self._expect_ok()
                self._packets.switched = self._stub.busy = False
            yield rows, good

    def _top_up(self) -> None:
        """Send as many requests as may be in flight, between the two switches."""
        goal = min(self._done + _REQUESTS, len(self._requests))
        if goal == self._sent:
            return
        data = [self._requests.between(self._sent, goal)]
        if self._sent == 0:
            data.insert(0, frame(_SWITCH_ON))
        if goal == len(self._requests):
            data.append(frame(_SWITCH_OFF))
        self._sent = goal
        self._stub.send(b"".join(data))

    def _expect_ok(self) -> None:
        if self._regular:
            view = memoryview(bytearray(len(_OK)))
            came = self._receive(view, lambda view: _OK.startswith(view))
            if view == _OK:
                return
            self._give_up(view[:came])
        self._packets.accept(self._stub.next_reply()[0])

    def _take(self, begin: int, end: int, rows: U8, good: Bool) -> None:
        """Take the replies to these requests of a piece into its rows."""
        self._done += end - begin
        if self._regular:
            view = self._buffer[: (end - begin) * self._frame]
            came = self._receive(view, self._plausible)
            # So that QEMU works while we decode.
            self._top_up()
            if came == len(view):
                frames = np.frombuffer(view, np.uint8).reshape(-1, self._frame)
                data = _decode(frames)
                if data is not None:
                    self._place(data.reshape(-1, self._part), begin, rows)
                    return
            self._give_up(view[:came])
        for request in range(begin, end):
            self._take_one(request, rows, good)
        self._top_up()

    def _take_one(self, request: int, rows: U8, good: Bool) -> None:
        """Take one reply, whatever its form."""
        reply, _ = self._stub.next_reply()
        try:
            data = np.frombuffer(binascii.unhexlify(reply), np.uint8)
        except binascii.Error:
            data = np.empty(0, np.uint8)
        if len(data) == self._part:
            self._place(data[None], request, rows)
        else:
            good[request // len(self._starts)] = False

    def _place(self, data: U8, first: int, rows: U8) -> None:
        """Put the parts of rows that these requests have brought where they belong."""
        if self._length % self._part == 0:
            rows.reshape(-1, self._part)[first : first + len(data)] = data
            return
        for request, part in enumerate(data, first):
            row, at = divmod(request, len(self._starts))
            rows[row, self._starts[at] : self._starts[at] + self._part] = part

    def _give_up(self, view: memoryview) -> None:
        """Leave these bytes and all that come to the general decoder."""
        self._regular = False
        self._stub.feed(bytes(view))

    def _receive(self, view: memoryview, plausible: Callable[[memoryview], bool]) -> int:
        """Fill `view`; return how much came: not all when it cannot become what is expected."""
        came = 0
        deadline = time.monotonic() + self._packets.patience
        while came < len(view):
            size = self._stub.receive_into(view[came:])
            if size:
                came += size
                deadline = time.monotonic() + self._packets.patience
            elif time.monotonic() > deadline:
                raise TimeoutError
            # Perhaps the replies are shorter, and the rest will never come.
            elif not plausible(view[:came]):
                break
        return came

    def _plausible(self, view: memoryview) -> bool:
        """Tell whether this may be the beginning of replies of the expected form."""
        whole = len(view) // self._frame
        rest = bytes(view[whole * self._frame :])
        frames = np.frombuffer(view[: whole * self._frame], np.uint8).reshape(-1, self._frame)
        return (
            _framed(frames)
            and b"+$".startswith(rest[:_HEAD])
            and b"#" not in rest[: self._frame - _TAIL]
        )


def _framed(frames: U8) -> bool:
    marks = (frames[:, 0] == _PLUS, frames[:, 1] == _DOLLAR, frames[:, -_TAIL] == _HASH)
    return all(mark.all() for mark in marks)


def _decode(frames: U8) -> U8 | None:
    """Return the bytes that these replies hold; None if they are not of the expected form."""
    if not _framed(frames):
        return None
    digits = np.ascontiguousarray(frames[:, _HEAD:-_TAIL])
    # uint8 sums wrap as the checksum does.
    sums = np.add.reduce(digits, axis=1, dtype=np.uint8)
    told = frames[:, -2:]
    if (_DIGITS[sums >> 4] != told[:, 0]).any() or (_DIGITS[sums & 15] != told[:, 1]).any():
        return None
    try:
        return np.frombuffer(binascii.unhexlify(digits.data), np.uint8)
    except binascii.Error:
        return None
