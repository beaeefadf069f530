"""What the vCPUs' registers and QEMU's object model say about paging."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ptlive.wire.stub import Stub

#: SDM vol. 3A 4.10.1: with CR4.PCIDE set, CR3 bits 11:0 are the PCID.
_CR4_PCIDE = 1 << 17
_PCID_MASK = 0xFFF

# Where QEMU keeps the vCPUs: those of -smp, and those plugged in with -device.
_CONTAINERS = ("/machine/unattached", "/machine/peripheral", "/machine/peripheral-anon")
_CPU_CHILD = re.compile(r"^(\S+) \(child<[^>]*-x86_64-cpu>\)", re.MULTILINE)


@dataclass(frozen=True)
class CpuState:
    """One vCPU, stopped; None is said where QEMU does not tell."""

    vcpu: int
    cr0: int
    cr2: int
    cr3: int
    cr4: int
    efer: int
    rip: int
    rflags: int
    cs: int
    ss: int
    maxphyaddr: int | None
    """MAXPHYADDR, CPUID.80000008H:EAX[7:0]."""
    gbpages: bool | None
    """Whether a PDPTE may map a 1 GiB page, CPUID.80000001H:EDX.Page1GB."""
    halted: bool | None
    """Whether it sleeps in HLT; under TCG also if it was never started."""
    pkru: int | None = None
    """PKRU, where a file has it: no debugger's interface of QEMU does."""

    @property
    def pcid(self) -> int:
        """The process-context identifier; 0 while CR4.PCIDE is clear."""
        return self.cr3 & _PCID_MASK if self.cr4 & _CR4_PCIDE else 0


def read_cpus(stub: Stub, known: tuple[int | None, bool | None] | None = None) -> list[CpuState]:
    """Read the state of every vCPU. Raises PtliveError when the connection is lost.

    known: what `cpuid` has returned, if it was asked before: it does not change
    """
    maxphyaddr, gbpages = known or cpuid(stub)
    return [
        _state(vcpu, stub.registers(vcpu), maxphyaddr, gbpages, stub.halted(vcpu))
        for vcpu in stub.vcpus()
    ]


def accelerator(stub: Stub) -> str:
    """Return who executes the guest, in the words of a verdict: TCG, or a kind of KVM."""
    answer = stub.monitor("info kvm")
    if "enabled" in answer:
        return "KVM, unknown"
    return "TCG" if "disabled" in answer else "unknown"


def _state(
    vcpu: int,
    registers: dict[str, int],
    maxphyaddr: int | None,
    gbpages: bool | None,
    halted: bool | None,
) -> CpuState:
    return CpuState(
        vcpu=vcpu,
        rflags=registers["eflags"],
        **{name: registers[name] for name in ("cr0", "cr2", "cr3", "cr4", "efer")},
        **{name: registers[name] for name in ("rip", "cs", "ss")},
        maxphyaddr=maxphyaddr,
        gbpages=gbpages,
        halted=halted,
    )


def cpuid(stub: Stub) -> tuple[int | None, bool | None]:
    """Return MAXPHYADDR and 1G support, where they are told."""
    bits, large = cpu_properties(stub, ("phys-bits", "pdpe1gb"))
    return (
        int(bits) if bits is not None and bits.isdigit() and int(bits) else None,
        {"true": True, "false": False}.get(large) if large is not None else None,
    )


def cpu_properties(stub: Stub, names: Sequence[str]) -> list[str | None]:
    """Return what QEMU's object model has under these names, if all vCPUs agree, else None.

    A name that the vCPUs do not have is answered by an error message.
    """
    listings = stub.monitor_many([f"qom-list {container}" for container in _CONTAINERS])
    paths = [
        f"{container}/{name}"
        for container, listing in zip(_CONTAINERS, listings, strict=True)
        for name in _CPU_CHILD.findall(listing.replace("\r", ""))
    ]
    answers = stub.monitor_many([f"qom-get {path} {name}" for path in paths for name in names])
    return [_common(answers[at :: len(names)]) for at in range(len(names))]


def _common(answers: Sequence[str]) -> str | None:
    distinct = {answer.strip() for answer in answers}
    return distinct.pop() if len(distinct) == 1 else None
