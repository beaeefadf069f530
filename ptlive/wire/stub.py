"""What ptlive asks of a gdb stub, whatever carries the packets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from ptlive.arrays import U8, U64, Bool


class Stub(Protocol):
    """A stopped guest, held through its gdb stub.

    Every method raises PtliveError when the connection is lost, and then again at
    every later call. vCPUs carry the stub's thread numbers, from 1.
    """

    @property
    def generation(self) -> int:
        """A number that grows whenever the guest's memory may have changed through us.

        Steps and writes count. What was read under another generation is stale.
        """
        ...

    def read_physical(self, addresses: U64, length: int) -> tuple[U8, Bool]:
        """Read `length` bytes at each physical address, all in one batch.

        Returns `(data, valid)`: uint8[n, length] and bool[n]; invalid rows hold zeros.
        A row is invalid when the stub fails to deliver it; whether anything but
        memory answers there is not known here (`ptlive.memory` bounds it).
        """
        ...

    def write_physical(self, writes: Sequence[tuple[int, bytes]]) -> None:
        """Write each `(physical address, bytes)`, in order. ROM silently stays as it is."""
        ...

    def read_virtual(self, va: int, length: int, vcpu: int = 1) -> bytes | None:
        """Read through QEMU's debug walker (not the MMU); None where it refuses.

        The translation is that of the vCPU's present registers. A page that a device
        answers would really be read: ask only for addresses known to be memory.
        """
        ...

    def vcpus(self) -> Sequence[int]:
        """Return the numbers of the vCPUs, ascending."""
        ...

    def halted(self, vcpu: int) -> bool | None:
        """Whether the vCPU sleeps in HLT (under TCG also: was never started); None if not told."""
        ...

    def registers(self, vcpu: int) -> dict[str, int]:
        """Return the integer registers by the stub's names (rip, eflags, cr3, efer...)."""
        ...

    def write_registers(self, vcpu: int, values: Mapping[str, int]) -> None:
        """Write registers by name, in the order given; under TCG, cr3 flushes the TLB.

        Raises PtliveError for a name that the stub does not have, and for a refusal.
        """
        ...

    def register_packets(self, values: Mapping[str, int]) -> Sequence[str]:
        """Return the protocol's `P` packets that would write these registers."""
        ...

    def step(self, vcpu: int, values: Mapping[str, int] | None = None) -> dict[str, int]:
        """Write these registers, execute ONE instruction, return the registers after.

        Only this vCPU moves, with interrupts and timers held back. A halted vCPU
        executes nothing: never step one. Raises PtliveError when the guest does not
        stop again.
        """
        ...

    def run_to(self, vcpu: int, address: int, seconds: float) -> bool:
        """Let the whole guest run until a vCPU comes to an address, or for so long.

        Returns whether it came there; the guest is stopped again in either case.
        Raises PtliveError when it does not stop.
        """
        ...

    def monitor(self, command: str) -> str:
        """Run a command of QEMU's human monitor and return all it prints.

        The monitor reports its errors in that text.
        """
        ...

    def monitor_many(self, commands: Sequence[str]) -> list[str]:
        """Run many commands of QEMU's human monitor, all in flight at once."""
        ...

    def close(self, *, resume: bool) -> None:
        """Put `PhyMemMode` back as it was found and let go of the guest.

        It runs afterwards if `resume`, and stays stopped if not. Closing twice does
        nothing.
        """
        ...


@runtime_checkable
class StreamingStub(Stub, Protocol):
    """A stub that hands over what it reads as it arrives."""

    def stream_physical(self, addresses: U64, length: int) -> Iterator[tuple[U8, Bool]]:
        """Yield what `read_physical` would return, some rows at a time, in the order asked.

        A piece is good until the next one is asked for. Nothing else may be asked of the
        stub before the last piece has come; else the rest is lost, and asking for the
        next piece raises PtliveError.
        """
        ...
