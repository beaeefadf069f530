"""Where each register stands in the stub's `g` packet, or which packet asks for it.

QEMU's numbers and offsets have moved between versions, so they are looked up by name.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ptlive.errors import PtliveError
from ptlive.wire.architectures import I386_NAMES, X86_64, architecture_of

if TYPE_CHECKING:
    from collections.abc import Mapping

# A line of `maint print remote-registers`: name, gdb's number, relative number, offset,
# size, type, the stub's number, offset in g. A register that the stub lacks ends early.
_LINE = re.compile(r"^ (\w+) +\d+ +\d+ +\d+ +(\d+) +\S+ +(\d+) +(\d+) *$", re.MULTILINE)

_WIDEST_INTEGER = 8


@dataclass(frozen=True)
class Register:
    """One integer register: its number in `P` packets, its place in `g`, in bytes."""

    number: int
    offset: int
    size: int


class RegisterLayout:
    """The stub's integer registers by name: general, segment, control, and bases.

    `registers` may hold wider ones, which are left out. An i386's are called by the names of
    those that they are half of. Raises PtliveError when they are those of no architecture that
    we know.
    """

    def __init__(self, registers: Mapping[str, Register]) -> None:
        self.registers = {
            I386_NAMES.get(name, name): register
            for name, register in registers.items()
            if register.size <= _WIDEST_INTEGER
        }
        self.architecture = architecture_of(self.registers)
        wide = self.registers[self.architecture.pc].size
        if self.architecture is not X86_64 and wide < _WIDEST_INTEGER:
            raise PtliveError(f"a CPU of {8 * wide} bits is no {self.architecture.name}")
        self._apart = [name for name in self.architecture.apart if name in self.registers]

    @classmethod
    def from_gdb(cls, text: str) -> RegisterLayout:
        """Read what gdb's `maint print remote-registers` prints: how it understood the XML.

        Raises PtliveError for another architecture than x86-64: this gdb was told that it is.
        """
        found = {
            name: Register(int(number), int(offset), int(size))
            for name, size, number, offset in _LINE.findall(text)
        }
        if not X86_64.told_by <= found.keys():
            raise PtliveError("gdb finds no x86-64 registers, and no others are read through gdb")
        return cls(found)

    @property
    def read_packets(self) -> list[str]:
        """The packets whose replies `decode` takes."""
        return ["g", *(f"p{self.registers[name].number:x}" for name in self._apart)]

    def decode(self, packet: str, *apart: str) -> dict[str, int]:
        """Return the values in the replies to `read_packets`, by name; the later may be left out.

        Raises PtliveError when `g` is too short. A register that the stub cannot read
        (`xx`, or an error) is absent.
        """
        raw = {}
        for name, register in self.registers.items():
            digits = packet[2 * register.offset : 2 * (register.offset + register.size)]
            if "x" in digits or (not digits and self._apart):
                continue
            if len(digits) != 2 * register.size:
                raise PtliveError(f"the stub's registers end before {name}")
            raw[name] = bytes.fromhex(digits)
        for name, digits in zip(self._apart, apart, strict=False):
            if len(digits) == 2 * self.registers[name].size and "x" not in digits:
                raw[name] = bytes.fromhex(digits)
        order = self.architecture.order(raw)
        return {name: int.from_bytes(value, order) for name, value in raw.items()}

    def write_packets(self, values: Mapping[str, int]) -> list[str]:
        """Return the `P` packets that write these registers, in the order given.

        Raises PtliveError for a register that the stub does not have, and for an
        architecture whose byte order its state decides; OverflowError for a value that
        does not fit.
        """
        if values and self.architecture.status:
            raise PtliveError(f"registers of {self.architecture.name} are not written")
        packets = []
        for name, value in values.items():
            register = self.registers.get(name)
            if register is None:
                raise PtliveError(f"the stub has no register {name}")
            digits = value.to_bytes(register.size, "little").hex()
            packets.append(f"P{register.number:x}={digits}")
        return packets
