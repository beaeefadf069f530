"""Where each register stands in the stub's `g` packet.

QEMU's numbers and offsets have moved between versions, so they are looked up by name.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ptlive.errors import PtliveError

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

    `registers` may hold wider ones, which are left out. Raises PtliveError when they are
    not those of an x86-64.
    """

    def __init__(self, registers: Mapping[str, Register]) -> None:
        self.registers = {
            name: register
            for name, register in registers.items()
            if register.size <= _WIDEST_INTEGER
        }
        if not {"rip", "eflags", "cs", "cr0", "cr3", "cr4", "efer"} <= self.registers.keys():
            raise PtliveError("the stub describes no x86-64 registers: is this a 64-bit QEMU?")

    @classmethod
    def from_gdb(cls, text: str) -> RegisterLayout:
        """Read what gdb's `maint print remote-registers` prints: how it understood the XML."""
        return cls(
            {
                name: Register(int(number), int(offset), int(size))
                for name, size, number, offset in _LINE.findall(text)
            }
        )

    def decode(self, packet: str) -> dict[str, int]:
        """Return the values in a `g` packet's reply, by name.

        Raises PtliveError when it is too short. A register that the stub cannot read
        (`xx`) is absent.
        """
        values = {}
        for name, register in self.registers.items():
            digits = packet[2 * register.offset : 2 * (register.offset + register.size)]
            if "x" in digits:
                continue
            if len(digits) != 2 * register.size:
                raise PtliveError(f"the stub's registers end before {name}")
            values[name] = int.from_bytes(bytes.fromhex(digits), "little")
        return values

    def write_packets(self, values: Mapping[str, int]) -> list[str]:
        """Return the `P` packets that write these registers, in the order given.

        Raises PtliveError for a register that the stub does not have, and
        OverflowError for a value that does not fit.
        """
        packets = []
        for name, value in values.items():
            register = self.registers.get(name)
            if register is None:
                raise PtliveError(f"the stub has no register {name}")
            digits = value.to_bytes(register.size, "little").hex()
            packets.append(f"P{register.number:x}={digits}")
        return packets
