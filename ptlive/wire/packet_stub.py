"""The stub protocol by our own packets: one socket, and nothing between it and QEMU."""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, NoReturn

from ptlive.errors import PtliveError
from ptlive.wire.bulk import PhysicalPackets
from ptlive.wire.packet import PacketError
from ptlive.wire.raw import ConnectionGoneError, RawStub
from ptlive.wire.registers import RegisterLayout
from ptlive.wire.target_xml import registers
from ptlive.wire.threads import Threads, await_step

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator, Mapping, Sequence

    from ptlive.arrays import U8, U64, Bool

#: Seconds without a word from QEMU after which it counts as hanging.
PATIENCE = 20.0

# gdbstub.c, gdb_handle_query_qemu_sstepbits: step, mask interrupts, stop the timers.
_SSTEP = 7
_MASKS_INTERRUPTS = 2

_SMALLEST_PACKET = 1 << 9
# `M` holds two digits a byte, behind its address.
_WRITE_BYTES = 1 << 10

_ERROR = re.compile(rb"E[0-9a-fA-F]{2}")

_GONE = "QEMU closed the connection: the guest is gone"
_PROXY_GONE = "the proxy closed the connection: its debugger goes on, or the guest is gone"


class PacketStub:
    """A guest held over one connection: implements `ptlive.wire.stub.Stub`.

    `connection` is the stub's only one, with nothing unread. `found_mode` is what
    `PhyMemMode` was, if the caller has already read it and switched it off; None asks.
    An interrupted call (KeyboardInterrupt) and an abandoned stream leave it usable: the
    next call passes over what is still to come. Raises PtliveError when what answers is
    no QEMU of an architecture that we know.
    """

    def __init__(
        self,
        connection: socket.socket,
        found_mode: int | None = None,
        patience: float = PATIENCE,
    ) -> None:
        self._raw = raw = RawStub(connection, patience)
        self._patience = patience
        self._failure: str | None = None
        self._proxied = False
        self._closed = False
        self._generation = 0
        # Until it is known: the least that any stub takes.
        self._physical = PhysicalPackets(raw, _SMALLEST_PACKET, patience)
        with self._talk():
            features, mode, flags, bits, proxy = raw.ask_all(
                [
                    b"qSupported:multiprocess+;xmlRegisters=i386",
                    b"qqemu.PhyMemMode",
                    b"qqemu.sstep",
                    b"qqemu.sstepbits",
                    b"qptlive.proxy",
                ]
            )
            self._proxied = b";" in proxy
            told = re.search(rb"PacketSize=([0-9a-fA-F]{1,8})", features)
            packet_size = max(int(told[1], 16) if told else 0, _SMALLEST_PACKET)
            self._physical = PhysicalPackets(raw, packet_size, patience)
            self._found_mode = int(mode == b"1") if found_mode is None else found_mode
            self._physical.switched = mode == b"1"
            self._physical.calm()
            found = re.fullmatch(rb"0x([0-9a-fA-F]{1,8})", flags)
            supported = sum(int(bit) for bit in re.findall(rb"=(\d{1,8})", bits)) & _SSTEP
            self._step_flags = (int(found[1], 16) if found else 0, supported)
            self._threads = Threads.ask(raw)
            self._layout = RegisterLayout(registers(raw.ask, packet_size))

    @property
    def generation(self) -> int:
        """See `Stub.generation`."""
        return self._generation

    def read_physical(self, addresses: U64, length: int) -> tuple[U8, Bool]:
        """See `Stub.read_physical`; distinct addresses are fetched once each."""
        with self._talk():
            return self._physical.read(addresses, length)

    def stream_physical(self, addresses: U64, length: int) -> Iterator[tuple[U8, Bool]]:
        """See `Stub.stream_physical`; requests stay in flight while a piece is used."""
        with self._talk():
            pieces = self._physical.stream(addresses, length)
        while True:
            # What the user of a piece raises is none of ours.
            with self._talk(calm=False):
                piece = next(pieces, None)
            if piece is None:
                return
            yield piece

    def write_physical(self, writes: Sequence[tuple[int, bytes]]) -> None:
        """See `Stub.write_physical`."""
        packets = [
            b"M%x,%x:%s" % (address + at, len(piece), piece.hex().encode())
            for address, data in writes
            for at in range(0, len(data), _WRITE_BYTES)
            for piece in (data[at : at + _WRITE_BYTES],)
        ]
        self._generation += 1
        with self._talk():
            _accepted(packets, self._physical.ask_all(packets))

    def read_virtual(self, va: int, length: int, vcpu: int = 1) -> bytes | None:
        """See `Stub.read_virtual`."""
        last, most = va + length, self._physical.largest
        pieces = [(at, min(most, last - at)) for at in range(va, last, most)]
        packets = [b"m%x,%x" % piece for piece in pieces]
        replies = self._ask_about(vcpu, packets)
        if any(len(reply) != 2 * size for reply, (_, size) in zip(replies, pieces, strict=True)):
            return None
        return _unhex(b"".join(replies))

    def vcpus(self) -> Sequence[int]:
        """See `Stub.vcpus`."""
        return tuple(self._threads.names)

    def halted(self, vcpu: int) -> bool | None:
        """See `Stub.halted`; the stub tells it as the thread's extra information."""
        packet = b"qThreadExtraInfo," + self._threads.name(vcpu)
        with self._talk() as raw:
            digits = raw.ask(packet)
        state = re.search(rb"\[(halted|running) *\]", _unhex(digits) or b"")
        return None if state is None else state[1] == b"halted"

    def registers(self, vcpu: int) -> dict[str, int]:
        """See `Stub.registers`."""
        packets = [packet.encode() for packet in self._layout.read_packets]
        replies = self._ask_about(vcpu, packets)
        _accepted(packets[:1], replies[:1])
        return self._decode(*replies)

    def write_registers(self, vcpu: int, values: Mapping[str, int]) -> None:
        """See `Stub.write_registers`."""
        packets = self._writes(values)
        _accepted(packets, self._ask_about(vcpu, packets))

    def register_packets(self, values: Mapping[str, int]) -> list[str]:
        """See `Stub.register_packets`."""
        return self._layout.write_packets(values)

    def step(self, vcpu: int, values: Mapping[str, int] | None = None) -> dict[str, int]:
        """See `Stub.step`; in two round trips."""
        found, wanted = self._step_flags
        if not wanted & _MASKS_INTERRUPTS:
            raise PtliveError("this QEMU cannot hold interrupts back while it steps")
        thread = self._threads.name(vcpu)
        before = [b"Hg" + thread, *self._writes(values or {})]
        after = [b"Hg" + thread, b"g"]
        if found != wanted:
            before.append(b"Qqemu.sstep=%x" % wanted)
            after.append(b"Qqemu.sstep=%x" % found)
        self._generation += 1
        with self._talk() as raw:
            replies = raw.start([*before, b"vCont;s:" + thread])
            await_step(raw, vcpu)
            registers = raw.ask_all(after)[1]
        _accepted(before, replies)
        return self._decode(registers)

    def run_to(self, vcpu: int, address: int, seconds: float) -> bool:
        """See `Stub.run_to`; by a trap of the stub (`Z1`)."""
        self._threads.name(vcpu)
        self._generation += 1
        trap = b"1,%x,1" % address
        with self._talk() as raw:
            accepted = raw.ask(b"Z" + trap)
            if accepted.startswith(b"E."):
                raise PtliveError(accepted[2:].decode("ascii", "replace"))
            if accepted != b"OK":
                raise PtliveError(f"QEMU sets no breakpoint at {address:#x}")
            arrived = self._threads.run_until_trap(raw, vcpu, seconds)
            raw.ask(b"z" + trap)
        return arrived

    def monitor(self, command: str) -> str:
        """See `Stub.monitor`."""
        [text] = self.monitor_many([command])
        return text

    def monitor_many(self, commands: Sequence[str]) -> list[str]:
        """See `Stub.monitor_many`."""
        with self._talk() as raw:
            return raw.monitor_all(commands)

    def close(self, *, resume: bool) -> None:
        """See `Stub.close`. Raises PtliveError when the guest cannot be put back."""
        if self._closed:
            return
        try:
            with self._talk() as raw:
                # An interrupted `run_to` left one, an interrupted `step` its flags.
                raw.remove_breakpoints()
                packets = [b"Qqemu.PhyMemMode:%d" % self._found_mode]
                if self._step_flags[0] != self._step_flags[1]:
                    packets.append(b"Qqemu.sstep=%x" % self._step_flags[0])
                _accepted(packets, raw.ask_all(packets))
                if resume:
                    raw.detach()
        finally:
            self.abandon()

    def abandon(self) -> None:
        """Hang up without a word to the guest, which stays stopped."""
        if not self._closed:
            self._closed = True
            self._failure = self._failure or "the connection to the guest was closed"
            self._raw.close()

    @contextmanager
    def _talk(self, *, calm: bool = True) -> Iterator[RawStub]:
        """Hold a conversation; what goes wrong with the connection ends it for good.

        calm: first end what an interruption left.
        """
        if self._failure is not None:
            raise PtliveError(self._failure)
        try:
            if calm:
                self._physical.calm()
            yield self._raw
        except ConnectionGoneError:
            self._fail(_PROXY_GONE if self._proxied else _GONE)
        except TimeoutError:
            self._fail(f"QEMU has not answered within {self._patience:.0f} s")
        except (PacketError, OSError) as error:
            self._fail(f"QEMU's stub does not answer as it should: {error}")

    def _fail(self, sentence: str) -> NoReturn:
        self._failure = sentence
        raise PtliveError(sentence) from None

    def _ask_about(self, vcpu: int, packets: Sequence[bytes]) -> list[bytes]:
        select = b"Hg" + self._threads.name(vcpu)
        with self._talk() as raw:
            selected, *replies = raw.ask_all([select, *packets])
        _accepted([select], [selected])
        return replies

    def _writes(self, values: Mapping[str, int]) -> list[bytes]:
        """Return packets that write registers of the selected vCPU.

        Under KVM `P` does not fetch the registers first, but `g` does.
        """
        packets = [packet.encode() for packet in self._layout.write_packets(values)]
        return [b"g", *packets] if packets else []

    def _decode(self, *replies: bytes) -> dict[str, int]:
        try:
            return self._layout.decode(*(reply.decode("ascii") for reply in replies))
        except ValueError:
            raise PtliveError("the stub's registers cannot be read") from None


def _accepted(packets: Sequence[bytes], replies: list[bytes]) -> list[bytes]:
    """Return the replies. Raises PtliveError for a packet that the stub refuses."""
    for packet, reply in zip(packets, replies, strict=True):
        if reply == b"" or _ERROR.fullmatch(reply):
            head = packet.partition(b":")[0].decode("ascii", "replace")
            answer = reply.decode() or "not supported"
            raise PtliveError(f"QEMU refuses the packet {head}: {answer}")
    return replies


def _unhex(digits: bytes) -> bytes | None:
    try:
        return bytes.fromhex(digits.decode("ascii"))
    except ValueError:
        return None
