"""Descriptor tables, parsed from hand-made bytes, hostile ones among them."""

from __future__ import annotations

import struct
import time
from typing import TYPE_CHECKING

import pytest

from ptlive.errors import PtliveError
from ptlive.oracle import ground

if TYPE_CHECKING:
    from collections.abc import Sequence

BASE = 0xFFFF_8000_0000_0000
IDT, GDT, TSS = BASE + 0x1000, BASE + 0x2000, BASE + 0x3000
STACK, RSP0, IST1 = BASE + 0x5000, BASE + 0x7000, BASE + 0x9000

KERNEL_CODE, KERNEL_DATA = 0x00AF_9A00_0000_FFFF, 0x00CF_9200_0000_FFFF
USER_DATA, USER_CODE = 0x00CF_F200_0000_FFFF, 0x00AF_FA00_0000_FFFF


def gate(handler: int, *, ist: int = 0, kind: int = 0x8E, selector: int = 8) -> bytes:
    """Encode a gate (SDM vol. 3A figure 6-8)."""
    low, middle, high = handler & 0xFFFF, handler >> 16 & 0xFFFF, handler >> 32
    return struct.pack("<HHBBHII", low, selector, ist, kind, middle, high, 0)


def idt(**gates: bytes) -> bytes:
    entries = {13: gate(BASE + 0x100), 14: gate(BASE + 0x200)}
    entries |= {int(name[1:]): value for name, value in gates.items()}
    return b"".join(entries.get(vector, bytes(16)) for vector in range(32))


def gdt(*descriptors: int) -> bytes:
    return struct.pack(f"<{1 + len(descriptors)}Q", 0, *descriptors)


class Guest:
    """A stub of a guest whose linear addresses from BASE on are its memory."""

    def __init__(self, **limits: int) -> None:
        self.memory = bytearray(0x10000)
        self.unmapped: set[int] = set()
        self.limits = {"IDT": 32 * 16 - 1, "GDT": 5 * 8 - 1, "TR": 0x67} | limits
        self.asked: list[str] = []
        self.write(IDT, idt())
        self.write(GDT, gdt(KERNEL_CODE, KERNEL_DATA, USER_DATA, USER_CODE))
        self.tss(RSP0, IST1)

    def tss(self, rsp0: int, *ist: int) -> None:
        self.write(TSS, struct.pack("<I3Q", 0, rsp0, 0, 0))
        self.write(TSS + 36, struct.pack(f"<{len(ist)}Q", *ist))

    def write(self, va: int, data: bytes) -> None:
        self.memory[va - BASE : va - BASE + len(data)] = data

    def read_virtual(self, va: int, length: int, vcpu: int = 1) -> bytes | None:
        at = va - BASE
        if va >> 12 in self.unmapped or not 0 <= at <= len(self.memory) - length:
            return None
        return bytes(self.memory[at : at + length])

    def monitor_many(self, commands: Sequence[str]) -> list[str]:
        self.asked += commands
        return [self.monitor(command) for command in commands]

    def monitor(self, command: str) -> str:
        if command == "info registers":
            return self.registers_text()
        if not command.startswith("gva2gpa"):
            return ""
        va = int(command.split()[1], 0)
        if va >> 12 in self.unmapped or not 0 <= va - BASE < len(self.memory):
            return "Unmapped\r\n"
        pa = va - BASE
        return f"gpa: {pa:#x}\r\n" if pa else "gpa: 0\r\n"  # as C's %#x has it

    def registers_text(self) -> str:
        return (
            "RAX=0000000000000000\r\n"
            "ES =0000 0000000000000000 00000000 00000000\r\n"
            "LDT=0000 0000000000000000 0000ffff 00008200 DPL=0 LDT\r\n"
            f"TR =0028 {TSS:016x} {self.limits['TR']:08x} 00008b00 DPL=0 TSS64-busy\r\n"
            f"GDT=     {GDT:016x} {self.limits['GDT']:08x}\r\n"
            f"IDT=     {IDT:016x} {self.limits['IDT']:08x}\r\n"
            "CR0=80010033 CR2=0 CR3=0 CR4=0\r\n"
        ).replace("\r\n", "\r\n")


REGISTERS = {"cs": 8, "ss": 16, "rsp": STACK}


def survey(guest: Guest, **registers: int) -> ground.Ground:
    return ground.survey(guest, 1, REGISTERS | registers)  # type: ignore[arg-type]  # what is used


def test_finds_handlers_segments_and_stacks() -> None:
    found = survey(Guest())
    assert {v: g.handler - BASE for v, g in found.handlers.items()} == {13: 0x100, 14: 0x200}
    assert found.vector_at(BASE + 0x200) == 14
    assert found.vector_at(BASE) is None
    assert found.supervisor == ground.Segments(8, 16)
    assert found.user == ground.Segments(0x20 | 3, 0x18 | 3)
    # Below what is in use, aligned, and within one page.
    assert found.stack.top <= STACK - 128
    assert found.stack.top % 16 == 0
    assert found.stack.pa == found.stack.top - ground.FRAME - BASE
    assert found.entry == {
        vector: ground.Stack(RSP0, RSP0 - ground.FRAME - BASE) for vector in (13, 14)
    }
    expected = {0x1000, 0x2000, 0x3000, 0x6000, found.stack.pa & -4096}
    assert found.frames == expected


def test_an_ist_stack_is_taken_where_the_gate_names_one() -> None:
    guest = Guest()
    guest.write(IDT, idt(v14=gate(BASE + 0x200, ist=1)))
    found = survey(guest)
    assert found.entry[14] == ground.Stack(IST1, IST1 - ground.FRAME - BASE)
    assert found.entry[13] == ground.Stack(RSP0, RSP0 - ground.FRAME - BASE)


def test_from_user_mode_the_kernels_segments_and_stack_are_taken() -> None:
    found = survey(Guest(), cs=0x23, ss=0x1B)
    assert found.supervisor == ground.Segments(8, 16)
    assert found.stack.top == RSP0


def test_gates_that_are_not_present_or_no_gates_do_not_count() -> None:
    guest = Guest()
    for kind in (0x0E, 0x85, 0x8C, 0x00):
        guest.write(IDT, idt(v14=gate(BASE + 0x200, kind=kind)))
        with pytest.raises(PtliveError, match="handles no vector 14: a fault would reset it"):
            survey(guest)
    guest.write(IDT, idt(v14=gate(BASE + 0x200, kind=0x8F)))  # a trap gate
    assert 14 in survey(guest).handlers


def test_an_idt_that_is_too_short_has_no_page_fault_handler() -> None:
    with pytest.raises(PtliveError, match="handles no vector 14"):
        survey(Guest(IDT=14 * 16 - 1))
    with pytest.raises(PtliveError, match="handles no vector 13"):
        survey(Guest(IDT=0))


def test_one_handler_for_both_faults_cannot_tell_them_apart() -> None:
    guest = Guest()
    guest.write(IDT, idt(v13=gate(BASE + 0x200)))
    with pytest.raises(PtliveError, match="one handler for #GP and #PF"):
        survey(guest)


@pytest.mark.parametrize("name", ["IDT", "GDT", "TSS"])
def test_a_table_that_is_not_mapped_is_named(name: str) -> None:
    guest = Guest()
    va = {"IDT": IDT, "GDT": GDT, "TSS": TSS}[name]
    guest.unmapped.add(va >> 12)
    with pytest.raises(PtliveError, match=f"the guest's {name} at {va:#x} is not mapped"):
        survey(guest)


def test_a_stack_that_is_not_mapped_is_refused() -> None:
    with pytest.raises(PtliveError, match="an exception would reset the guest"):
        survey(Guest(), rsp=BASE - 0x1000)
    with pytest.raises(PtliveError, match="is not mapped"):
        survey(Guest(), rsp=0)


def test_without_user_segments_there_are_no_user_probes() -> None:
    guest = Guest()
    guest.write(GDT, gdt(KERNEL_CODE, KERNEL_DATA, 0, 0))
    assert survey(guest).user is None
    guest.write(GDT, gdt(KERNEL_CODE, KERNEL_DATA, 0x00CF_FA00_0000_FFFF, USER_DATA))
    assert survey(guest).user is None  # its user code is 32-bit code


def test_segments_that_are_not_present_do_not_count() -> None:
    guest = Guest()
    guest.write(GDT, gdt(KERNEL_CODE, KERNEL_DATA, USER_DATA & ~(1 << 47), USER_CODE))
    assert survey(guest).user is None


def test_an_entry_stack_that_is_not_mapped_is_none() -> None:
    guest = Guest()
    guest.tss(0x1000)
    assert survey(guest).entry == {13: None, 14: None}


def test_hostile_limits_cost_no_time_and_no_memory() -> None:
    guest = Guest(IDT=0xFFFF_FFFF, GDT=0xFFFF_FFFF, TR=0xFFFF_FFFF)
    begun = time.monotonic()
    found = survey(guest)
    assert time.monotonic() - begun < 1
    assert set(found.handlers) == {13, 14}
    assert len(guest.asked) < 200


@pytest.mark.parametrize(
    "text",
    ["unknown command: 'info'\r\n", "TR =0028 00000000 00000067 00008b00 DPL=0 TSS64-busy\r\n"],
)
def test_tables_of_32_bit_code_are_not_told(text: str) -> None:
    guest = Guest()
    guest.registers_text = lambda: text  # type: ignore[method-assign]  # a stand-in
    with pytest.raises(PtliveError, match="only while the vCPU executes 64-bit code"):
        survey(guest)


def test_translations_are_read_from_the_monitors_words() -> None:
    guest = Guest()
    found = ground.physical_many(guest, 2, [BASE, BASE + 0x1234, 0])  # type: ignore[arg-type]  # a stand-in
    assert found == [0, 0x1234, None]
    assert guest.asked[0] == "cpu 1"


def test_a_monitor_without_gva2gpa_is_an_error() -> None:
    guest = Guest()
    guest.monitor = lambda command: f"unknown command: '{command}'\x1b[2J"  # type: ignore[method-assign]  # a stand-in
    with pytest.raises(PtliveError, match="QEMU's monitor does not know gva2gpa") as caught:
        ground.physical_many(guest, 1, [0])  # type: ignore[arg-type]  # a stand-in
    assert str(caught.value).isprintable()
