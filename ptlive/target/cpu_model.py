"""The guest's CPU as an option for another QEMU: with all that decides how it pages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ptlive.target.cpu import cpu_properties

if TYPE_CHECKING:
    from ptlive.target.cpu import CpuState
    from ptlive.wire.stub import Stub

# Feature by feature: what switches it on in CR4, which QEMU lets a guest do only if its CPU
# has it (SDM vol. 3A 2.5); 0 where no bit of CR4 tells.
_FEATURES = {
    "la57": 1 << 12,
    "smep": 1 << 20,
    "smap": 1 << 21,
    "pku": 1 << 22,
    "nx": 0,
    "pdpe1gb": 0,
}
_EFER_NXE = 1 << 11


def cpu_option(stub: Stub, cpu: CpuState, accel: str) -> str:
    """Return the value of -cpu for a QEMU whose vCPU is to page as this one.

    The accelerator's richest model, with the features that matter to paging as the
    guest's vCPU has them: whatever model that is, it need not exist elsewhere. What
    the vCPU has switched on, it has.
    """
    told = {"true": True, "false": False}
    answers = cpu_properties(stub, tuple(_FEATURES))
    has = {
        name: None if answer is None else told.get(answer)
        for name, answer in zip(_FEATURES, answers, strict=True)
    }
    for name, bit in _FEATURES.items():
        if cpu.cr4 & bit or (name == "nx" and cpu.efer & _EFER_NXE):
            has[name] = True
    if has["pdpe1gb"] is None:
        has["pdpe1gb"] = cpu.gbpages
    options = [f"{name}={'on' if yes else 'off'}" for name, yes in has.items() if yes is not None]
    if cpu.maxphyaddr is not None:
        # KVM's models take the host's own number, unless told otherwise.
        options += ["host-phys-bits=off"] * (accel == "kvm") + [f"phys-bits={cpu.maxphyaddr}"]
    return ",".join(["host" if accel == "kvm" else "max", *options])
