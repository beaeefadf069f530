"""`ptlive explain` on a simulated guest."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tests.cli.conftest import VA
from tests.simulated_guest import CODE, STORE, Guest

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.cli.conftest import Done


def place(guest: Guest, code: bytes) -> int:
    """Put an instruction where the vCPU stands."""
    guest.write(CODE << 12 | 0x100, code)
    return guest.va(CODE) + 0x100


def test_tells_what_would_fault(ptlive: Callable[..., Done], guest: Guest) -> None:
    rip = place(guest, STORE)
    guest.registers_now["rdi"] = VA + 0x2000
    done = ptlive("explain")
    assert done.status == 0
    lines = done.out.splitlines()
    assert lines[0] == f"{rip:#018x}: mov qword ptr [rdi], rax"
    assert "supervisor write  none     #PF(0x2: W/R): P=0 in the PTE (level 1)" in done.out
    assert any(line.startswith("first to fault: [rdi], #PF(0x2: W/R)") for line in lines)
    assert "note: where the IDT is is not known" in done.err


def test_json(ptlive: Callable[..., Done], guest: Guest) -> None:
    place(guest, STORE)
    guest.registers_now["rdi"] = VA
    found = json.loads(ptlive("explain", "--json", "--error-code", "2", "--cr2", hex(VA)).out)
    assert found["schema"] == "ptlive.explain/1"
    assert {note["code"] for note in found["notes"]} >= {"mode"}
    (root,) = found["roots"]
    assert root["result"]["first_to_fault"] is None
    taken = root["result"]["page_fault"]
    assert (taken["accessed"], taken["agrees"], taken["now"]) == (1, False, None)
    assert {cause["possible"] for cause in taken["causes"]} == {True, False}


def test_several_roots_are_told_one_after_the_other(
    ptlive: Callable[..., Done], guest: Guest
) -> None:
    place(guest, STORE)
    done = ptlive("explain", "--root", "cr3", "--root", "0x0")
    assert done.status == 0
    assert done.out.count("mov qword ptr [rdi], rax") == 2
    assert "root 0x0 (cr3)" in done.out


def test_another_instruction(ptlive: Callable[..., Done], guest: Guest) -> None:
    va = place(guest, STORE)
    guest.registers_now["rip"] = va + 0x50
    done = ptlive("explain", hex(va))
    assert "mov qword ptr [rdi], rax" in done.out
    assert f"the registers are those that the vCPU has now, at {va + 0x50:#x}" in done.err


def test_what_cannot_be_is_refused(refused: Callable[..., str], guest: Guest) -> None:
    del guest.registers_now["r15"]
    assert "no general registers of vCPU 1" in refused("explain")
    assert "is no number" in refused("explain", "rax")
    assert "no vCPU 7" in refused("explain", "--vcpu", "7")
