"""Which CPU a selftest's twin has: TCG's, or what KVM makes of this computer's."""

from __future__ import annotations

import re
from pathlib import Path

from ptlive.errors import PtliveError
from ptlive.target.machine import QEMU, Machine, host_has_la57, kvm_paging
from ptlive.verify.selftest.record import FEATURES, Cpu

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
    told = Path("/proc/cpuinfo").read_text()
    flags = re.search(r"^flags\s*:(.*)$", told, re.MULTILINE)
    width = re.search(r"^address sizes\s*: (\d+) bits physical", told, re.MULTILINE)
    if not flags or not width:
        raise PtliveError("/proc/cpuinfo does not tell what this computer's CPU has")
    has = set(flags[1].split())
    paging = kvm_paging()
    return Cpu(
        int(width[1]),
        gbpages="pdpe1gb" in has,
        features=frozenset(FEATURES) & has,
        accel="kvm",
        qemu=qemu,
        by=f"KVM+{paging}" if paging in ("EPT", "NPT") else f"KVM, {paging}",
    )


def levels_of(accel: str) -> list[int]:
    """Return how many levels of paging an accelerator's CPU can have."""
    return [5, 4] if accel != "kvm" or host_has_la57() else [4]
