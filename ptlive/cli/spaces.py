"""The address spaces that the options ask for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ptlive.errors import PtliveError
from ptlive.space import open_space

if TYPE_CHECKING:
    from ptlive.cli.options import TargetOptions
    from ptlive.space import AddressSpace
    from ptlive.target.attach import Target
    from ptlive.target.cpu import CpuState


def wanted_spaces(target: Target, options: TargetOptions) -> list[AddressSpace]:
    """Return the address spaces of all roots that are asked for, by default of CR3."""
    return [_space(target, options, root) for root in options.root or ("cr3",)]


def _space(target: Target, options: TargetOptions, root: str) -> AddressSpace:
    kind, _, number = root.partition(":")
    vcpu = int(number) if kind == "vcpu" else options.vcpu
    cpu = cpu_of(target, vcpu)
    return open_space(
        cpu,
        target.memory,
        target.ram_map,
        root=None if root == "cr3" or kind == "vcpu" else int(root, 0),
        origin=root if kind == "vcpu" else None,
        format_name=options.format,
        pkru=cpu.pkru if options.pkru is None else options.pkru,
    )


def cpu_of(target: Target, vcpu: int) -> CpuState:
    """Return the state of one vCPU. Raises PtliveError if there is none of that number."""
    for cpu in target.cpus:
        if cpu.vcpu == vcpu:
            return cpu
    numbers = ", ".join(str(cpu.vcpu) for cpu in target.cpus)
    raise PtliveError(f"the guest has no vCPU {vcpu}; it has {numbers}")
