"""A stub's place where there is only a file: it tells what it holds, and does nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from ptlive.errors import PtliveError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ptlive.arrays import U8, U64, Bool, Memory
    from ptlive.target.from_file.saved import Saved


class FileStub:
    """Implements `ptlive.wire.stub.Stub` as far as a file can; for the rest it raises PtliveError.

    memory: bounded by what the guest has
    """

    generation = 0

    def __init__(self, saved: Saved, memory: Memory) -> None:
        self._saved, self._memory = saved, memory
        self._cpus = {cpu.vcpu: cpu for cpu in saved.cpus}

    def read_physical(self, addresses: U64, length: int) -> tuple[U8, Bool]:
        """Read from the file."""
        return self._memory.read(addresses, length)

    def write_physical(self, writes: Sequence[tuple[int, bytes]]) -> None:
        """Refuse."""
        self._refuse("is not written to")

    def read_virtual(self, va: int, length: int, vcpu: int = 1) -> bytes | None:
        """Refuse: this is a question to QEMU."""
        self._refuse("has no QEMU that could be asked")

    def vcpus(self) -> Sequence[int]:
        """Return the numbers of the vCPUs."""
        return sorted(self._cpus)

    def halted(self, vcpu: int) -> bool | None:
        """Whether the vCPU slept in HLT."""
        return self._cpus[vcpu].halted

    def registers(self, vcpu: int) -> dict[str, int]:
        """Return the registers that are in the file."""
        return dict(self._cpus[vcpu].registers)

    def write_registers(self, vcpu: int, values: Mapping[str, int]) -> None:
        """Refuse."""
        self._refuse("is not written to")

    def register_packets(self, values: Mapping[str, int]) -> Sequence[str]:
        """Refuse."""
        self._refuse("is not written to")

    def step(self, vcpu: int, values: Mapping[str, int] | None = None) -> dict[str, int]:
        """Refuse."""
        self._refuse("executes nothing")

    def run_to(self, vcpu: int, address: int, seconds: float) -> bool:
        """Refuse."""
        self._refuse("executes nothing")

    def monitor(self, command: str) -> str:
        """Return what QEMU's monitor answered when the file was made, if it was asked this."""
        answer = self._saved.answers.get(command)
        if answer is None:
            self._refuse(f"has no QEMU that could be asked for '{command}'")
        return answer

    def monitor_many(self, commands: Sequence[str]) -> list[str]:
        """See `monitor`."""
        return [self.monitor(command) for command in commands]

    def close(self, *, resume: bool) -> None:
        """Nothing is held."""

    def _refuse(self, why: str) -> NoReturn:
        raise PtliveError(f"{self._saved.what} {why}: this needs the live guest")
