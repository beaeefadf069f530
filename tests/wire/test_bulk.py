"""Bulk reads by our own packets: the same rows however the replies look and arrive."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ptlive.arrays import u64
from ptlive.errors import PtliveError
from ptlive.wire import bulk
from ptlive.wire.bulk import PhysicalPackets
from ptlive.wire.packet import PacketError
from ptlive.wire.raw import IN_FLIGHT, RawStub
from tests.wire import scripted_socket as form
from tests.wire.scripted_socket import ScriptedSocket, bytes_at

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

WHOLE = [form.good, form.unacknowledged, form.upper_case, form.escaped, form.run_lengths]
BROKEN = [form.refused, form.empty, form.short]
LENGTHS = [1, 8, 24, 2048, 2049, 3000, 4096, 5000]


@pytest.fixture(autouse=True, scope="module")
def _small_windows() -> Iterator[None]:
    """Many windows and pieces for a few rows."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bulk, "_WINDOW_REQUESTS", 4)
        patch.setattr(bulk, "_WINDOW_BYTES", 5000)
        patch.setattr(bulk, "_REQUESTS", 9)
        patch.setattr(bulk, "_PIECE_ROWS", 6)
        yield


def packets_over(socket: Any) -> PhysicalPackets:
    # Enough for a machine that is busy with other things.
    return PhysicalPackets(RawStub(socket, patience=10), 4096, patience=10)


def expected(addresses: list[int], length: int) -> bytes:
    return b"".join(bytes_at(address, length) for address in addresses)


addresses_of_rows = st.lists(
    st.integers(0, 40).map(lambda n: n * 512) | st.integers(0, 2**52 - 5000), max_size=25
)
cuts = st.lists(st.integers(1, 9000), min_size=1, max_size=5)


@settings(deadline=None)
@given(addresses_of_rows, st.sampled_from(LENGTHS), st.lists(st.sampled_from(WHOLE)), cuts)
def test_any_form_and_any_cut_give_the_same_rows(
    addresses: list[int], length: int, forms: list[Callable[[bytes], bytes]], sizes: list[int]
) -> None:
    socket = ScriptedSocket(forms or [form.good], sizes)
    packets = packets_over(socket)
    data, valid = packets.read(u64(*addresses), length)
    assert valid.all()
    assert data.tobytes() == expected(addresses, length)
    assert len(socket.reads) == len(set(addresses)) * -(-length // 2048)
    assert not socket.physical
    assert not packets.stub.busy


@settings(deadline=None)
@given(addresses_of_rows, st.sampled_from(LENGTHS), st.lists(st.sampled_from(WHOLE)), cuts)
def test_a_stream_yields_the_rows_in_the_order_asked(
    addresses: list[int], length: int, forms: list[Callable[[bytes], bytes]], sizes: list[int]
) -> None:
    socket = ScriptedSocket(forms or [form.good], sizes)
    rows = b""
    for data, valid in packets_over(socket).stream(u64(*addresses), length):
        assert valid.all()
        assert data.shape == (len(valid), length)
        rows += data.tobytes()
    assert rows == expected(addresses, length)
    assert not socket.physical


@settings(deadline=None)  # byte by byte it takes a while
@given(st.integers(1, 25), st.sampled_from(LENGTHS), st.data(), cuts)
def test_a_refused_row_is_invalid_and_the_others_are_in_place(
    count: int, length: int, data: st.DataObject, sizes: list[int]
) -> None:
    addresses = u64(*range(0, count << 13, 1 << 13))
    parts = -(-length // 2048)
    forms = data.draw(
        st.lists(st.sampled_from(WHOLE + BROKEN), min_size=count * parts, max_size=count * parts)
    )
    rows, valid = packets_over(ScriptedSocket(forms, sizes)).read(addresses, length)
    for row in range(count):
        whole = not set(forms[row * parts : (row + 1) * parts]) & set(BROKEN)
        assert valid[row] == whole
        assert rows[row].tobytes() == (
            bytes_at(int(addresses[row]), length) if whole else bytes(length)
        )


@settings(deadline=None)
@given(st.integers(0, 24), st.sampled_from(LENGTHS), cuts)
def test_a_damaged_reply_is_an_error_and_never_data(at: int, length: int, sizes: list[int]) -> None:
    forms = [form.good] * at + [form.damaged] + [form.good] * 200
    addresses = u64(*range(0, 25 << 13, 1 << 13))
    with pytest.raises(PacketError, match="damaged"):
        packets_over(ScriptedSocket(forms, sizes)).read(addresses, length)


class Noise(ScriptedSocket):
    """Answers with bytes that have nothing to do with what was asked."""

    def __init__(self, noise: bytes, cuts: list[int]) -> None:
        super().__init__(cuts=cuts)
        self.noise = noise

    def sendall(self, data: bytes) -> None:
        self.waiting += self.noise
        self.noise = b""


@given(
    st.binary(max_size=300)
    | st.lists(st.sampled_from([b"+", b"$", b"#", b"OK", b"#9a", b"00", b"*~", b"}"])).map(
        b"".join
    ),
    st.booleans(),
    cuts,
)
def test_random_bytes_are_an_error_within_the_time_given(
    noise: bytes, after_ok: bool, sizes: list[int]
) -> None:
    packets = PhysicalPackets(
        RawStub(Noise((b"+$OK#9a" if after_ok else b"") + noise, sizes), patience=0.01),  # type: ignore[arg-type]  # all of a socket that is used
        4096,
        patience=0.01,
    )
    with pytest.raises((PacketError, TimeoutError)):
        packets.read(u64(*range(0, 1 << 16, 4096)), 4096)


def test_an_endless_reply_is_an_error_with_bounded_buffers() -> None:
    class Endless(ScriptedSocket):
        def recv(self, size: int) -> bytes:
            self.calls += 1
            return b"+$OK#9a"[:size] if self.calls == 1 else b"0" * size

    socket = Endless()
    with pytest.raises(PacketError):
        packets_over(socket).read(u64(*range(0, 1 << 16, 4096)), 4096)
    assert socket.calls < 10


def test_requests_in_flight_are_bounded_and_topped_up_before_a_piece_is_used() -> None:
    socket = ScriptedSocket()
    addresses = u64(*range(0, 1 << 22, 1 << 13))
    pieces = packets_over(socket).stream(addresses, 4096)
    done = 0
    for data, _ in pieces:
        done += 2 * len(data)
        # QEMU has its hands full while the caller works on the piece.
        assert len(socket.reads) == min(done + 9, 2 * len(addresses))
    assert socket.most_unread < IN_FLIGHT
    assert done == 2 * len(addresses)


def test_the_kernel_is_asked_a_number_of_times_that_grows_with_the_size_only() -> None:
    calls = []
    for count in (64, 128, 256):
        socket = ScriptedSocket(cuts=[1 << 30])
        packets_over(socket).read(u64(*range(0, count << 12, 1 << 12)), 4096)
        calls.append(socket.calls)
    assert calls[2] - calls[1] == 2 * (calls[1] - calls[0])
    # Of two requests in one window.
    assert calls[2] <= 256 + 2


def test_addresses_beyond_52_bits_are_not_asked_for() -> None:
    socket = ScriptedSocket()
    addresses = u64((1 << 52) - 8, (1 << 52) - 7, 1 << 63, 2**64 - 1, 0)
    data, valid = packets_over(socket).read(addresses, 8)
    assert valid.tolist() == [True, False, False, False, True]
    assert not data[1:4].any()
    assert sorted(socket.reads) == [(0, 8), ((1 << 52) - 8, 8)]
    pieces = list(packets_over(ScriptedSocket()).stream(addresses, 8))
    assert np.concatenate([valid for _, valid in pieces]).tolist() == valid.tolist()


def test_nothing_is_asked_for_nothing() -> None:
    socket = ScriptedSocket()
    packets = packets_over(socket)
    assert packets.read(u64(), 4096)[0].shape == (0, 4096)
    assert packets.read(u64(1, 2), 0)[0].shape == (2, 0)
    assert list(packets.stream(u64(), 4096)) == []
    assert socket.seen == []


def test_a_stream_that_is_left_is_drained_before_anything_else_is_sent() -> None:
    socket = ScriptedSocket()
    packets = packets_over(socket)
    pieces = packets.stream(u64(*range(0, 1 << 20, 4096)), 4096)
    next(pieces)
    packets.calm()
    assert socket.waiting == b""
    assert not socket.physical
    assert packets.read(u64(8192), 8)[0].tobytes() == bytes_at(8192, 8)
    with pytest.raises(PtliveError, match="something else was asked"):
        next(pieces)
    assert packets.read(u64(1024), 8)[0].tobytes() == bytes_at(1024, 8)


@pytest.mark.parametrize("after", range(12))
def test_an_interruption_anywhere_leaves_it_usable(after: int) -> None:
    class Interrupted(ScriptedSocket):
        left = after

        def recv(self, size: int) -> bytes:
            # What was received is lost with the exception, as it is with a real socket.
            data = super().recv(size)
            self.left -= 1
            if self.left == -1:
                raise KeyboardInterrupt
            return data

    socket = Interrupted(cuts=[700, 6000])
    packets = packets_over(socket)
    with pytest.raises(KeyboardInterrupt):
        packets.read(u64(*range(0, 1 << 18, 4096)), 4096)
    packets.calm()
    assert not socket.physical
    addresses = list(range(4096, 1 << 17, 4096))
    assert packets.read(u64(*addresses), 4096)[0].tobytes() == expected(addresses, 4096)


def test_a_larger_packet_size_is_used_up_to_a_frame() -> None:
    class Large(ScriptedSocket):
        def _answer(self, payload: bytes) -> bytes:
            if payload.startswith(b"m"):
                address, length = (int(word, 16) for word in payload[1:].split(b","))
                self.reads.append((address, length))
                return form.good(bytes_at(address, length).hex().encode())
            return super()._answer(payload)

    socket = Large()
    packets = PhysicalPackets(RawStub(socket, patience=1), 1 << 17, patience=1)  # type: ignore[arg-type]  # all of a socket that is used
    assert packets.read(u64(0, 8192), 8192)[0].tobytes() == expected([0, 8192], 8192)
    assert socket.reads == [(0, 4096), (4096, 4096), (8192, 4096), (12288, 4096)]


def test_a_stub_that_hangs_up_in_the_middle_is_told() -> None:
    socket = ScriptedSocket(cuts=[5000])
    socket.closes_after = 10
    with pytest.raises(PacketError, match="closed"):
        packets_over(socket).read(u64(*range(0, 1 << 18, 4096)), 4096)
