"""Which CPU a selftest's twin has: TCG's, or what KVM offers on this computer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ptlive.paging.formats.x86_64 import PHYSICAL_LIMIT
from ptlive.target.machine import QEMU, Machine, host_has_la57
from ptlive.verify.selftest.record import FEATURES, Cpu
from ptlive.verify.twins.accel import kvm_name
from ptlive.verify.twins.kvm_cpu import kvm_cpu

if TYPE_CHECKING:
    from ptlive.oracle.twin.fork import Fork
    from ptlive.target.cpu import CpuState

# Physical addresses of TCG's CPUs, unless told otherwise (QEMU target/i386/cpu.h,
# TCG_PHYS_ADDR_BITS).
_TCG_PHYSICAL = 40


def cpu_of(accel: str, qemu: str = QEMU) -> Cpu:
    """Return the usual CPU of an accelerator, "tcg" or "kvm".

    Raises PtliveError if there is no KVM here.
    """
    if accel != "kvm":
        return Cpu(_TCG_PHYSICAL, qemu=qemu)
    Machine(levels=4, accel="kvm").check_host()
    offered = kvm_cpu()
    return Cpu(
        offered.maxphyaddr,
        gbpages="pdpe1gb" in offered.flags,
        features=frozenset(FEATURES) & offered.flags,
        accel="kvm",
        qemu=qemu,
        by=kvm_name(),
    )


def cpu_of_guest(state: CpuState, fork: Fork, by: str) -> Cpu:
    """Return the CPU that a guest's fork has; what is not known of it counts as there."""
    return Cpu(
        state.maxphyaddr or PHYSICAL_LIMIT,
        gbpages=state.gbpages is not False,
        accel=fork.accel,
        qemu=fork.qemu,
        by=by,
    )


def levels_of(accel: str) -> list[int]:
    """Return how many levels of paging an accelerator's CPU can have."""
    return [5, 4] if accel != "kvm" or host_has_la57() else [4]
