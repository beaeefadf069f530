"""What an audit looks at, put together from a held guest."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ptlive.analysis.audit.context import Context, Registers, Root
from ptlive.errors import PtliveError
from ptlive.paging import control
from ptlive.space import TARGET_NAMES
from ptlive.target.cpu import cpu_properties

if TYPE_CHECKING:
    from ptlive.analysis.audit.memory_type import MemoryTypes
    from ptlive.analysis.profile import Profile
    from ptlive.answers.together import Together
    from ptlive.space import AddressSpace
    from ptlive.target.attach import Target


def registers_of(target: Target) -> tuple[Registers, ...]:
    """Return the control registers of the vCPUs, and what their CPU could do."""
    try:
        answers = cpu_properties(target.stub, ("smep", "smap"))
    except PtliveError:
        answers = [None, None]
    smep, smap = ({"true": True, "false": False}.get(answer or "") for answer in answers)
    return tuple(
        Registers(cpu.vcpu, cpu.cr0, cpu.cr3, cpu.cr4, cpu.efer, cpu.maxphyaddr, smep, smap)
        for cpu in target.cpus
    )


def context_of(
    group: Together,
    pairs: dict[AddressSpace, int | None],
    profile: Profile | None,
    types: MemoryTypes | None,
    registers: tuple[Registers, ...],
) -> Context:
    """Return what the rules look at.

    pairs: the other half of each isolated root, see `with_partners`; types: what the CPUs make
    of attributes, if that is known; registers: see `registers_of`
    """
    fmt = group.spaces[0].format
    if fmt.name in control.NESTED:
        raise PtliveError(
            f"an audit judges a system by its own tables, and {fmt.name} is a hypervisor's for it"
        )
    number = {int(space.root[0]): at for at, space in enumerate(group.spaces)}
    roots = []
    for space in group.spaces:
        address, partner = int(space.root[0]), pairs[space]
        half = None
        if partner is not None:
            half = "kernel" if address < partner else "user"
        other = None if partner is None else number.get(partner)
        roots.append(Root(address, space.origin, half, other))
    return Context(
        graph=group.graph,
        roots=tuple(roots),
        registers=registers,
        target=group.spaces[0].target_of,
        targets=TARGET_NAMES,
        profile=profile,
        memory_types=types,
    )
