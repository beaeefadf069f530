"""The stub protocol inside a debugger that holds the connection: it sends our packets.

They go past the debugger's own notions. So what they change at the stub is put back: which
addresses memory packets mean (`PhyMemMode`), and which vCPU is selected (`Hg`). Where the guest
itself was changed, as by steps, the debugger is told to forget what it has cached.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Protocol

import numpy as np

from ptlive.errors import PtliveError
from ptlive.wire.packet import PacketError
from ptlive.wire.registers import RegisterLayout
from ptlive.wire.stub_packets import (
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
from ptlive.wire.threads import Threads, trapped

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from ptlive.arrays import U8, U64, Bool

#: SDM vol. 3A 4.1.4: a physical address has 52 bits at most.
_PHYSICAL_END = 1 << 52
# What is read while Ctrl-C is held back: some milliseconds.
_BATCH_BYTES, _BATCH_ROWS = 1 << 16, 1 << 7


class Link(Protocol):
    """A debugger's connection to a stub. What fails raises PtliveError."""

    def send(self, packet: bytes) -> bytes:
        """Send one packet and return the reply."""
        ...

    def monitor(self, command: str) -> str:
        """Run a command of QEMU's human monitor and return all it prints."""
        ...

    def settle(self) -> int:
        """Have the debugger select its own vCPU at the stub; return which that is."""
        ...

    def calm(self) -> AbstractContextManager[None]:
        """Hold Ctrl-C back during a `with` block."""
        ...

    def announce(self, mode: int | None) -> None:
        """Be told before `PhyMemMode` is switched what it was, and None once it is that again."""
        ...

    def forget(self) -> None:
        """Have the debugger forget what it has cached of the guest."""
        ...


class InsideStub:
    """A stopped guest that a debugger holds, which we are in: implements `ptlive.wire.stub.Stub`.

    What is asked of it is asked in a `with` block of `held`. Raises PtliveError when what
    answers is no QEMU of an architecture that we know.
    """

    def __init__(self, link: Link) -> None:
        self._link = link
        self._generation = 0
        self._changed = False
        # Which vCPU the debugger has selected, and which is selected at the stub.
        self._own: int | None = None
        self._selected: int | None = None
        # What PhyMemMode is but for us, and whether it is the other way now.
        self._found_mode: int | None = None
        self._switched = self._together = False
        with link.calm():
            features, flags, bits = map(
                link.send, (b"qSupported", b"qqemu.sstep", b"qqemu.sstepbits")
            )
            digits = packet_size(features)
            self._largest = digits // 2
            self._step_flags = StepFlags.told(flags, bits)
            try:
                self._threads = Threads.ask(self)
            except PacketError as error:
                raise PtliveError(f"what gdb is attached to is no QEMU: {error}") from None
            self._layout = RegisterLayout(registers(link.send, digits))

    def ask(self, payload: bytes) -> bytes:
        """Send one packet and return the reply."""
        return self._link.send(payload)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Leave the stub as it was found, at the end of a `with` block."""
        self._generation += 1  # the debugger's user may have changed the guest since
        try:
            yield
        finally:
            self.leave()

    def leave(self) -> None:
        """Leave the stub as it was found; nothing if it is. If this is interrupted, again."""
        with self._link.calm():
            self._leave()

    def _leave(self) -> None:
        self._together = False
        self._switch_back()
        self._found_mode = None
        if self._own is not None and self._own != self._selected:
            self._link.send(b"Hg" + self._threads.name(self._own))
        self._own = self._selected = None
        if self._changed:
            self._link.forget()
            self._changed = False

    @property
    def generation(self) -> int:
        """See `Stub.generation`."""
        return self._generation

    def read_physical(self, addresses: U64, length: int) -> tuple[U8, Bool]:
        """See `Stub.read_physical`; distinct addresses are fetched once each."""
        data = np.zeros((len(addresses), length), np.uint8)
        valid = np.zeros(len(addresses), np.bool_)
        inside = addresses <= np.uint64(_PHYSICAL_END - length)
        distinct, where = np.unique(addresses[inside], return_inverse=True)
        rows: list[bytes | None] = []
        most = max(min(_BATCH_BYTES // max(length, 1), _BATCH_ROWS), 1)
        for first in range(0, distinct.size, most):
            with self._mode(physical=True):
                rows += [self._row(at, length) for at in distinct[first : first + most].tolist()]
        if not rows:
            return data, valid
        blank = bytes(length)
        fetched = np.frombuffer(b"".join(row or blank for row in rows), np.uint8)
        data[inside] = fetched.reshape(-1, length)[where]
        valid[inside] = np.array([row is not None for row in rows])[where]
        return data, valid

    def _row(self, address: int, length: int) -> bytes | None:
        """Read one row by memory packets; None if the stub does not deliver it."""
        row = b""
        for at in range(0, length, self._largest):
            size = min(length - at, self._largest)
            piece = unhex(self._link.send(b"m%x,%x" % (address + at, size)))
            if piece is None or len(piece) != size:
                return None
            row += piece
        return row

    def write_physical(self, writes: Sequence[tuple[int, bytes]]) -> None:
        """See `Stub.write_physical`."""
        self._generation += 1
        self._changed = True
        with self._mode(physical=True):
            self._order(memory_writes(writes))

    def read_virtual(self, va: int, length: int, vcpu: int = 1) -> bytes | None:
        """See `Stub.read_virtual`."""
        with self._mode(physical=False):
            self._select(vcpu)
            return self._row(va, length)

    def vcpus(self) -> Sequence[int]:
        """See `Stub.vcpus`."""
        return tuple(self._threads.names)

    def halted(self, vcpu: int) -> bool | None:
        """See `Stub.halted`; the stub tells it as the thread's extra information."""
        return halted(self._link.send(b"qThreadExtraInfo," + self._threads.name(vcpu)))

    def registers(self, vcpu: int) -> dict[str, int]:
        """See `Stub.registers`."""
        with self._link.calm():
            self._select(vcpu)
            return self._registers()

    def write_registers(self, vcpu: int, values: Mapping[str, int]) -> None:
        """See `Stub.write_registers`."""
        self._changed = True
        with self._link.calm():
            self._select(vcpu)
            self._order(register_writes(self._layout, values))

    def register_packets(self, values: Mapping[str, int]) -> list[str]:
        """See `Stub.register_packets`."""
        return self._layout.write_packets(values)

    def step(self, vcpu: int, values: Mapping[str, int] | None = None) -> dict[str, int]:
        """See `Stub.step`."""
        switch = self._step_flags.switch()
        self._generation += 1
        self._changed = True
        with self._link.calm():
            self._select(vcpu)
            self._order(register_writes(self._layout, values or {}))
            try:
                self._order(switch)
                stop = self._link.send(b"vCont;s:" + self._threads.name(vcpu))
            finally:
                self._selected = None  # the stub selects the vCPU that has stopped
                self._order(self._step_flags.switch_back())
            if trapped(stop) != vcpu:
                raise PtliveError(f"vCPU {vcpu} did not stop after one step: {stop!r}")
            self._select(vcpu)
            return self._registers()

    def run_to(self, vcpu: int, address: int, seconds: float) -> bool:
        """See `Stub.run_to`; here the guest is the debugger's, and its user's, to let run."""
        raise PtliveError("inside gdb ptlive does not let the guest run: continue it there")

    def monitor(self, command: str) -> str:
        """See `Stub.monitor`."""
        with self._link.calm():
            return self._link.monitor(command)

    def monitor_many(self, commands: Sequence[str]) -> list[str]:
        """See `Stub.monitor_many`."""
        return [self.monitor(command) for command in commands]

    def close(self, *, resume: bool) -> None:
        """See `Stub.close`: it is not ours to close."""

    @contextmanager
    def together(self) -> Iterator[None]:
        """Switch `PhyMemMode` once for all that is read in a `with` block, which is to be short."""
        with self._link.calm():
            self._together = True
            try:
                yield
            finally:
                self._together = False
                self._switch_back()

    @contextmanager
    def _mode(self, *, physical: bool) -> Iterator[None]:
        """Have memory packets mean physical addresses, or not, during a `with` block."""
        with self._link.calm():
            if self._found_mode is None:
                # The debugger's user may have switched it on.
                reply = self._link.send(b"qqemu.PhyMemMode")
                if reply not in (b"0", b"1"):
                    raise PtliveError("the stub knows no PhyMemMode (QEMU has it from 4.1 on)")
                self._found_mode = int(reply)
            if self._found_mode == physical:
                self._switch_back()
            elif not self._switched:
                self._link.announce(self._found_mode)
                self._switched = True
                self._order([b"Qqemu.PhyMemMode:%d" % physical])
            try:
                yield
            finally:
                if not self._together:
                    self._switch_back()

    def _switch_back(self) -> None:
        """Have memory packets mean again what they were found to mean."""
        if self._switched:
            self._order([b"Qqemu.PhyMemMode:%d" % (self._found_mode or 0)])
            self._switched = False
            self._link.announce(None)

    def _select(self, vcpu: int) -> None:
        """Select a vCPU at the stub."""
        name = self._threads.name(vcpu)
        if len(self._threads.names) == 1:
            return
        if self._own is None:
            self._own = self._selected = self._link.settle()
        if self._selected != vcpu:
            self._selected = None
            self._order([b"Hg" + name])
            self._selected = vcpu

    def _order(self, packets: Sequence[bytes]) -> None:
        """Send packets. Raises PtliveError for one that the stub refuses."""
        for packet in packets:
            accepted([packet], [self._link.send(packet)])

    def _registers(self) -> dict[str, int]:
        return registers_told(self._layout, map(self._link.send, register_reads(self._layout)))
