"""What an instruction touches in linear memory, and the state that decides where."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ptlive.access_kind import Access, AccessKind

if TYPE_CHECKING:
    from collections.abc import Mapping

AC = 1 << 18  # RFLAGS.AC
DF = 1 << 10  # RFLAGS.DF: strings go downwards

_LEGACY = ("ax", "cx", "dx", "bx", "sp", "bp", "si", "di")
_WIDE = (*(f"r{name}" for name in _LEGACY), *(f"r{number}" for number in range(8, 16)), "rip")


def _parts() -> dict[str, tuple[str, int, int]]:
    """Return of every name of a general register (whole register, lowest bit, mask)."""
    found = {name: (name, 0, (1 << 64) - 1) for name in _WIDE}
    for name in (*_LEGACY, "ip"):
        found |= {f"e{name}": (f"r{name}", 0, (1 << 32) - 1), name: (f"r{name}", 0, 0xFFFF)}
    for name in _LEGACY[4:]:
        found[f"{name}l"] = (f"r{name}", 0, 0xFF)
    for letter in "abcd":
        found |= {f"{letter}l": (f"r{letter}x", 0, 0xFF), f"{letter}h": (f"r{letter}x", 8, 0xFF)}
    for number in range(8, 16):
        wide = f"r{number}"
        found |= {f"{wide}d": (wide, 0, (1 << 32) - 1), f"{wide}w": (wide, 0, 0xFFFF)}
        found[f"{wide}b"] = (wide, 0, 0xFF)
    return found


_PARTS = _parts()


def sized(name: str, bytes_: int) -> str:
    """Return the name of so many bytes of a legacy register: "cx" is RCX, ECX or CX."""
    return {8: "r", 4: "e", 2: ""}[bytes_] + name


class Does(enum.Enum):
    """What is done to the bytes."""

    FETCH = "fetch"
    READ = "read"
    WRITE = "write"
    MODIFY = "read-modify-write"


@dataclass(frozen=True)
class Touch:
    """Bytes that an instruction touches, in the order in which it names them.

    va: of the lowest byte; 0 bytes are never touched at all
    what: an operand, or what implies it: "[rdi + 8]", "push", "gather element 3"
    element: bytes that are touched at a time; descending: the highest ones first
    supervisor: a supervisor-mode access whatever the CPL, which RFLAGS.AC does not let
        through SMAP (an implicit one, SDM vol. 3A 4.6)
    maybe: why it may not happen, or not all of it; "" if it does
    alignment: of the first byte, without which there is #GP before anything is translated
    stack: #SS where another has #GP, when it is not canonical
    """

    va: int
    length: int
    does: Does
    what: str
    element: int = 0
    descending: bool = False
    supervisor: bool = False
    maybe: str = ""
    alignment: int = 1
    stack: bool = False
    locked: bool = False

    @property
    def last_va(self) -> int:
        """The highest byte; smaller than `va` where it wraps around."""
        return (self.va + self.length - 1) % (1 << 64)

    @property
    def size(self) -> int:
        """Bytes that are touched at a time."""
        return self.element or self.length

    def kinds(self, state: State) -> tuple[AccessKind, ...]:
        """Return the accesses that paging sees, in their order."""
        user = state.cpl == 3 and not self.supervisor
        ac = state.ac and not user and not self.supervisor and self.does is not Does.FETCH
        order = {
            Does.FETCH: (Access.FETCH,),
            Does.READ: (Access.READ,),
            Does.WRITE: (Access.WRITE,),
            Does.MODIFY: (Access.READ, Access.WRITE),
        }
        return tuple(AccessKind(access, user, ac) for access in order[self.does])


@dataclass(frozen=True)
class Vector:
    """A vector register as far as it is known: its low bytes."""

    value: int
    bytes: int


@dataclass(frozen=True)
class State:
    """What an instruction's addresses are computed from.

    registers: general ones by their 64-bit names, rip, eflags, selectors
    bits: 64, 32 or 16, as the code segment says
    bases: of segments, by name; "gdt" and "ldt" where those are known
    vectors: by number; masks: opmask registers by number
    """

    registers: Mapping[str, int]
    bits: int = 64
    cpl: int = 0
    bases: Mapping[str, int] = field(default_factory=dict)
    vectors: Mapping[int, Vector] = field(default_factory=dict)
    masks: Mapping[int, int] = field(default_factory=dict)

    @property
    def ac(self) -> bool:
        """Whether RFLAGS.AC is set."""
        return bool(self.registers["eflags"] & AC)

    @property
    def down(self) -> bool:
        """Whether strings go downwards."""
        return bool(self.registers["eflags"] & DF)

    def register(self, name: str) -> int:
        """Return a general register, or a part of one, by its name."""
        whole, low, mask = _PARTS[name]
        return self.registers[whole] >> low & mask

    def linear(self, segment: str, offset: int) -> int:
        """Return the linear address of an offset in a segment (SDM vol. 1 3.3.4, 3.3.7)."""
        if self.bits == 64:
            base = self.bases.get(segment, 0) if segment in ("fs", "gs") else 0
            return (base + offset) % (1 << 64)
        return (self.bases.get(segment, 0) + offset) % (1 << 32)
