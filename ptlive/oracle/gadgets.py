"""Instructions found in the guest's own code: one load, one store."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

# mov r64, [r64] and mov [r64], r64: REX.W, 8B or 89, ModRM with mod=00 (SDM vol. 2A 2.1).
# Any offset serves, in the middle of other instructions too: only this one is executed.
_LOAD = re.compile(rb"[\x48-\x4f]\x8b[\x00-\x3f]", re.DOTALL)
_STORE = re.compile(rb"[\x48-\x4f]\x89[\x00-\x3f]", re.DOTALL)
_LENGTH = 3


@dataclass(frozen=True)
class Gadget:
    """A load or a store of 8 bytes: at `va`, through register `address`, of register `value`."""

    va: int
    address: str
    value: str

    @property
    def next_va(self) -> int:
        """The address of the instruction after it."""
        return self.va + _LENGTH


@dataclass(frozen=True)
class Gadgets:
    """What one privilege level can execute."""

    load: Gadget
    store: Gadget


def find(pages: Iterable[tuple[int, bytes]]) -> Gadgets | None:
    """Find a load and a store in pages of code, given as (va, bytes); None if there is none."""
    load = store = None
    for va, code in pages:
        load = load or next(_matches(va, code, _LOAD, is_load=True), None)
        store = store or next(_matches(va, code, _STORE, is_load=False), None)
        if load and store:
            return Gadgets(load, store)
    return None


def _matches(
    va: int, code: bytes, pattern: re.Pattern[bytes], *, is_load: bool
) -> Iterator[Gadget]:
    for match in pattern.finditer(code):
        gadget = _disassemble(match.group(), va + match.start(), is_load=is_load)
        if gadget:
            yield gadget


def _disassemble(code: bytes, va: int, *, is_load: bool) -> Gadget | None:
    """Return the gadget if these bytes are one plain move between a register and memory."""
    import capstone  # costs 20 ms, and only this needs it
    from capstone import x86

    instruction = next(_disassembler().disasm(code, va), None)
    if instruction is None or instruction.mnemonic != "mov" or instruction.size != _LENGTH:
        return None
    first, second = instruction.operands
    memory, register = (second, first) if is_load else (first, second)
    if memory.type != x86.X86_OP_MEM or register.type != x86.X86_OP_REG:
        return None
    name = instruction.reg_name
    plain = memory.mem.index == 0 and memory.mem.disp == 0 and memory.mem.segment == 0
    address, value = name(memory.mem.base), name(register.reg)
    # The stack pointer has other work, and a store must not store its own address.
    if not plain or memory.mem.base == capstone.x86.X86_REG_RIP:
        return None
    if "rsp" in (address, value) or address == value:
        return None
    return Gadget(va, address, value)


@functools.cache
def _disassembler() -> Any:
    import capstone

    disassembler = capstone.Cs(capstone.CS_ARCH_X86, capstone.CS_MODE_64)
    disassembler.detail = True
    return disassembler
