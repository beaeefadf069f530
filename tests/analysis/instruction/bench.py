"""A guest in which single instructions are executed, with pages of ours there or not.

The menu guest lends its CPU, its long mode and a slot of its root table; everything that is
mapped there is a page that a test puts there. The guest is spoilt by that: it is nobody else's.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ptlive.oracle.ground import survey
from ptlive.target.dump import processor
from tests.analysis.instruction.assemble import assemble
from tests.analysis.instruction.cases import BASE, PAGES, REGISTERS, Case, at

if TYPE_CHECKING:
    from collections.abc import Collection

    from ptlive.target.attach import Target

FRAME = 1 << 12
P, RW, US, A, D = 1, 2, 4, 1 << 5, 1 << 6
# The guest has 256M, and the last of it is free.
TABLES, FRAMES = 0xF00_0000, 0xF10_0000
SCRATCH, STACK = 500, 501  # pages that are always there: for preparations, for exceptions
STACK_TOP = BASE + (STACK + 1) * FRAME
PUSHED = 48
VECTORS = (6, 12, 13, 14)
STEPS = 64  # a repeated string takes one for each element, and now and then one does nothing
SSE, AVX = 1 << 9 | 1 << 10, 1 << 18  # CR4.OSFXSR and OSXMMEXCPT, CR4.OSXSAVE


class Fault(NamedTuple):
    """An exception: vector, error code, CR2 of a page fault."""

    vector: int
    error_code: int
    cr2: int | None


class Bench:
    """The guest's vCPU and the pages of its slot."""

    def __init__(self, target: Target, *, user: bool) -> None:
        self.stub, self.user = target.stub, user
        registers = self.stub.registers(1)
        self.cr3 = registers["cr3"]
        self.segments = survey(self.stub, 1, registers)
        self.table = self._tables(self.cr3 & -FRAME)
        self.handlers = self._take_exceptions()
        self.show([])
        self._switch_on_vectors(registers)

    def show(self, pages: Collection[str], read_only: Collection[str] = ()) -> None:
        """Map these pages and no others."""
        table = bytearray(FRAME)
        kept = {SCRATCH: RW, STACK: RW}
        for name in pages:
            kept[PAGES[name]] = (0 if name in read_only else RW) | (US if self.user else 0)
        for number, flags in kept.items():
            frame = FRAMES + number * FRAME
            struct.pack_into("<Q", table, 8 * number, frame | flags | P | A | D)
        self.stub.write_physical([(self.table, bytes(table))])

    def prepare(self, case: Case, code: bytes) -> None:
        """Put code, data and registers in their places."""
        for number, value in case.vectors.items():
            self._load_vector(number, value)
        writes = [(frame_of(place), struct.pack("<Q", v)) for place, v in case.plant.items()]
        page, offset = divmod(at(case.code) - BASE, FRAME)
        self.stub.write_physical([*writes, (FRAMES + page * FRAME + offset, code)])
        segments = self.segments.user if self.user else self.segments.supervisor
        assert segments is not None
        values = {**REGISTERS, **case.registers, "rip": at(case.code), "cr2": 0}
        # A base goes in behind its selector, which would overwrite it.
        values |= {"cs": segments.cs, "ss": segments.ss}
        self.stub.write_registers(1, values)

    def execute(self, rip: int) -> Fault | None:
        """Execute the one instruction, with an empty TLB; return the exception, if one comes."""
        values = {"cr3": self.cr3}
        for _ in range(STEPS):
            after = self.stub.step(1, values)
            values = {}
            vector = self.handlers.get(after["rip"])
            if vector is not None:
                return self._pushed(vector, after, rip)
            if after["rip"] != rip:
                return None
        raise AssertionError(f"the vCPU does not leave {rip:#x}")

    def _pushed(self, vector: int, after: dict[str, int], rip: int) -> Fault:
        pa = FRAMES + STACK * FRAME + FRAME - PUSHED
        data, _ = self.stub.read_physical(np.array([pa], np.uint64), PUSHED)
        code, from_rip, *_ = struct.unpack("<6Q", data[0].tobytes())
        if vector == 6:
            raise AssertionError("the CPU does not know this instruction")
        assert from_rip == rip
        return Fault(vector, code, after["cr2"] if vector == 14 else None)

    def _tables(self, root: int) -> int:
        """Make the tables of the slot; return the last one."""
        table, rights = root, P | RW | US | A
        for lvl in (5, 4, 3, 2):
            below = TABLES + lvl * FRAME
            entry = table + 8 * (BASE >> (12 + 9 * (lvl - 1)) & 511)
            self.stub.write_physical(
                [(below, bytes(FRAME)), (entry, struct.pack("<Q", below | rights))]
            )
            table = below
        return table

    def _take_exceptions(self) -> dict[int, int]:
        """Have exceptions push to a stack of ours, which is always there (SDM vol. 3A 6.14.5)."""
        cpu = processor(self.stub, 1)
        assert cpu is not None
        assert cpu.idt is not None
        writes = [(cpu.bases["tr"] + 36, struct.pack("<Q", STACK_TOP))]
        writes += [(cpu.idt[0] + 16 * vector + 4, b"\x01") for vector in VECTORS]
        self.stub.write_physical(writes)  # the guest's own memory is where its addresses say
        return {self.segments.handlers[vector].handler: vector for vector in VECTORS}

    def _switch_on_vectors(self, registers: dict[str, int]) -> None:
        self.stub.write_registers(1, {"cr4": registers["cr4"] | SSE | AVX})
        self._run("xsetbv", {"rax": 7, "rcx": 0, "rdx": 0})

    def _load_vector(self, number: int, value: bytes) -> None:
        pa = FRAMES + SCRATCH * FRAME
        self.stub.write_physical([(pa + 0x100, value.ljust(32, b"\0"))])
        self._run(f"vmovdqu ymm{number}, [rdi]", {"rdi": BASE + SCRATCH * FRAME + 0x100})

    def _run(self, text: str, values: dict[str, int]) -> None:
        """Execute an instruction of ours in supervisor mode."""
        rip = BASE + SCRATCH * FRAME
        self.stub.write_physical([(FRAMES + SCRATCH * FRAME, assemble([text])[0])])
        where = self.segments.supervisor
        own = {"rip": rip, "cs": where.cs, "ss": where.ss, "rsp": STACK_TOP - 256, "eflags": 2}
        self.stub.write_registers(1, {**values, **own})
        assert self.execute(rip) is None, text


def frame_of(place: str) -> int:
    """Return the physical address of a place."""
    return at(place) - BASE + FRAMES
