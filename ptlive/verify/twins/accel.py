"""The same guest under TCG and under KVM: what changes with who answers.

Under KVM the twin has the host's CPU: its MAXPHYADDR, its 1G pages, and of the guest's
control bits those that it knows. So the walk is done once more, as that CPU would.
"""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ptlive.oracle.twin.fork import CR4_PKE, CR4_SMAP, CR4_SMEP
from ptlive.paging import control
from ptlive.target.machine import Machine, kvm_paging
from ptlive.verify.twins.kvm_cpu import kvm_cpu

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ptlive.oracle.twin.fork import Fork
    from ptlive.paging.graph import Graph
    from ptlive.space import AddressSpace
    from ptlive.target.attach import Target

ACCELERATORS = ("tcg", "kvm")
# CPUID's names for what CR4 can switch on, as Linux lists them.
_FEATURES = {"smep": CR4_SMEP, "smap": CR4_SMAP, "pku": CR4_PKE}


@dataclass(frozen=True, eq=False)
class Twin:
    """Whom to ask, and what the tables say on that CPU; options: that choose it."""

    fork: Fork
    answered_by: str
    space: AddressSpace
    graph: Graph
    options: str = ""
    notes: tuple[str, ...] = ()


def twins(
    fork: Fork, target: Target, space: AddressSpace, graph: Graph, accels: Sequence[str]
) -> list[Twin]:
    """Return a twin for each accelerator asked for, by default the guest's own.

    Raises PtliveError if this computer has none such, or not with so many levels.
    """
    found = []
    for accel in accels or (fork.accel,):
        options = f" --twin-accel {accel}" if accels else ""
        if accel == fork.accel:
            # A guest under KVM, of another computer or of a file, may have a twin under TCG.
            name = "TCG" if accel == "tcg" else target.accelerator
            found.append(Twin(fork, name, space, graph, options))
        elif accel == "kvm":
            found.append(_under_kvm(fork, target, space, options))
        else:
            # TCG has no CPU of the host's; "max" is the one that has most.
            cpu = re.sub(r"^host\b", "max", fork.cpu)
            tcg = dataclasses.replace(fork, accel=accel, cpu=cpu)
            found.append(Twin(tcg, "TCG", space, graph, options))
    return found


def _under_kvm(fork: Fork, target: Target, space: AddressSpace, options: str) -> Twin:
    """Return a twin under KVM of a guest that is not."""
    Machine(levels=fork.control.levels, accel="kvm").check_host()
    offered = kvm_cpu()
    cpu = next(cpu for cpu in target.cpus if cpu.vcpu == space.vcpu)
    lacking = [name for name in _FEATURES if name not in offered.flags]
    missing = sum(_FEATURES[name] for name in lacking)
    cr4 = fork.control.cr4 & ~missing
    notes = []
    if offered.maxphyaddr != cpu.maxphyaddr:
        bits = f"{offered.maxphyaddr}, the guest's {cpu.maxphyaddr}"
        notes.append(f"the CPU under KVM has MAXPHYADDR {bits}: entries are judged as there")
    if cpu.gbpages and "pdpe1gb" not in offered.flags:
        notes.append("the CPU under KVM has no 1G pages: entries are judged as there")
    if fork.control.cr4 & missing:
        names = ", ".join(n.upper() for n in lacking if fork.control.cr4 & _FEATURES[n])
        notes.append(f"the CPU under KVM has no {names}: asked with that off")
    fmt = control.format_for(
        cpu.cr0,
        fork.control.cr4,
        cpu.efer,
        maxphyaddr=offered.maxphyaddr,
        gbpages="pdpe1gb" in offered.flags,
    )
    controls = control.controls(cpu.cr0, cr4, cpu.efer, pkru=space.controls.pkru)
    space = dataclasses.replace(space, format=fmt, controls=controls)
    model = fork.cpu if "phys-bits" in fork.cpu else f"{fork.cpu},host-phys-bits=on"
    fork = dataclasses.replace(
        fork, accel="kvm", cpu=model, control=dataclasses.replace(fork.control, cr4=cr4)
    )
    return Twin(fork, kvm_name(), space, space.walk(), options, tuple(notes))


def kvm_name() -> str:
    """Return who answers under this computer's KVM, in the words of a verdict."""
    paging = kvm_paging()
    if paging in ("EPT", "NPT"):
        return f"KVM+{paging}"
    return "KVM shadow paging" if paging == "shadow paging" else "KVM, unknown"
