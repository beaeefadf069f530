"""The stub protocol over plain arrays, with every call counted: for tests without QEMU."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from ptlive.errors import PtliveError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ptlive.arrays import U8, U64, Bool

REGISTERS = {"rip": 8, "eflags": 4, "cs": 4, "ss": 4, "rax": 8, "cr0": 8, "cr2": 8}
REGISTERS |= {"cr3": 8, "cr4": 8, "efer": 8}


class MemoryStub:
    """A stopped guest of `ram` bytes from address 0, whose paging is off.

    An instruction is one byte long and does nothing.
    """

    def __init__(self, ram: U8, vcpus: int = 1) -> None:
        self.ram = ram
        self.generation = 0
        self.calls: Counter[str] = Counter()
        self.addresses_read = 0
        self.answers: dict[str, str] = {}
        self.files = {n: dict.fromkeys(REGISTERS, 0) for n in range(1, vcpus + 1)}

    def read_physical(self, addresses: U64, length: int) -> tuple[U8, Bool]:
        self.calls["read_physical"] += 1
        self.addresses_read += len(addresses)
        valid = addresses <= np.uint64(len(self.ram) - length)
        data = np.zeros((len(addresses), length), np.uint8)
        at = addresses[valid].astype(np.intp)
        data[valid] = self.ram[at[:, None] + np.arange(length)]
        return data, valid

    def write_physical(self, writes: Sequence[tuple[int, bytes]]) -> None:
        self.generation += 1
        for address, data in writes:
            self.ram[address : address + len(data)] = np.frombuffer(data, np.uint8)

    def read_virtual(self, va: int, length: int, vcpu: int = 1) -> bytes | None:
        self._file(vcpu)
        return self.ram[va : va + length].tobytes() if va + length <= len(self.ram) else None

    def vcpus(self) -> Sequence[int]:
        return tuple(self.files)

    def halted(self, vcpu: int) -> bool | None:
        return vcpu != 1

    def registers(self, vcpu: int) -> dict[str, int]:
        return dict(self._file(vcpu))

    def write_registers(self, vcpu: int, values: Mapping[str, int]) -> None:
        self.register_packets(values)
        self._file(vcpu).update(values)

    def register_packets(self, values: Mapping[str, int]) -> Sequence[str]:
        for name, value in values.items():
            if name not in REGISTERS:
                raise PtliveError(f"the stub has no register {name}")
            value.to_bytes(REGISTERS[name], "little")
        return [f"P{list(REGISTERS).index(name):x}={values[name]:x}" for name in values]

    def step(self, vcpu: int, values: Mapping[str, int] | None = None) -> dict[str, int]:
        self.write_registers(vcpu, values or {})
        self.generation += 1
        self._file(vcpu)["rip"] += 1
        return self.registers(vcpu)

    def run_to(self, vcpu: int, address: int, seconds: float) -> bool:
        self.generation += 1
        self._file(vcpu)["rip"] = address
        return True

    def monitor(self, command: str) -> str:
        return self.answers.get(command, f"unknown command: '{command.split()[0]}'\r\n")

    def monitor_many(self, commands: Sequence[str]) -> list[str]:
        return [self.monitor(command) for command in commands]

    def close(self, *, resume: bool) -> None:
        self.calls["resumed" if resume else "stopped"] += 1

    def _file(self, vcpu: int) -> dict[str, int]:
        if vcpu not in self.files:
            raise PtliveError(f"the guest has no vCPU {vcpu}")
        return self.files[vcpu]
