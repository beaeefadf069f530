"""Explain on a simulated guest, whose MMU is the scalar reference of the tests."""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pytest

from ptlive.answers.explain import Asked, Explained, explain
from ptlive.errors import PtliveError
from tests.paging.plain_ram import FRAME
from tests.paging.tables import PWU, RW, P, machine
from tests.simulated_guest import CODE, DATA, GDT, IDT, LOAD, STORE, USER_CODE, Guest

if TYPE_CHECKING:
    from ptlive.analysis.explain.fault import Taken

VA = 0x7000_1000
KERNEL, USER = (8, 16), (0x23, 0x1B)


@dataclass
class Told(Guest):
    """A guest whose monitor tells the descriptor tables, as QEMU's does."""

    tells: bool = True

    def monitor(self, command: str) -> str:
        if command != "info registers -a" or not self.tells:
            return ""
        return (
            "\r\nCPU#0\r\nRAX=0000000000001111\r\n"
            "CS =0008 0000000000000000 ffffffff 00af9b00 DPL=0 CS64 [-RA]\r\n"
            f"GDT=     {self.va(GDT):016x} 00000027\r\n"
            f"IDT=     {self.va(IDT):016x} 000001ff\r\n"
        )


@pytest.fixture
def guest() -> Told:
    made = Told(machine(levels=4))
    made.map(VA, DATA * FRAME, P | RW)
    made.map(VA + FRAME, (DATA + 1) * FRAME, PWU)
    return made


def explained(guest: Told, *, accelerator: str = "TCG", **asked: int) -> Explained:
    target = guest.target()
    target.accelerator = accelerator
    return explain(target, guest.space(), Asked(**asked))


def fault_at(guest: Told, va: int, code: bytes = LOAD, *, user: bool = False) -> Taken:
    """Have the vCPU execute a load or a store that faults, and explain that."""
    frame = USER_CODE if user else CODE
    guest.write(frame * FRAME + 0x100, code)
    cs, ss = USER if user else KERNEL
    rip = guest.va(frame) + 0x100
    guest.step(1, {"rdi": va, "rip": rip, "cs": cs, "ss": ss})
    assert guest.registers_now["rip"] == guest.handler(14)
    found = explained(guest).what
    assert found.instruction.va == rip
    assert found.handler == guest.handler(14)
    assert found.fault is not None
    return found.fault


def test_an_instruction_that_would_go_on(guest: Told) -> None:
    guest.write(CODE * FRAME + 0x100, LOAD)
    guest.registers_now["rdi"] = VA
    found = explained(guest).what
    assert found.instruction.text == "mov rax, qword ptr [rdi]"
    assert [(one.touch.va, one.fate.allowed) for one in found.judged] == [
        (guest.va(CODE) + 0x100, True),
        (VA, True),
    ]
    assert (found.first, found.fault) == (None, None)
    assert found.cr2 is not None
    assert found.cr2.va == 0x1111


@pytest.mark.parametrize(
    ("va", "code", "user", "error_code", "bit"),
    [
        (VA + 2 * FRAME, LOAD, False, 0b00000, "P=0"),
        (VA + 2 * FRAME, STORE, False, 0b00010, "P=0"),
        (VA, LOAD, True, 0b00101, "U/S=0"),
        (VA, STORE, True, 0b00111, "U/S=0"),
    ],
)
def test_a_fault_just_taken(
    guest: Told, va: int, code: bytes, user: bool, error_code: int, bit: str
) -> None:
    taken = fault_at(guest, va, code, user=user)
    assert (taken.error_code, taken.cr2, taken.number) == (error_code, va, 1)
    assert (taken.agrees, taken.difference, taken.causes) == (True, "", ())
    assert taken.now.bit is not None
    assert (taken.now.bit.level, taken.now.bit.text) == (1, bit)


def test_writing_is_denied_by_the_level_that_denies_it(guest: Told) -> None:
    entry = guest.map(VA + 8 * FRAME, DATA * FRAME, P)
    taken = fault_at(guest, VA + 8 * FRAME, STORE)
    assert taken.error_code == 0b11
    assert taken.now.bit is not None
    assert (taken.now.bit.text, taken.now.bit.entry_pa) == ("R/W=0", entry)


def test_an_entry_that_was_made_present_since(guest: Told) -> None:
    fault_at(guest, VA + 2 * FRAME)
    guest.map(VA + 2 * FRAME, DATA * FRAME, P | RW)
    taken = explained(guest).what.fault
    assert taken is not None
    assert taken.agrees is False
    possible = {cause.name: cause.possible for cause in taken.causes}
    assert possible == {
        "the entry was changed since": None,  # the only vCPU has done nothing since
        "a stale TLB entry (a spurious fault)": False,  # no TLB keeps P=0
        "another root was in use": False,
    }


def test_rights_that_were_added_since_may_be_a_stale_tlb_entry(guest: Told) -> None:
    guest.map(VA + 8 * FRAME, DATA * FRAME, P)
    fault_at(guest, VA + 8 * FRAME, STORE)
    guest.map(VA + 8 * FRAME, DATA * FRAME, P | RW)
    for accelerator, possible in (("TCG", False), ("KVM, unknown", True)):
        taken = explained(guest, accelerator=accelerator).what.fault
        assert taken is not None
        stale = next(one for one in taken.causes if "stale" in one.name)
        assert stale.possible is possible


def test_an_entry_that_is_otherwise_now(guest: Told) -> None:
    fault_at(guest, VA + 2 * FRAME, STORE)
    guest.map(VA + 2 * FRAME, DATA * FRAME, P)
    taken = explained(guest).what.fault
    assert taken is not None
    assert taken.agrees is False
    assert taken.difference == (
        "at the fault an entry was not present; now it would be #PF(0x3: P W/R): "
        "writing is denied by the PTE (level 1)"
    )


def test_a_handler_that_has_begun_harmlessly_is_recognised(guest: Told) -> None:
    guest.write(CODE * FRAME + 0x200 + 16 * 14, bytes.fromhex("f30f1efa 0f01ca fc"))
    fault_at(guest, VA + 2 * FRAME)
    for offset in (4, 7, 8):  # behind ENDBR64, CLAC, CLD
        guest.registers_now["rip"] = guest.handler(14) + offset
        assert explained(guest).what.fault is not None
    guest.registers_now["rip"] = guest.handler(14) + 5
    assert explained(guest).what.fault is None


def test_what_is_no_frame_is_not_believed(guest: Told) -> None:
    guest.registers_now["rip"] = guest.handler(14)
    found = explained(guest)
    assert found.what.fault is None
    assert [code for code, _ in found.notes] == ["no-frame"]
    guest.registers_now["rsp"] = 0x10
    assert "its stack cannot be read" in explained(guest).notes[0][1]


def test_a_fault_that_the_user_knows_of(guest: Told) -> None:
    guest.write(CODE * FRAME + 0x180, STORE)
    guest.registers_now["rdi"] = VA + 2 * FRAME
    rip = guest.va(CODE) + 0x180
    found = explained(guest, rip=rip, error_code=2, cr2=VA + 2 * FRAME)
    taken = found.what.fault
    assert taken is not None
    assert (taken.number, taken.agrees, taken.source) == (1, True, "told")
    assert [code for code, _ in found.notes] == ["registers"]
    elsewhere = explained(guest, rip=rip, error_code=2, cr2=VA + 5 * FRAME).what.fault
    assert elsewhere is not None
    assert elsewhere.number is None


def test_registers_that_linux_keeps(guest: Told) -> None:
    """struct pt_regs: r15 to rdi, what was no error code, and what the CPU pushed."""
    user = guest.va(USER_CODE) + 0x100
    guest.write(USER_CODE * FRAME + 0x100, STORE)
    words = [0] * 14 + [VA, (1 << 64) - 1, user, 0x23, 0x246, 0x7FFF_0000, 0x1B]
    guest.write(DATA * FRAME + 0x800, struct.pack("<21Q", *words))
    found = explained(guest, pt_regs=VA + 0x800, error_code=7, cr2=VA)
    assert (found.what.cpl, found.what.instruction.va) == (3, user)
    taken = found.what.fault
    assert taken is not None
    assert (taken.number, taken.agrees) == (1, True)
    with pytest.raises(PtliveError, match="no struct pt_regs at 0x70003800"):
        explained(guest, pt_regs=VA + 2 * FRAME + 0x800)


def test_a_breakpoint_in_memory_is_pointed_out(guest: Told) -> None:
    guest.write(CODE * FRAME + 0x100, b"\xcc")
    assert explained(guest).notes == ()
    assert "debugger's breakpoint" in explained(guest, accelerator="KVM, unknown").notes[0][1]


def test_without_a_monitor_it_says_what_it_does_not_know(guest: Told) -> None:
    guest.tells = False
    assert [code for code, _ in explained(guest).notes] == ["no-idt", "mode"]


def test_without_general_registers_it_is_refused(guest: Told) -> None:
    del guest.registers_now["rax"]
    with pytest.raises(PtliveError, match="no general registers of vCPU 1"):
        explained(guest)


def test_user_mode_is_looked_up_on_its_own_root(guest: Told) -> None:
    """A pair of isolated roots: the kernel's is even, and denies execution of user pages."""
    kernel, user = 0x3E000 - 0x2000, 0x3E000 - 0x1000  # frames at the end, side by side
    own = guest.ram.table(0).copy()
    guest.ram.table(user)[:] = own
    guest.ram.table(kernel)[:] = own
    for slot in range(256):
        if own[slot]:
            guest.ram.write(kernel + 8 * slot, int(own[slot]) | 1 << 63)
    guest.registers_now["cr3"] = kernel
    rip, va = guest.va(CODE) + 0x100, VA + 2 * FRAME
    found = explained(guest, rip=rip, error_code=0b100, cr2=va)
    assert int(found.space.root[0]) == user
    assert "isolation" in [code for code, _ in found.notes]
    assert int(explained(guest, rip=rip, error_code=0, cr2=va).space.root[0]) == kernel


def test_several_vcpus_may_have_changed_an_entry(guest: Told) -> None:
    fault_at(guest, VA + 2 * FRAME)
    guest.map(VA + 2 * FRAME, DATA * FRAME, P | RW)
    target = guest.target()
    target.cpus = (guest.cpu, replace(guest.cpu, vcpu=2))
    taken = explain(target, guest.space(), Asked()).what.fault
    assert taken is not None
    assert taken.causes[0].name == "the entry was changed since"
    assert taken.causes[0].possible
