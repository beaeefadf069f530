"""The address spaces that the options ask for."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from ptlive.errors import PtliveError
from ptlive.space import open_space

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ptlive.analysis.roots.find import FoundRoot, FoundRoots
    from ptlive.arrays import Memory
    from ptlive.cli.options import TargetOptions
    from ptlive.space import AddressSpace
    from ptlive.target.attach import Target
    from ptlive.target.cpu import CpuState


def wanted_spaces(
    target: Target, options: TargetOptions, scanned: Memory | None = None
) -> list[AddressSpace]:
    """Return the address spaces of all roots that are asked for, by default of CR3.

    scanned: what to look through all of RAM with, if a root is asked for by its number;
    the target's memory by default
    """
    if options.all_roots and options.root:
        raise PtliveError("--all-roots has every root that is listed: leave out --root")
    listed: dict[int, FoundRoot] = {}
    if options.all_roots or any(root.startswith("#") for root in options.root):
        # Seldom needed, and every import is felt at the start of a command.
        from ptlive.show.progress import progress

        with progress() as told:
            found = found_roots(target, options, scanned or target.memory, told)
        listed = {one.number: one for one in found.roots}
    if options.all_roots:
        return [space_of(target, options, one) for one in listed.values() if one.shown]
    spaces = []
    for root in options.root or ("cr3",):
        if not root.startswith("#"):
            spaces.append(_space(target, options, root))
            continue
        number = int(root.removeprefix("#"))
        if number not in listed:
            raise PtliveError(f"there is no root {root}: {len(listed)} were found, from #0 on")
        spaces.append(space_of(target, options, listed[number]))
    return spaces


def found_roots(
    target: Target,
    options: TargetOptions,
    memory: Memory,
    progress: Callable[[str, int, int], None] | None = None,
) -> FoundRoots:
    """Look through all of RAM for root tables of the format that the vCPU uses.

    memory: what to read it with. Raises PtliveError if the vCPU's paging is off.
    """
    from ptlive.analysis.roots.find import find_roots

    fmt = _space(target, options, "cr3").format
    used: dict[int, tuple[int, ...]] = {}
    for cpu in target.cpus:
        root = root_of(target, options, cpu)
        if root is not None:
            used[root] = (*used.get(root, ()), cpu.vcpu)
    return find_roots(fmt, memory, target.ram_map.ram, used, progress)


def root_of(target: Target, options: TargetOptions, cpu: CpuState) -> int | None:
    """Return the root table in a vCPU's CR3; None unless it pages as the chosen vCPU does."""
    fmt = _space(target, options, "cr3").format
    try:
        space = _space(target, options, f"vcpu:{cpu.vcpu}")
    except PtliveError:
        return None  # its paging is off, or of another kind
    return int(space.root[0]) if space.format.name == fmt.name else None


def space_of(target: Target, options: TargetOptions, found: FoundRoot) -> AddressSpace:
    """Return the address space of a root of the list, as the vCPU that uses it sees it."""
    vcpu = found.vcpus[0] if found.vcpus else options.vcpu
    if options.vcpu in found.vcpus:
        vcpu = options.vcpu
    return open_space(
        cpu_of(target, vcpu),
        target.memory,
        target.ram_map,
        root=found.root,
        origin=f"#{found.number}",
        format_name=options.format,
        pkru=options.pkru,
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


def _space(target: Target, options: TargetOptions, root: str) -> AddressSpace:
    kind, _, number = root.partition(":")
    vcpu = int(number) if kind == "vcpu" else options.vcpu
    return open_space(
        cpu_of(target, vcpu),
        target.memory,
        target.ram_map,
        root=None if root == "cr3" or kind == "vcpu" else int(root, 0),
        origin=root if kind == "vcpu" else None,
        format_name=options.format,
        pkru=options.pkru,
    )


def cpu_of(target: Target, vcpu: int) -> CpuState:
    """Return the state of one vCPU. Raises PtliveError if there is none of that number."""
    for cpu in target.cpus:
        if cpu.vcpu == vcpu:
            return cpu
    numbers = ", ".join(str(cpu.vcpu) for cpu in target.cpus)
    raise PtliveError(f"the guest has no vCPU {vcpu}; it has {numbers}")
