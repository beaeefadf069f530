#!/usr/bin/env python3
"""Follow one page of a process from the fault to the mapping: `follow_page.py`.

A Linux is booted and told to run a command. Its page-fault handler is where the IDT says, so that
no symbols are needed: a breakpoint there waits until a process writes to a page that it does not
have yet. The tables are asked what the MMU has found; the kernel maps the page; the instruction is
tried again. At each of these three moments it is told what the tables say of the address.
"""

from __future__ import annotations

import re
import socket

import ptlive

# SDM vol. 3A: figure 6-8, a gate of the IDT; section 4.7, the error code of a page fault.
GATE_BYTES, PAGE_FAULT = 16, 14
USER_WRITE_TO_ABSENT, MASK = 0b110, 0b111


def page_fault_handler(session: ptlive.Session) -> int:
    """Return the address of the page-fault handler, from the IDT of the selected vCPU."""
    told = re.search(r"IDT=\s*([0-9a-f]+)", session.monitor("info registers"))
    assert told is not None
    gate = session.read(int(told[1], 16) + PAGE_FAULT * GATE_BYTES, GATE_BYTES)
    return int.from_bytes(gate[:2] + gate[6:12], "little")


def tell(moment: str, found: ptlive.Translation) -> None:
    """Print what the tables say of an address."""
    print(f"\n{moment}\n{found}")


def main() -> None:
    """Boot, wait for the fault, follow the page."""
    with ptlive.launch("linux") as guest, ptlive.Session(guest.gdb) as session:
        handler = page_fault_handler(session)
        print(f"the page-fault handler is at {handler:#x}")

        # The CPU has pushed the error code last, and before it where it was (SDM figure 6-9).
        condition = f"(*(unsigned long *) $rsp & {MASK}) == {USER_WRITE_TO_ABSENT}"
        fault = session.breakpoint(handler, hardware=True, condition=condition)
        with socket.socket(socket.AF_UNIX) as serial:
            serial.connect(guest.serial.removeprefix("unix:"))
            serial.sendall(b"ls -l /proc\n")
            session.continue_(timeout=120)
        session.delete(fault)

        va, root = session.evaluate("$cr2"), session.evaluate("$cr3")
        code, instruction = (session.evaluate(f"*((long *) $rsp + {at})") for at in (0, 1))
        before = session.space().freeze()
        found = before.translate(va)
        tell(f"fault: a write to {va:#x} by the instruction at {instruction:#x}", found)
        predicted = found.fault("user-write")
        assert predicted is not None
        print(f"the CPU said {code:#x}, the tables say {predicted.error_code:#x}")

        # Back at the instruction, in the same address space, the kernel has done its work.
        session.breakpoint(
            instruction, hardware=True, temporary=True, condition=f"$cr3 == {root:#x}"
        )
        session.continue_(timeout=120)
        mapped = session.space().freeze()
        tell("the kernel has mapped the page", mapped.translate(va))
        print(before.diff(mapped))

        session.stepi()
        space = session.space(pkru="ask")
        found = space.translate(va)
        tell("the instruction was executed", found)
        assert found.pa is not None
        print(space.find(found.pa & ~0xFFF))


if __name__ == "__main__":
    main()
