"""The address spaces of a guest: those of its vCPUs, those that its RAM holds, isolated pairs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

import numpy as np

from ptlive.errors import PtliveError
from ptlive.space import open_space

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ptlive.analysis.roots.find import FoundRoot, FoundRoots
    from ptlive.arrays import Memory
    from ptlive.space import AddressSpace
    from ptlive.target.attach import Target
    from ptlive.target.cpu import CpuState


class View(Protocol):
    """How to look at the guest."""

    @property
    def vcpu(self) -> int:
        """Whose registers count, from 1."""
        ...

    @property
    def format(self) -> str | None:
        """Walk as this format, whatever that vCPU uses."""
        ...

    @property
    def pkru(self) -> int | None:
        """Return the guest's PKRU, which its stub lacks."""
        ...


@dataclass(frozen=True)
class PlainView:
    """A `View` that is nothing else."""

    vcpu: int = 1
    format: str | None = None
    pkru: int | None = None


def found_roots(
    target: Target,
    view: View,
    memory: Memory,
    progress: Callable[[str, int, int], None] | None = None,
) -> FoundRoots:
    """Look through all of RAM for root tables of the format that the vCPU uses.

    memory: what to read it with. Raises PtliveError if the vCPU's paging is off, and for a
    format whose address spaces have several roots.
    """
    from ptlive.analysis.roots.find import find_roots

    fmt = space_at(target, view, "cr3").format
    if fmt.roots > 1:
        raise PtliveError(
            f"root tables are looked for where one makes an address space, and in {fmt.name} "
            f"{fmt.roots} do: other commands take one as --root"
        )
    used: dict[int, tuple[int, ...]] = {}
    for cpu in target.cpus:
        root = root_of(target, view, cpu)
        if root is not None:
            used[root] = (*used.get(root, ()), cpu.vcpu)
    return find_roots(fmt, memory, target.ram_map.ram, used, progress)


def root_of(target: Target, view: View, cpu: CpuState) -> int | None:
    """Return the root table in a vCPU's CR3; None unless it pages as the chosen vCPU does."""
    fmt = space_at(target, view, "cr3").format
    try:
        space = space_at(target, view, f"vcpu:{cpu.vcpu}")
    except PtliveError:
        return None  # its paging is off, or of another kind
    return int(space.root[0]) if space.format.name == fmt.name else None


def space_of(target: Target, view: View, found: FoundRoot) -> AddressSpace:
    """Return the address space of a root of the list, as the vCPU that uses it sees it."""
    vcpu = found.vcpus[0] if found.vcpus else view.vcpu
    if view.vcpu in found.vcpus:
        vcpu = view.vcpu
    return open_space(
        cpu_of(target, vcpu),
        target.memory,
        target.ram_map,
        root=found.root,
        origin=f"#{found.number}",
        format_name=view.format,
        pkru=view.pkru,
    )


def with_partners(spaces: Sequence[AddressSpace]) -> dict[AddressSpace, int | None]:
    """Return the spaces and the other halves of isolation pairs, each with its other half's root.

    Reads two tables of each.
    """
    from ptlive.analysis.audit.isolation import partner_of  # seldom needed

    pairs = {space: partner_of(space.format, space.memory, int(space.root[0])) for space in spaces}
    there = {int(space.root[0]) for space in spaces}
    for space, partner in list(pairs.items()):
        if partner is not None and partner not in there:
            root = int(space.root[0])
            other = replace(
                space, root=np.array([partner], np.uint64), origin=f"other half of {root:#x}"
            )
            pairs[other] = root
            there.add(partner)
    return pairs


def isolation_notes(spaces: Sequence[AddressSpace]) -> list[tuple[str, str]]:
    """Tell, as (code, text), on which roots user mode runs in place of these.

    The kernel's half of an isolation pair maps user pages, too, but none may be executed.
    Reads two tables of each.
    """
    there = {int(space.root[0]) for space in spaces}
    notes = []
    for space, partner in with_partners(spaces).items():
        root = int(space.root[0])
        if root in there and partner is not None and partner > root and partner not in there:
            text = f"{root:#x} is the kernel's root of an isolation pair: user mode runs on "
            notes.append(("isolation", f"{text}{partner:#x}, where user pages may be executed"))
    return notes


def space_at(target: Target, view: View, root: str) -> AddressSpace:
    """Return the address space of a root: "cr3", "vcpu:N", or an address."""
    kind, _, number = root.partition(":")
    vcpu = int(number) if kind == "vcpu" else view.vcpu
    return open_space(
        cpu_of(target, vcpu),
        target.memory,
        target.ram_map,
        root=None if root == "cr3" or kind == "vcpu" else int(root, 0),
        origin=root if kind == "vcpu" else None,
        format_name=view.format,
        pkru=view.pkru,
    )


def cpu_of(target: Target, vcpu: int) -> CpuState:
    """Return the state of one vCPU. Raises PtliveError if there is none of that number."""
    for cpu in target.cpus:
        if cpu.vcpu == vcpu:
            return cpu
    numbers = ", ".join(str(cpu.vcpu) for cpu in target.cpus)
    raise PtliveError(f"the guest has no vCPU {vcpu}; it has {numbers}")
