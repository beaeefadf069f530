"""What a stepped probe stands on: the guest's own IDT, GDT, TSS and stacks.

All of it is found through QEMU's debug walker, so that the probe owes nothing
to the walker that it is to judge.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ptlive.errors import PtliveError

if TYPE_CHECKING:
    from ptlive.wire.stub import Stub

GENERAL_PROTECTION, PAGE_FAULT = 13, 14
# SDM vol. 3A table 6-1: the exceptions that push an error code.
WITH_ERROR_CODE = frozenset({8, 10, 11, 12, 13, 14, 17, 21})
PAGE = 1 << 12
FRAME = 48  # bytes pushed: SS, RSP, RFLAGS, CS, RIP, error code (SDM vol. 3A 6.14.2)


@dataclass(frozen=True)
class Gate:
    """One 64-bit gate of the IDT (SDM vol. 3A figure 6-8)."""

    handler: int
    selector: int
    ist: int


@dataclass(frozen=True)
class Stack:
    """A stack onto which an exception is pushed: its top and where that lies in RAM."""

    top: int
    pa: int  # of the byte at top - FRAME


@dataclass(frozen=True)
class Segments:
    """Selectors of one privilege level's code and data."""

    cs: int
    ss: int


@dataclass(frozen=True)
class Ground:
    """Where exceptions go and what they need.

    handlers: gates by vector; user: None if the GDT has no user-mode code
    stack: for supervisor accesses; entry: where an exception from user mode pushes
    frames: physical pages of all of this, which must stay as they are
    addresses: linear addresses of all of this, one in each page at least: using
        them, the MMU sets A and D in the entries on their paths too
    """

    handlers: dict[int, Gate]
    supervisor: Segments
    user: Segments | None
    stack: Stack
    entry: dict[int, Stack | None]
    frames: frozenset[int]
    addresses: tuple[int, ...]

    def vector_at(self, rip: int) -> int | None:
        """Return whose handler begins at `rip`."""
        return next((v for v, gate in self.handlers.items() if gate.handler == rip), None)


def survey(stub: Stub, vcpu: int, registers: dict[str, int]) -> Ground:
    """Look the guest's own descriptor tables over.

    Raises PtliveError if an exception would have nowhere to go: then no access
    may be tried that could fault.
    """
    tables = _tables(stub, vcpu)
    handlers = _gates(_read(stub, vcpu, *tables["IDT"], "IDT"))
    for vector in (GENERAL_PROTECTION, PAGE_FAULT):
        if vector not in handlers:
            raise PtliveError(f"the guest handles no vector {vector}: a fault would reset it")
    if len({handlers[v].handler for v in (GENERAL_PROTECTION, PAGE_FAULT)}) < 2:
        raise PtliveError("the guest has one handler for #GP and #PF: they cannot be told apart")
    gdt = _read(stub, vcpu, *tables["GDT"], "GDT")
    tss = _read(stub, vcpu, tables["TR"][0], 0x68 - 1, "TSS")
    rsp0, ist = struct.unpack_from("<Q", tss, 4)[0], struct.unpack_from("<7Q", tss, 36)
    in_user = registers["cs"] & 3 == 3
    selector = handlers[PAGE_FAULT].selector
    supervisor = Segments(
        selector if in_user else registers["cs"],
        _segment(gdt, code=False, dpl=0) or 0 if in_user else registers["ss"],
    )
    user_cs, user_ss = _segment(gdt, code=True, dpl=3), _segment(gdt, code=False, dpl=3)
    # Well below what is in use, and aligned, so that an exception's frame is in one page.
    top = (rsp0 if in_user else registers["rsp"] - 256) & ~63
    stack = _stack(stub, vcpu, top)
    if stack is None:
        raise PtliveError(
            f"the stack at {top:#x} is not mapped: an exception would reset the guest"
        )

    def entry(gate: Gate) -> Stack | None:
        return _stack(stub, vcpu, (ist[gate.ist - 1] if gate.ist else rsp0) & ~15)

    entries = {v: entry(handlers[v]) for v in (GENERAL_PROTECTION, PAGE_FAULT)}
    stacks = {found for found in (stack, *entries.values()) if found}
    pages = [
        page for base, limit in tables.values() for page in range(base, base + limit + 1, PAGE)
    ]
    pages += [base + limit for base, limit in tables.values()]
    held = [pa for pa in physical_many(stub, vcpu, pages) if pa is not None]
    return Ground(
        handlers=handlers,
        supervisor=supervisor,
        user=Segments(user_cs | 3, user_ss | 3) if user_cs and user_ss else None,
        stack=stack,
        entry=entries,
        frames=frozenset(pa & -PAGE for pa in (*(found.pa for found in stacks), *held)),
        addresses=(*pages, *(found.top - FRAME for found in stacks)),
    )


def table_addresses(stub: Stub, vcpu: int) -> list[tuple[str, int]]:
    """Return where a vCPU's IDT and GDT begin and its TSS, by name; none where QEMU tells none."""
    try:
        return [(name, base) for name, (base, _) in _tables(stub, vcpu).items()]
    except PtliveError:
        return []


def physical(stub: Stub, vcpu: int, va: int) -> int | None:
    """Translate through QEMU's debug walker; None where it finds nothing."""
    return physical_many(stub, vcpu, [va])[0]


def physical_many(stub: Stub, vcpu: int, vas: list[int]) -> list[int | None]:
    """Translate many addresses through QEMU's debug walker (the monitor's gva2gpa)."""
    # The monitor has a CPU of its own, counted from 0.
    replies = stub.monitor_many([f"cpu {vcpu - 1}", *(f"gva2gpa {va:#x}" for va in vas)])[1:]
    # C's %# prints 0 without 0x (QEMU: hmp_gva2gpa).
    found = [re.search(r"gpa: ((?:0x)?[0-9a-f]+)", reply) for reply in replies]
    for reply, match in zip(replies, found, strict=True):
        if match is None and "Unmapped" not in reply:
            raise PtliveError(f"QEMU's monitor does not know gva2gpa: {reply.strip()[:80]!r}")
    return [int(match[1], 16) if match else None for match in found]


def _tables(stub: Stub, vcpu: int) -> dict[str, tuple[int, int]]:
    """Return base and limit of IDT, GDT and TR, which the stub's registers lack."""
    text = stub.monitor_many([f"cpu {vcpu - 1}", "info registers"])[1]
    found = {}
    for name in ("IDT", "GDT", "TR"):
        match = re.search(
            rf"^{name} ?=(?: *|[0-9a-f]{{4}} )([0-9a-f]{{16}}) ([0-9a-f]{{8}})", text, re.M
        )
        if match is None:
            # Otherwise it prints only 32 bits of an address (target/i386/cpu-dump.c).
            raise PtliveError(
                f"QEMU tells the guest's {name} only while the vCPU executes 64-bit code"
            )
        # A limit is 16 bits (a TSS has no use for more): a hostile one must not cost time.
        found[name] = int(match[1], 16), min(int(match[2], 16), 0xFFFF)
    return found


def _read(stub: Stub, vcpu: int, base: int, limit: int, name: str) -> bytes:
    data = stub.read_virtual(base, min(limit, 0xFFF) + 1, vcpu)
    if data is None:
        raise PtliveError(f"the guest's {name} at {base:#x} is not mapped")
    return data


def _gates(idt: bytes) -> dict[int, Gate]:
    """Return the present interrupt and trap gates of the exceptions."""
    gates = {}
    for vector in range(min(32, len(idt) // 16)):
        low, selector, ist, kind, middle, high = struct.unpack_from("<HHBBHI", idt, 16 * vector)
        if kind & 0x80 and kind & 0xF in (0xE, 0xF):
            gates[vector] = Gate(low | middle << 16 | high << 32, selector, ist & 7)
    return gates


def _segment(gdt: bytes, *, code: bool, dpl: int) -> int | None:
    """Return the selector of the first present 64-bit code or writable data segment."""
    for selector in range(8, len(gdt) & ~7, 8):
        (descriptor,) = struct.unpack_from("<Q", gdt, selector)
        access, flags = descriptor >> 40 & 0xFF, descriptor >> 52 & 0xF
        if access & 0x90 != 0x90 or access >> 5 & 3 != dpl:
            continue
        if (code and access & 8 and flags & 2) or (not code and access & 0xA == 2):
            return selector
    return None


def _stack(stub: Stub, vcpu: int, top: int) -> Stack | None:
    """Return a stack whose next exception frame lies in one mapped page."""
    first = top - FRAME
    if first < 0 or first >> 12 != (top - 1) >> 12:
        return None
    pa = physical(stub, vcpu, first)
    return None if pa is None else Stack(top, pa)
