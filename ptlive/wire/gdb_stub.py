"""The stub protocol through gdb: packets for registers and steps, files for bulk memory."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from ptlive.errors import PtliveError
from ptlive.wire.gdb import GdbMi
from ptlive.wire.gdb_packets import GdbPackets
from ptlive.wire.physical import PhysicalReader
from ptlive.wire.registers import RegisterLayout
from ptlive.wire.stub_packets import StepFlags, halted

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ptlive.arrays import U8, U64, Bool

_SETTINGS = (
    "confirm off",
    "mi-async on",
    "pagination off",
    "width 0",
    "auto-load off",
    "auto-solib-add off",
    "architecture i386:x86-64",
    "osabi none",
    "stack-cache off",
    "code-cache off",
    "tcp auto-retry off",
    "tcp connect-timeout 10",
    "remotetimeout 20",
    "debuginfod enabled off",
    "history save off",
)

_STEP_PATIENCE = 30.0

# PacketSize is 4096 hex digits in QEMU (and a pipe takes 4096 bytes in one piece), for
# `M` with its address and for `m`'s reply.
_WRITE_BYTES = 1024
_READ_BYTES = 2048

_THREAD = re.compile(r"Thread (?:(\d+)\.)?(\d+)")
_FLUSH = '-interpreter-exec console "maint flush register-cache"'


class GdbStub:
    """A guest held by one gdb process: implements `ptlive.wire.stub.Stub`.

    Starting gdb takes longer than attaching, so they are two steps: construct, then
    `connect`. Raises PtliveError when gdb is missing or does not start.
    """

    def __init__(self, executable: str | None = None) -> None:
        self._file = os.memfd_create("ptlive-physical", os.MFD_CLOEXEC)
        try:
            self.gdb = GdbMi(executable, pass_fds=(self._file,))
        except BaseException:
            os.close(self._file)
            raise
        self._packets = GdbPackets(self.gdb)
        self._reader = PhysicalReader(self._packets, self._file)
        self._generation = 0
        self._found_mode = 0
        self._process: int | None = None
        self._vcpus: tuple[int, ...] = ()
        self._threads: dict[int, int] = {}
        self._layout: RegisterLayout | None = None
        self._synchronized: set[int] = set()
        self._step_flags = StepFlags(0, 0)
        self._written = False  # whether registers were, past gdb
        self._connected = False
        self._closed = False

    def connect(self, target: str, found_mode: int | None = None) -> None:
        """Attach to the stub at `target`, as gdb's `target remote` spells it.

        `found_mode` is what `PhyMemMode` was, if the caller has already read it and
        switched it off; None asks. Raises PtliveError when there is no stub.
        """
        self.gdb.batch([f"-gdb-set {setting}" for setting in _SETTINGS])
        # Set first: if this is interrupted gdb may hold the guest without our knowing,
        # and must not be asked to quit politely, which would resume it.
        self._connected = True
        [reply] = self.gdb.batch([f"-target-select extended-remote {target}"])
        if reply.error is not None:
            raise PtliveError(f"gdb does not attach to {target}: {reply.error}")
        mode, flags, bits = self._packets.ask(
            ["qqemu.PhyMemMode", "qqemu.sstep", "qqemu.sstepbits"]
        )
        self._found_mode = int(mode or "0") if found_mode is None else found_mode
        if mode == "1":
            self._packets.order(["Qqemu.PhyMemMode:0"])
        self._step_flags = StepFlags.told(flags.encode(), bits.encode())
        [threads] = self.gdb.batch(["-thread-info"])
        listed = [
            (name, int(thread["id"]))
            for thread in threads.payload["threads"]
            if (name := _THREAD.match(thread["target-id"]))
        ]
        self._vcpus = tuple(sorted(int(name[2]) for name, _ in listed))
        self._process = next((int(name[1]) for name, _ in listed if name[1]), None)
        self._threads = {int(name[2]): number for name, number in listed}
        [layout] = self.gdb.console(["maint print remote-registers"])
        self._layout = RegisterLayout.from_gdb(layout.text)

    @property
    def generation(self) -> int:
        """See `Stub.generation`."""
        return self._generation

    def read_physical(self, addresses: U64, length: int) -> tuple[U8, Bool]:
        """See `Stub.read_physical`; distinct addresses are fetched once each."""
        return self._reader.read(addresses, length)

    def write_physical(self, writes: Sequence[tuple[int, bytes]]) -> None:
        """See `Stub.write_physical`."""
        packets = [
            f"M{address + at:x},{len(data[at : at + _WRITE_BYTES]):x}"
            f":{data[at : at + _WRITE_BYTES].hex()}"
            for address, data in writes
            for at in range(0, len(data), _WRITE_BYTES)
        ]
        self._generation += 1
        self._packets.order_physical(packets)

    def read_virtual(self, va: int, length: int, vcpu: int = 1) -> bytes | None:
        """See `Stub.read_virtual`."""
        last = va + length
        pieces = [(at, min(_READ_BYTES, last - at)) for at in range(va, last, _READ_BYTES)]
        packets = [f"m{at:x},{size:x}" for at, size in pieces]
        replies = self._packets.ask_about(self._thread(vcpu), packets)
        if any(len(reply) != 2 * size for reply, (_, size) in zip(replies, pieces, strict=True)):
            return None
        return bytes.fromhex("".join(replies))

    def vcpus(self) -> Sequence[int]:
        """See `Stub.vcpus`."""
        return self._vcpus

    def halted(self, vcpu: int) -> bool | None:
        """See `Stub.halted`; the stub tells it as the thread's extra information."""
        [digits] = self._packets.ask([f"qThreadExtraInfo,{self._thread(vcpu)}"])
        return halted(digits.encode())

    def registers(self, vcpu: int) -> dict[str, int]:
        """See `Stub.registers`."""
        [packet] = self._packets.order_about(self._thread(vcpu), ["g"])
        self._synchronized.add(vcpu)
        return self._registers.decode(packet)

    def write_registers(self, vcpu: int, values: Mapping[str, int]) -> None:
        """See `Stub.write_registers`."""
        packets = [*self._synchronize(vcpu), *self.register_packets(values)]
        self._written = True
        self._packets.order_about(self._thread(vcpu), packets)

    def register_packets(self, values: Mapping[str, int]) -> list[str]:
        """See `Stub.register_packets`."""
        return self._registers.write_packets(values)

    def step(self, vcpu: int, values: Mapping[str, int] | None = None) -> dict[str, int]:
        """See `Stub.step`; the whole of it is one batch to gdb."""
        switch = [packet.decode() for packet in self._step_flags.switch()]
        packets = [*self._synchronize(vcpu), *self.register_packets(values or {}), *switch]
        stop_at = len(packets)
        thread = self._thread(vcpu)
        packets += [f"vCont;s:{thread}", "g"]
        packets += [packet.decode() for packet in self._step_flags.switch_back()]
        self._generation += 1
        self._synchronized.clear()
        self._written = True
        replies = self._packets.order_about(thread, packets, _STEP_PATIENCE)
        stop = re.match(r"T05thread:(?:p[0-9a-f]+\.)?([0-9a-f]+);", replies[stop_at])
        if stop is None or int(stop[1], 16) != vcpu:
            self._packets.forget_thread()
            raise PtliveError(f"vCPU {vcpu} did not stop after one step: {replies[stop_at]!r}")
        self._synchronized.add(vcpu)
        return self._registers.decode(replies[stop_at + 1])

    def thread_of(self, vcpu: int) -> int:
        """Return gdb's own number of a vCPU's thread. Raises PtliveError if there is none."""
        self._thread(vcpu)
        return self._threads[vcpu]

    def vcpu_of(self, thread: object) -> int:
        """Return the vCPU of which gdb has this thread number, the first if it has none."""
        numbers = {str(number): vcpu for vcpu, number in self._threads.items()}
        return numbers.get(str(thread), self._vcpus[0])

    def written(self) -> None:
        """Take note that gdb itself may have written memory."""
        self._generation += 1

    def went_on(self) -> None:
        """Forget what was known of the guest: it is about to run."""
        self._generation += 1
        self._synchronized.clear()
        self._packets.forget_thread()

    def hand_over(self, vcpu: int) -> None:
        """Bring gdb up to date before it is asked, with this vCPU selected in it.

        Raw packets may have selected another thread than gdb believes to have selected (`Hg`).
        So the right one is selected by a packet, and then gdb is made to believe that: it selects
        the thread whenever it reads memory (remote.c, remote_target::xfer_partial), unless it
        takes it for selected. Where the vCPU stands there is code, and no device.

        Registers that packets have written gdb has to read again, and only these: it forgets with
        them in which inlined function it is.
        """
        if self._packets.used and len(self._vcpus) > 1:
            self._packets.forget_thread()
            self._packets.order([f"Hg{self._thread(vcpu)}"])
            self.gdb.batch(["-data-read-memory-bytes $pc 1"])
        if self._written:
            self.gdb.batch([_FLUSH])
        self._packets.forget_thread()
        self._packets.used = self._written = False

    def run_to(self, vcpu: int, address: int, seconds: float) -> bool:
        """See `Stub.run_to`; by a breakpoint of gdb's own."""
        self.hand_over(vcpu)
        self.went_on()
        thread = self.thread_of(vcpu)
        commands = [f"-thread-select {thread}", f"-break-insert -h -p {thread} *{address:#x}"]
        for reply in self.gdb.batch(commands):
            if reply.error is not None:
                raise PtliveError(f"gdb sets no breakpoint at {address:#x}: {reply.error}")
        stops = self.gdb.stops
        try:
            [reply] = self.gdb.batch(["-exec-continue"])
            if reply.error is not None:
                raise PtliveError(f"gdb does not let the guest run: {reply.error}")
            arrived = self.gdb.await_stop(stops, seconds)
        finally:
            if not self.gdb.failed:
                self.gdb.interrupt(_STEP_PATIENCE)
                self.gdb.batch(["-break-delete"])
        return arrived

    def monitor(self, command: str) -> str:
        """See `Stub.monitor`."""
        [text] = self.monitor_many([command])
        return text

    def monitor_many(self, commands: Sequence[str]) -> list[str]:
        """See `Stub.monitor_many`."""
        replies = self.gdb.console([f"monitor {command}" for command in commands])
        for reply in replies:
            if reply.error is not None:
                raise PtliveError(f"QEMU's monitor does not answer: {reply.error}")
        return [reply.text for reply in replies]

    def close(self, *, resume: bool) -> None:
        """See `Stub.close`. Raises PtliveError when the guest cannot be put back."""
        if self._closed:
            return
        try:
            # The layout is the last thing that `connect` learns: without it, it was
            # interrupted, and what is to be put back may not be known here.
            if not self._connected or self._layout is None:
                raise PtliveError("gdb is not attached")
            self._packets.order([f"Qqemu.PhyMemMode:{self._found_mode}"])
            [reply] = self.gdb.batch(["-target-detach" if resume else "-target-disconnect"])
            if reply.error is not None:
                raise PtliveError(f"gdb does not let go of the guest: {reply.error}")
            self._connected = False
        finally:
            self.abandon()

    def abandon(self) -> None:
        """End gdb without a word to the guest, which stays stopped if it still held it."""
        if self._closed:
            return
        self._closed = True
        if self._connected:
            self.gdb.kill()
        else:
            self.gdb.quit()
        os.close(self._file)

    @property
    def _registers(self) -> RegisterLayout:
        if self._layout is None:
            raise PtliveError("gdb is not attached")
        return self._layout

    def _thread(self, vcpu: int) -> str:
        if vcpu not in self._vcpus:
            raise PtliveError(f"the guest has no vCPU {vcpu}")
        return f"{vcpu:x}" if self._process is None else f"p{self._process:x}.{vcpu:x}"

    def _synchronize(self, vcpu: int) -> list[str]:
        """Return what must precede `P`: under KVM it does not fetch the registers first."""
        return [] if vcpu in self._synchronized else ["g"]
