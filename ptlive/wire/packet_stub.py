"""The stub protocol by our own packets: one socket, and nothing between it and QEMU."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, NoReturn

from ptlive.errors import PtliveError
from ptlive.wire.bulk import PhysicalPackets
from ptlive.wire.packet import PacketError
from ptlive.wire.raw import ConnectionGoneError, RawStub
from ptlive.wire.registers import RegisterLayout
from ptlive.wire.stub_packets import (
    SMALLEST_PACKET,
    StepFlags,
    accepted,
    halted,
    memory_writes,
    packet_size,
    register_reads,
    register_writes,
    registers_told,
    unhex,
)
from ptlive.wire.target_xml import registers
from ptlive.wire.threads import Threads, await_step

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator, Mapping, Sequence

    from ptlive.arrays import U8, U64, Bool

#: Seconds without a word from QEMU after which it counts as hanging.
PATIENCE = 20.0

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
        # Until it is known what the stub takes.
        self._physical = PhysicalPackets(raw, SMALLEST_PACKET, patience)
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
            digits = packet_size(features)
            self._physical = PhysicalPackets(raw, digits, patience)
            self._found_mode = int(mode == b"1") if found_mode is None else found_mode
            self._physical.switched = mode == b"1"
            self._physical.calm()
            self._step_flags = StepFlags.told(flags, bits)
            self._threads = Threads.ask(raw)
            self._layout = RegisterLayout(registers(raw.ask, digits))

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
        packets = memory_writes(writes)
        self._generation += 1
        with self._talk():
            accepted(packets, self._physical.ask_all(packets))

    def read_virtual(self, va: int, length: int, vcpu: int = 1) -> bytes | None:
        """See `Stub.read_virtual`."""
        last, most = va + length, self._physical.largest
        pieces = [(at, min(most, last - at)) for at in range(va, last, most)]
        packets = [b"m%x,%x" % piece for piece in pieces]
        replies = self._ask_about(vcpu, packets)
        if any(len(reply) != 2 * size for reply, (_, size) in zip(replies, pieces, strict=True)):
            return None
        return unhex(b"".join(replies))

    def vcpus(self) -> Sequence[int]:
        """See `Stub.vcpus`."""
        return tuple(self._threads.names)

    def halted(self, vcpu: int) -> bool | None:
        """See `Stub.halted`; the stub tells it as the thread's extra information."""
        packet = b"qThreadExtraInfo," + self._threads.name(vcpu)
        with self._talk() as raw:
            return halted(raw.ask(packet))

    def registers(self, vcpu: int) -> dict[str, int]:
        """See `Stub.registers`."""
        packets = register_reads(self._layout)
        replies = self._ask_about(vcpu, packets)
        accepted(packets[:1], replies[:1])
        return registers_told(self._layout, replies)

    def write_registers(self, vcpu: int, values: Mapping[str, int]) -> None:
        """See `Stub.write_registers`."""
        packets = register_writes(self._layout, values)
        accepted(packets, self._ask_about(vcpu, packets))

    def register_packets(self, values: Mapping[str, int]) -> list[str]:
        """See `Stub.register_packets`."""
        return self._layout.write_packets(values)

    def step(self, vcpu: int, values: Mapping[str, int] | None = None) -> dict[str, int]:
        """See `Stub.step`; in two round trips."""
        switch = self._step_flags.switch()
        thread = self._threads.name(vcpu)
        before = [b"Hg" + thread, *register_writes(self._layout, values or {}), *switch]
        after = [b"Hg" + thread, b"g", *self._step_flags.switch_back()]
        self._generation += 1
        with self._talk() as raw:
            replies = raw.start([*before, b"vCont;s:" + thread])
            await_step(raw, vcpu)
            registers = raw.ask_all(after)[1]
        accepted(before, replies)
        return registers_told(self._layout, [registers])

    def run_to(self, vcpu: int, address: int, seconds: float) -> bool:
        """See `Stub.run_to`; by a trap of the stub (`Z1`)."""
        self._threads.name(vcpu)
        self._generation += 1
        trap = b"1,%x,1" % address
        with self._talk() as raw:
            reply = raw.ask(b"Z" + trap)
            if reply.startswith(b"E."):
                raise PtliveError(reply[2:].decode("ascii", "replace"))
            if reply != b"OK":
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
                mode = b"Qqemu.PhyMemMode:%d" % self._found_mode
                packets = [mode, *self._step_flags.switch_back()]
                accepted(packets, raw.ask_all(packets))
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
        accepted([select], [selected])
        return replies
