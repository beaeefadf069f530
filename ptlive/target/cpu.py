"""What the vCPUs' registers and QEMU's object model say about paging."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ptlive.errors import PtliveError
from ptlive.wire.architectures import X86_64, Architecture, architecture_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ptlive.wire.stub import Stub

#: SDM vol. 3A 4.10.1: with CR4.PCIDE set, CR3 bits 11:0 are the PCID.
_CR4_PCIDE = 1 << 17
_PCID_MASK = 0xFFF

# Where QEMU keeps the vCPUs: those of -smp, and those plugged in with -device.
_CONTAINERS = ("/machine/unattached", "/machine/peripheral", "/machine/peripheral-anon")
_CPU_CHILD = re.compile(r"^(\S+) \(child<[^>]*-(?:x86_64|i386)-cpu>\)", re.MULTILINE)
# A line of `info qom-tree`: what a child is called, indented by its depth, and its type.
_QOM_LINE = re.compile(r"^( *)/(.+) \(([^()]+)\)\s*$", re.MULTILINE)


@dataclass(frozen=True)
class CpuState:
    """One vCPU, stopped; None is said where QEMU does not tell.

    The fields are an x86's. One that is none (`OtherCpu`) has `vcpu` and `halted` of them.
    """

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
    def architecture(self) -> Architecture:
        """What it is."""
        return X86_64

    @property
    def registers(self) -> Mapping[str, int | None]:
        """The registers that paging depends on, by the stub's names."""
        names = ("cr0", "cr2", "cr3", "cr4", "efer", "pkru")
        return {name: getattr(self, name) for name in names}

    @property
    def features(self) -> Mapping[str, int | None]:
        """What else paging depends on."""
        return {"maxphyaddr": self.maxphyaddr, "gbpages": self.gbpages}

    @property
    def pc(self) -> int:
        """Where it is."""
        return self.rip

    @property
    def pcid(self) -> int:
        """The process-context identifier; 0 while CR4.PCIDE is clear."""
        return self.cr3 & _PCID_MASK if self.cr4 & _CR4_PCIDE else 0


class OtherCpu(CpuState):
    """One vCPU that is no x86: to be asked for a register that only an x86 has is a PtliveError.

    So what is for x86 only need not look what it was given, and refuses in one sentence.
    """

    def __init__(
        self,
        vcpu: int,
        architecture: Architecture,
        values: Mapping[str, int],
        features: Mapping[str, int | None],
        halted: bool | None,
    ) -> None:
        registers = {name: values.get(name) for name in architecture.apart}
        # The fields of a frozen class are not assigned to.
        self.__dict__.update(vcpu=vcpu, halted=halted, _registers=registers, _features=features)
        self.__dict__.update(_architecture=architecture, _pc=values[architecture.pc])

    def __getattr__(self, name: str) -> int:
        """Refuse what only an x86 has."""
        if name.startswith("_"):
            raise AttributeError(name)
        raise PtliveError(
            f"this is for x86-64 guests only, and this one is {self.architecture.name}"
        )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, OtherCpu) and self.__dict__ == other.__dict__

    def __hash__(self) -> int:
        return hash(self.vcpu)

    def __repr__(self) -> str:
        return f"OtherCpu({self.vcpu}, {self.architecture.name}, {self.registers}, {self.features})"

    @property
    def architecture(self) -> Architecture:
        """See `CpuState`."""
        found: Architecture = self.__dict__["_architecture"]
        return found

    @property
    def registers(self) -> Mapping[str, int | None]:
        """See `CpuState`."""
        found: Mapping[str, int | None] = self.__dict__["_registers"]
        return found

    @property
    def features(self) -> Mapping[str, int | None]:
        """See `CpuState`."""
        found: Mapping[str, int | None] = self.__dict__["_features"]
        return found

    @property
    def pc(self) -> int:
        """See `CpuState`."""
        return int(self.__dict__["_pc"])


def read_cpus(stub: Stub, known: tuple[int | None, bool | None] | None = None) -> list[CpuState]:
    """Read the state of every vCPU. Raises PtliveError when the connection is lost.

    known: what `cpuid` has returned, if it was asked before: it does not change
    """
    registers = {vcpu: stub.registers(vcpu) for vcpu in stub.vcpus()}
    halted = {vcpu: stub.halted(vcpu) for vcpu in registers}
    architecture = architecture_of(next(iter(registers.values()), X86_64.told_by))
    if architecture is X86_64:
        maxphyaddr, gbpages = known or cpuid(stub)
        return [
            _state(vcpu, values, maxphyaddr, gbpages, halted[vcpu])
            for vcpu, values in registers.items()
        ]
    features = _features(stub, architecture)
    return [
        OtherCpu(vcpu, architecture, values, features, halted[vcpu])
        for vcpu, values in registers.items()
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


def _features(stub: Stub, architecture: Architecture) -> dict[str, int | None]:
    """Return what the object model says of the vCPUs' features, None where it says nothing."""
    if not architecture.features:
        return {}
    paths = _paths(stub.monitor("info qom-tree"), architecture.cpu)
    asked = [f"qom-get {path} {name}" for path in paths for name in architecture.features]
    answers = stub.monitor_many(asked)
    told = [
        _common(answers[at :: len(architecture.features)])
        for at in range(len(architecture.features))
    ]
    return {
        name: {"true": 1, "false": 0}.get(text or "")
        for name, text in zip(architecture.features, told, strict=True)
    }


def _paths(tree: str, kind: str) -> list[str]:
    """Return the paths in `info qom-tree` of the objects whose type ends so."""
    above: list[tuple[int, str]] = []
    found = []
    for indent, name, told in _QOM_LINE.findall(tree.replace("\r", "")):
        above = [one for one in above if one[0] < len(indent)]
        above.append((len(indent), name))
        if told.endswith(kind):
            found.append("/" + "/".join(part for _, part in above))
    return found


def _common(answers: Sequence[str]) -> str | None:
    distinct = {answer.strip() for answer in answers}
    return distinct.pop() if len(distinct) == 1 else None
