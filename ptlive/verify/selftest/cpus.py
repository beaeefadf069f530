"""Which CPU a selftest's twin has: TCG's, or what KVM offers on this computer."""

from __future__ import annotations

from ptlive.target.machine import QEMU, Machine, host_has_la57
from ptlive.verify.kvm_cpu import kvm_cpu
from ptlive.verify.selftest.record import FEATURES, Cpu
from ptlive.verify.twin_accel import kvm_name

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


def levels_of(accel: str) -> list[int]:
    """Return how many levels of paging an accelerator's CPU can have."""
    return [5, 4] if accel != "kvm" or host_has_la57() else [4]
