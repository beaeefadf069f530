"""A guest in plain RAM whose MMU is the scalar reference: it executes what it is stepped through.

Of instructions it knows what the stepped probe uses: a load, a store, `mov $imm, %eax`
and RDPKRU. It stands in for an attached guest, and it can lie as told.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np

from ptlive.memory.ram_map import Kind, RamMap, Region
from ptlive.space import AddressSpace, open_space
from ptlive.target.cpu import CpuState
from ptlive.target.journal import Journal
from tests.paging.plain_ram import FRAME, PlainRam
from tests.paging.tables import PS, PWU, RW, A, D, P
from tests.reference import sdm

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from ptlive.arrays import U8, U64, Bool
    from tests.reference.sdm import Machine

FRAMES = 64
# The first frames hold tables, the next ones what the CPU needs, the rest data, the last is ROM.
TABLES = 16
CODE, USER_CODE, IDT, GDT, STACK, ENTRY_STACK = range(TABLES, TABLES + 6)
DATA = TABLES + 6
LOAD, STORE = bytes.fromhex("488b07"), bytes.fromhex("488907")
ROM_AT, DEVICE_AT, NOTHING_AT = (FRAMES - 1) * FRAME, 1 << 21, 1 << 30

PHYSICAL = (1 << 52) - FRAME


@dataclass
class Guest:
    """A stopped guest of one vCPU.

    lie: may change what its MMU answers; touch: is called after each answer.
    Pages for the CPU's own needs are mapped in the topmost 512 GB.
    """

    machine: Machine
    lie: Callable[[sdm.Outcome, sdm.Access], sdm.Outcome] = lambda outcome, asked: outcome
    accelerator: str = "TCG"
    ram: PlainRam = field(default_factory=lambda: PlainRam(FRAMES * FRAME))
    registers_now: dict[str, int] = field(default_factory=dict)
    steps: int = 0
    generation: int = 0
    halts: bool = False
    used: int = 1  # frames of tables that are taken
    touch: Callable[[sdm.Outcome, sdm.Access], None] = lambda outcome, asked: None

    def __post_init__(self) -> None:
        top = (1 << 64) - (1 << 39)
        for frame in range(TABLES, DATA):
            user = frame == USER_CODE
            flags = PWU if user else P | RW
            self.map(top + (1 << 30 if user else 0) + frame * FRAME, frame * FRAME, flags)
        self.write(CODE * FRAME, LOAD + STORE)
        self.write(USER_CODE * FRAME, b"\x90" + STORE + LOAD)
        entry = self.va(ENTRY_STACK) + FRAME
        self.write(GDT * FRAME + 0x800, struct.pack("<I8Q", 0, entry, 0, 0, 0, *[0] * 4))
        descriptors = (0, 0x00AF_9A << 40, 0x00CF_92 << 40, 0x00CF_F2 << 40, 0x00AF_FA << 40)
        self.write(GDT * FRAME, struct.pack("<5Q", *descriptors))
        for vector in (6, 13, 14):
            handler = self.handler(vector)
            low, middle, high = handler & 0xFFFF, handler >> 16 & 0xFFFF, handler >> 32
            gate = struct.pack("<HHBBHII", low, 8, 0, 0x8E, middle, high, 0)
            self.write(IDT * FRAME + 16 * vector, gate)
        names = [*(f"r{n}" for n in range(8, 16)), "rax", "rbx", "rcx", "rdx", "rsi", "rdi"]
        registers = dict.fromkeys((*names, "rbp", "cr2", "cr8"), 0x1111)
        registers |= {"rsp": self.va(STACK) + 0x800, "rip": self.va(CODE) + 0x100}
        registers |= {"cs": 8, "ss": 16, "eflags": 2, "cr3": 0}
        self.registers_now = registers | self.control

    def va(self, frame: int) -> int:
        """The linear address of one of the CPU's own frames."""
        user = 1 << 30 if frame == USER_CODE else 0
        return (1 << 64) - (1 << 39) + user + frame * FRAME

    def handler(self, vector: int) -> int:
        return self.va(CODE) + 0x200 + 16 * vector

    @property
    def control(self) -> dict[str, int]:
        m = self.machine
        cr4 = 1 << 5 | (m.levels == 5) << 12 | m.smep << 20 | m.smap << 21 | m.pke << 22
        return {
            "cr0": 1 << 31 | m.wp << 16 | 1,
            "cr4": cr4,
            "efer": 1 << 8 | 1 << 10 | m.nxe << 11,
        }

    def map(self, va: int, pa: int, flags: int, level: int = 1) -> int:
        """Map a page of a level, tables made on the way; return its entry's address."""
        table = 0
        for lvl in range(self.machine.levels, level, -1):
            at = table + 8 * (va >> 9 * lvl + 3 & 511)
            if not self.ram.value(at):
                assert self.used < TABLES
                self.ram.write(at, self.used * FRAME | PWU | A)
                self.used += 1
            assert not self.ram.value(at) & PS, "a page is there already"
            table = self.ram.value(at) & PHYSICAL
        at = table + 8 * (va >> 9 * level + 3 & 511)
        self.ram.write(at, pa | flags | A | D | (PS if level > 1 else 0))
        return at

    def write(self, pa: int, data: bytes) -> None:
        self.ram.data[pa : pa + len(data)] = np.frombuffer(data, np.uint8)

    def state(self) -> tuple[bytes, dict[str, int]]:
        return self.ram.data.tobytes(), dict(self.registers_now)

    # What `Target` has of a guest, as far as `verify` uses it.

    @property
    def cpu(self) -> CpuState:
        r = self.registers_now
        named = {name: r[name] for name in ("cr0", "cr2", "cr3", "cr4", "efer", "rip", "cs", "ss")}
        return CpuState(
            vcpu=1,
            rflags=r["eflags"],
            maxphyaddr=self.machine.maxphyaddr,
            gbpages=self.machine.gbpages,
            halted=self.halts,
            **named,
        )

    def target(self) -> Any:
        """Return what an attachment to this guest would be."""
        return SimpleNamespace(
            stub=self,
            cpus=(self.cpu,),
            ram_map=RAM_MAP,
            memory=self.ram,
            journal=Journal(lambda line: None),
            accelerator=self.accelerator,
            version="7.2.22",
            notes=(),
            address="simulated",
            was_running=True,
            pid=None,
            qmp=None,
            memory_source="stub",
            file=None,
        )

    def space(self, **how: Any) -> AddressSpace:
        return open_space(self.cpu, self.ram, RAM_MAP, **how)

    # The stub.

    def read_physical(self, addresses: U64, length: int) -> tuple[U8, Bool]:
        return self.ram.read(addresses, length)

    def write_physical(self, writes: Sequence[tuple[int, bytes]]) -> None:
        self.generation += 1
        for pa, data in writes:
            if pa < ROM_AT:
                self.write(pa, data)

    def read_virtual(self, va: int, length: int, vcpu: int = 1) -> bytes | None:
        pa = self.debug_walk(va)
        return None if pa is None else self.ram.data[pa : pa + length].tobytes()

    def vcpus(self) -> Sequence[int]:
        return (1,)

    def halted(self, vcpu: int) -> bool | None:
        return self.halts

    def registers(self, vcpu: int) -> dict[str, int]:
        return dict(self.registers_now)

    def write_registers(self, vcpu: int, values: Mapping[str, int]) -> None:
        assert values.keys() <= self.registers_now.keys()
        self.registers_now |= values

    def register_packets(self, values: Mapping[str, int]) -> list[str]:
        return [f"P{name}={value:x}" for name, value in values.items()]

    def monitor(self, command: str) -> str:
        if command == "info registers":
            return (
                f"TR =0028 {self.va(GDT) + 0x800:016x} 00000067 00008b00 DPL=0 TSS64-busy\r\n"
                f"GDT=     {self.va(GDT):016x} 00000027\r\n"
                f"IDT=     {self.va(IDT):016x} 000001ff\r\n"
            )
        if command == "info memory-devices":
            return "Memory device [dimm]: such RAM is not forked\r\n"
        if not command.startswith("gva2gpa"):
            return ""
        pa = self.debug_walk(int(command.split()[1], 0))
        if pa is None:
            return "Unmapped\r\n"
        return f"gpa: {pa:#x}\r\n" if pa else "gpa: 0\r\n"  # as C's %#x has it

    def monitor_many(self, commands: Sequence[str]) -> list[str]:
        return [self.monitor(command) for command in commands]

    def close(self, *, resume: bool) -> None:
        """Nothing is held."""

    def debug_walk(self, va: int) -> int | None:
        """Translate as QEMU's gva2gpa does: present bits and addresses, nothing else.

        It does test sign extension (target/i386/helper.c, x86_cpu_get_phys_page_attrs_debug).
        """
        sign = 9 * self.machine.levels + 11
        if va >> sign not in (0, (1 << 64 - sign) - 1):
            return None
        entry = 0
        for lvl in range(self.machine.levels, 0, -1):
            shift = 9 * lvl + 3
            word = self.ram.qword((entry & PHYSICAL) + 8 * (va >> shift & 511))
            entry = word or 0
            if not entry & P:
                return None
            if lvl == 1 or (entry & PS and lvl < 4):
                offset = (1 << shift) - 1
                return (entry & PHYSICAL & ~offset) | (va & offset)
        raise AssertionError

    def step(self, vcpu: int, values: Mapping[str, int] | None = None) -> dict[str, int]:
        self.write_registers(vcpu, values or {})
        self.steps += 1
        self.generation += 1
        r = self.registers_now
        fetched = self._access("fetch", r["rip"], 1)
        if isinstance(fetched, sdm.Outcome):
            self._fault(fetched)
            return dict(r)
        code = self.ram.data[fetched : fetched + 8].tobytes() if self._is_ram(fetched) else b""
        if code.startswith(b"\xb8"):
            r["rax"], r["rip"] = int.from_bytes(code[1:5], "little"), r["rip"] + 5
        elif code.startswith(b"\x0f\x01\xee"):
            r["rax"], r["rip"] = self.machine.pkru, r["rip"] + 3
        elif code.startswith((LOAD, STORE)):
            self._move(is_load=code.startswith(LOAD))
        else:
            self._deliver(6, None)
        return dict(r)

    def _move(self, *, is_load: bool) -> None:
        r = self.registers_now
        reached = self._access("read" if is_load else "write", r["rdi"], 8)
        if isinstance(reached, sdm.Outcome):
            self._fault(reached)
            return
        if is_load:
            r["rax"] = (self.ram.qword(reached) or 0) if self._is_ram(reached) else 0
        elif reached < ROM_AT:
            self.write(reached, r["rax"].to_bytes(8, "little"))
        r["rip"] += 3

    def _is_ram(self, pa: int) -> bool:
        return pa < FRAMES * FRAME

    def _access(self, kind: Any, va: int, length: int) -> int | sdm.Outcome:
        """Return where an access arrives, or its fault; A and D are set."""
        r = self.registers_now
        user, ac = r["cs"] & 3 == 3, bool(r["eflags"] & 1 << 18)
        asked = sdm.Access(kind, user, ac, length)
        truth = sdm.access(self.machine, self.ram.qword, 0, va, asked)
        said = truth
        # The instruction itself is no probe: about that nobody lies.
        if kind != "fetch" or va >> 12 not in (self.va(CODE) >> 12, self.va(USER_CODE) >> 12):
            said = self.lie(truth, asked)
            self.touch(said, asked)
        if said.vector is not None:
            return said
        for pa in said.accessed:
            self.ram.write(pa, self.ram.value(pa) | A)
        for pa in said.dirty:
            self.ram.write(pa, self.ram.value(pa) | D)
        return said.pa if said.pa is not None else PHYSICAL

    def _fault(self, outcome: sdm.Outcome) -> None:
        assert outcome.vector is not None
        if outcome.cr2 is not None:
            self.registers_now["cr2"] = outcome.cr2
        self._deliver(outcome.vector, outcome.error_code)

    def _deliver(self, vector: int, error_code: int | None) -> None:
        """Push a frame and go to the handler (SDM vol. 3A 6.14)."""
        r = self.registers_now
        user = r["cs"] & 3 == 3
        top = (self.va(ENTRY_STACK) + FRAME if user else r["rsp"]) & ~15
        words = [r["rip"], r["cs"], r["eflags"], r["rsp"], r["ss"]]
        words = words if error_code is None else [error_code, *words]
        pa = self.debug_walk(top - 8 * len(words))
        assert pa is not None
        self.write(pa, struct.pack(f"<{len(words)}Q", *words))
        r |= {"rip": self.handler(vector), "cs": 8, "rsp": top - 8 * len(words)}


RAM_MAP = RamMap(
    [
        Region(0, ROM_AT - 1, Kind.RAM, "ram", 0),
        Region(ROM_AT, ROM_AT + FRAME - 1, Kind.ROM, "rom", 0),
        Region(DEVICE_AT, DEVICE_AT + FRAME - 1, Kind.DEVICE, "device", 0),
    ]
)


def as_tcg(outcome: sdm.Outcome, asked: sdm.Access) -> sdm.Outcome:
    """Answer as TCG does: a fault on a reserved bit lacks P."""
    if outcome.vector == 14 and outcome.error_code is not None and outcome.error_code & 8:
        return replace(outcome, error_code=outcome.error_code & ~1)
    return outcome
