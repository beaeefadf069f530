"""What the instruction that a vCPU stands at touches, and the page fault that it comes from."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ptlive.analysis.explain import frame as pushed
from ptlive.analysis.explain.causes import Surroundings
from ptlive.analysis.explain.explanation import Explanation
from ptlive.analysis.explain.fault import explain_fault
from ptlive.analysis.explain.judge import first_to_fault, judge
from ptlive.analysis.instruction.decode import LONGEST, decode
from ptlive.analysis.instruction.touch import AC, State, Vector
from ptlive.analysis.instruction.touches import Instruction, touches
from ptlive.analysis.linear import read_linear
from ptlive.answers.spaces import cpu_of
from ptlive.errors import PtliveError
from ptlive.paging.access import Controls, Fault
from ptlive.target.dump import Processor, processor

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ptlive.analysis.explain.frame import Frame
    from ptlive.analysis.translation import Translation
    from ptlive.space import AddressSpace
    from ptlive.target.attach import Target

_LMA = 1 << 10  # EFER.LMA
_DESCRIPTOR, _L, _D = 8, 1 << 53, 1 << 54  # of a code segment (SDM vol. 3A figure 3-8, 5.2.1)
_INT3 = b"\xcc"
# What may stand before a handler pushes anything; Linux begins with some of these.
_HARMLESS = frozenset({"endbr64", "endbr32", "nop", "clac", "cld"})
_MOST_HARMLESS = 8


@dataclass(frozen=True)
class Asked:
    """What the user knows better: of which instruction, of which fault.

    pt_regs: where a Linux keeps the registers as they were, if those are to be taken
    """

    rip: int | None = None
    error_code: int | None = None
    cr2: int | None = None
    pt_regs: int | None = None


@dataclass(frozen=True, eq=False)
class Explained:
    """What was found: in which address space, which is another one where page tables are isolated.

    notes: what the reader must know, as (code, text)
    """

    space: AddressSpace
    what: Explanation
    notes: tuple[tuple[str, str], ...]


def explain(target: Target, space: AddressSpace, asked: Asked) -> Explained:
    """Explain what the space's vCPU does, or what the user asks about instead.

    Raises PtliveError for a guest that is no x86, and where there are no general registers.
    """
    return _Explainer(target, space, asked).explain()


def _registers(target: Target, vcpu: int) -> dict[str, int]:
    """Return a vCPU's registers; a file may lack those that were concluded or assumed."""
    cpu = cpu_of(target, vcpu)
    known = {"cr2": cpu.cr2, "efer": cpu.efer, "rip": cpu.rip, "eflags": cpu.rflags}
    return {**known, "cs": cpu.cs, "ss": cpu.ss, **target.stub.registers(vcpu)}


class _Explainer:
    def __init__(self, target: Target, space: AddressSpace, asked: Asked) -> None:
        if not isinstance(space.controls, Controls):
            raise PtliveError(
                f"only x86 instructions are explained, and this is {space.format.name}"
            )
        self.target, self.space, self.asked = target, space, asked
        self.controls = space.controls
        self.registers = _registers(target, space.vcpu)
        self.long_mode = bool(self.registers["efer"] & _LMA)
        # A stub has all of them or none; a CPU of 32 bits has eight.
        wanted = {"rax", "rsp", "eflags"} | ({"r15"} if self.long_mode else set())
        if not wanted <= self.registers.keys():
            raise PtliveError(
                f"{target.address} has no general registers of vCPU {space.vcpu}: an instruction's "
                "addresses cannot be computed"
            )
        self.cpu = processor(target.stub, space.vcpu)
        self.notes: list[tuple[str, str]] = []

    def explain(self) -> Explained:
        if self.asked.pt_regs is not None:
            self.registers |= self._kept(self.asked.pt_regs)
        found = self._frame() if self.asked == Asked() else None
        frame, handler = found or (None, None)
        state = self._state(frame)
        rip = self.asked.rip if self.asked.rip is not None else state.registers["rip"]
        if self.asked.rip not in (None, self.registers["rip"]):
            text = f"the registers are those that the vCPU has now, at {self.registers['rip']:#x}"
            self.notes.append(("registers", text))
        code, cr2 = self._fault(frame)
        self.space = self._root_of(code, state)
        instruction = touches(self._read(rip, LONGEST), rip, state)
        if instruction.data == _INT3 and self.target.accelerator.startswith("KVM"):
            text = (
                "INT3 may be a debugger's breakpoint: under KVM those stand in the guest's memory"
            )
            self.notes.append(("breakpoint", text))
        reads_first = self._reads_first(instruction)
        judged = judge(instruction, state, self.space, self.controls, reads_first=reads_first)
        fault = None
        if code is not None:
            fault = explain_fault(
                code,
                cr2,
                judged,
                self.space,
                self.controls,
                self._surroundings(frame, state),
                source="told" if frame is None else f"the frame at {frame.at:#x}",
                frame=frame,
            )
        what = Explanation(
            bits=state.bits,
            cpl=state.cpl,
            rflags=state.registers["eflags"],
            instruction=instruction,
            judged=judged,
            first=first_to_fault(judged),
            fault=fault,
            handler=handler,
            cr2=self._last_fault(cr2) if fault is None else None,
        )
        return Explained(self.space, what, tuple(self.notes))

    def _kept(self, va: int) -> dict[str, int]:
        """Return the registers that a Linux keeps."""
        from ptlive.analysis.linux.pt_regs import SIZE, parse_pt_regs  # seldom needed

        data = self._read(va, SIZE)
        if len(data) < SIZE:
            raise PtliveError(f"there is no struct pt_regs at {va:#x}: that cannot be read")
        return parse_pt_regs(data)

    def _frame(self) -> tuple[Frame, int] | None:
        """Return the frame of the page fault that the vCPU has just taken, and the handler."""
        handler = self._handler()
        if handler is None or not self._at_beginning(handler):
            return None
        at = self.registers["rsp"]
        data = self._read(at, pushed.frame_bytes(wide=self.long_mode))
        if len(data) < pushed.frame_bytes(wide=self.long_mode):
            why = "its stack cannot be read"
        else:
            frame = pushed.parse_frame(data, at, wide=self.long_mode)
            doubts = pushed.doubts(frame, self.registers["cr2"])
            if not doubts:
                return frame, handler
            why = f"what its stack has is no frame of one: {doubts[0]}"
        text = f"RIP is the handler of page faults at {handler:#x}, but {why}"
        self.notes.append(("no-frame", text))
        return None

    def _handler(self) -> int | None:
        """Return the handler of page faults that the IDT has."""
        if self.cpu is None or self.cpu.idt is None:
            self.notes.append(
                ("no-idt", "where the IDT is is not known: no page fault is recognised")
            )
            return None
        base, limit = self.cpu.idt
        size = pushed.GATE if self.long_mode else pushed.GATE_32
        at = pushed.PAGE_FAULT * size
        if limit < at + size - 1:
            return None
        gate = self._read(base + at, size)
        if len(gate) < size:
            text = f"the IDT at {base:#x} cannot be read: no page fault is recognised"
            self.notes.append(("no-idt", text))
        return pushed.parse_gate(gate, wide=self.long_mode)

    def _at_beginning(self, handler: int) -> bool:
        """Whether the vCPU has executed nothing of the handler that moves or changes anything."""
        rip, va = self.registers["rip"], handler
        bits = 64 if self.long_mode else 32
        for _ in range(_MOST_HARMLESS):
            if va == rip:
                return True
            if not 0 < rip - va <= _MOST_HARMLESS * LONGEST:
                return False
            found = decode(self._read(va, LONGEST), va, bits)
            if found is None or found.name not in _HARMLESS:
                return False
            va = found.next_va
        return False

    def _state(self, frame: Frame | None) -> State:
        """Return the registers as they were when the instruction began."""
        registers: Mapping[str, int] = self.registers
        cpu = self.cpu or Processor(None, {}, None)
        if frame is not None:
            rsp = registers["rsp"] if frame.rsp is None else frame.rsp
            rsp = rsp + 4 * 4 if frame.rsp is None else rsp  # what was pushed is popped again
            was = {"rip": frame.rip, "rsp": rsp, "eflags": frame.rflags, "cs": frame.cs}
            registers = {**registers, **was}
        other = frame is not None or self.asked.pt_regs is not None
        bits = self._bits_of(registers["cs"]) if other else cpu.bits
        if bits is None:
            bits = 64 if self.long_mode else 32
            text = f"the mode of the code segment is not known: taken for {bits}-bit code"
            self.notes.append(("mode", text))
        bases = dict(cpu.bases)
        for name in ("fs", "gs"):
            bases[name] = registers.get(f"{name}_base", bases.get(name, 0))
        return State(
            registers=registers,
            bits=bits,
            cpl=registers["cs"] & 3,
            bases=bases,
            vectors={number: Vector(*known) for number, known in cpu.vectors.items()},
            masks=cpu.masks,
        )

    def _bits_of(self, selector: int) -> int | None:
        """Return the mode that a code segment's descriptor says."""
        if self.cpu is None or "gdt" not in self.cpu.bases or selector & 4:
            return None
        data = self._read(self.cpu.bases["gdt"] + (selector & 0xFFF8), _DESCRIPTOR)
        if len(data) < _DESCRIPTOR:
            return None
        descriptor = int.from_bytes(data, "little")
        if self.long_mode and descriptor & _L:
            return 64
        return 32 if descriptor & _D else 16

    def _fault(self, frame: Frame | None) -> tuple[int | None, int]:
        """Return the error code, if there is one to be explained, and CR2."""
        cr2 = self.registers["cr2"] if self.asked.cr2 is None else self.asked.cr2
        code = self.asked.error_code if frame is None else frame.error_code
        return code, cr2

    def _root_of(self, code: int | None, state: State) -> AddressSpace:
        """Return the space that the CPU used: of isolated pairs, in user mode the user's half.

        A root that the user has named is the one to look at.
        """
        from ptlive.analysis.audit.isolation import partner_of  # seldom needed

        space = self.space
        user = state.cpl == 3 if code is None else bool(code & Fault.US)
        named = space.origin != "cr3" and not space.origin.startswith("vcpu:")
        if not user or named:
            return space
        root = int(space.root[0])
        partner = partner_of(space.format, space.memory, root)
        if partner is None or partner < root:
            return space
        text = (
            f"{root:#x} is the kernel's root of an isolation pair: user-mode accesses were "
            f"translated by {partner:#x}, and that is looked at"
        )
        self.notes.append(("isolation", text))
        self._other_root = True
        return dataclasses.replace(
            space, root=np.array([partner], np.uint64), origin=f"other half of {root:#x}"
        )

    _other_root = False

    def _surroundings(self, frame: Frame | None, state: State) -> Surroundings:
        known = frame is not None or self.asked.pt_regs is not None
        return Surroundings(
            accelerator=self.target.accelerator,
            vcpus=len(self.target.cpus),
            just_now=frame is not None,
            ac=bool(state.registers["eflags"] & AC) if known else None,
            cpl=state.cpl if known else None,
            other_root=self._other_root,
            not_modelled=tuple(self.space.not_modelled),
        )

    def _reads_first(self, instruction: Instruction) -> bool:
        """Whether what is read and written faults as a read where nothing is present.

        TCG loads and then stores, unless it has to be atomic among several vCPUs (QEMU
        target/i386/tcg/translate.c, gen_lea_modrm and PREFIX_LOCK; accel/tcg/cputlb.c,
        atomic_mmu_lookup). A CPU asks for the line to write it, and says W/R=1.
        """
        locked = any(touch.locked for touch in instruction.touches)
        return self.target.accelerator == "TCG" and not (locked and len(self.target.cpus) > 1)

    def _last_fault(self, cr2: int) -> Translation | None:
        if not cr2:
            return None
        translations = self.space.translate(np.array([cr2], dtype=np.uint64))
        return self.space.describe(translations, 0, [])

    def _read(self, va: int, length: int) -> bytes:
        space = self.space
        return read_linear(space.format, space.memory, space.root, va, length)
