"""From an attached guest to what a twin of it needs."""

from __future__ import annotations

import dataclasses
import os
from typing import TYPE_CHECKING

from ptlive.errors import PtliveError
from ptlive.memory.bounded import BoundedMemory
from ptlive.memory.ram_map import Kind, RamMap
from ptlive.oracle.twin import prober
from ptlive.oracle.twin.fork import FOUR_GB, Control, Fork
from ptlive.oracle.twin.window import EXTRA_LIMIT
from ptlive.paging import control
from ptlive.target.cpu_model import cpu_option
from ptlive.target.machine import QEMU
from ptlive.target.saved_state import qmp_of, read_pkru
from ptlive.verify.twins.pkru import values
from ptlive.verify.twins.ram import find_ram

if TYPE_CHECKING:
    from collections.abc import Callable

    from ptlive.memory.layout import Layout
    from ptlive.space import AddressSpace
    from ptlive.target.attach import Target
    from ptlive.target.cpu import CpuState
    from ptlive.target.running import Guest
    from ptlive.verify.twins.ram import Ram

# What the prober may take, after the next whole GB.
_ROOM = (1 << 30) + EXTRA_LIMIT


def fork_of(
    target: Target,
    space: AddressSpace,
    guest: Guest | None,
    *,
    ram: Ram | None = None,
    qemu: str = QEMU,
    progress: Callable[[int, int], None] = lambda *_: None,
) -> Fork:
    """Return the fork of an attached guest, with the first value that `pkru.values` gives.

    guest: the bundled guest that it is; ram: its RAM, if it was looked for already;
    qemu: the twin's; progress: of copying RAM. Raises PtliveError if its RAM cannot
    be had, or its mode not be taken on.
    """
    prober.load()  # or that it is missing is told after a copy of all RAM
    cpu = _cpu(target, space)
    known = space.controls.with_pkru(pkru_of(target, space, guest))
    control = Control(cr0=cpu.cr0, cr4=cpu.cr4, efer=cpu.efer, pkru=values(known)[0])
    ram = ram or find_ram(target, guest)
    accel = accelerator_of(target)
    return Fork(
        ram=ram.open(progress),
        size=ram.layout.size,
        low_ram=ram.layout.low,
        root=int(space.root[0]),
        control=control,
        cpu=cpu_option(target.stub, cpu, accel),
        accel=accel,
        qemu=qemu,
    )


def pkru_of(target: Target, space: AddressSpace, guest: Guest | None) -> int | None:
    """Return PKRU of the vCPU, as the user or QEMU tells it; None if neither does.

    Where no key can matter it is not looked for.
    """
    if space.controls.pkru is not None or not space.controls.key_matters:
        return space.controls.pkru
    with qmp_of(target, guest) as qmp:
        if qmp is None:
            return None
        return read_pkru(qmp, space.vcpu, target.journal.record_folder)


def not_forked(target: Target, space: AddressSpace, layout: Layout) -> str | None:
    """Return why no twin can take on the vCPU's mode of paging; None if one can."""
    cpu = _cpu(target, space)
    try:
        Control(cr0=cpu.cr0, cr4=cpu.cr4, efer=cpu.efer)
    except PtliveError as error:
        return str(error)
    used = control.mode(cpu.cr0, cpu.cr4, cpu.efer)
    if control.FORMAT_OF_MODE[used] != space.format.name:
        return f"a twin translates by {used}, as the vCPU does, not by {space.format.name}"
    end = FOUR_GB + layout.size - layout.low
    if cpu.maxphyaddr is not None and end + _ROOM > 1 << cpu.maxphyaddr:
        return (
            "the twin's prober lives beyond the guest's RAM, where the vCPU's physical "
            f"addresses of {cpu.maxphyaddr} bits do not reach"
        )
    return None


def within(space: AddressSpace, layout: Layout) -> AddressSpace:
    """Return the space as a twin has it: other memory, such as a video card's, is none there."""
    pieces = [(piece.first, piece.last) for piece in layout.pieces]
    regions = [
        region
        if any(first <= region.first and region.last <= last for first, last in pieces)
        else dataclasses.replace(region, kind=Kind.DEVICE)
        for region in space.ram_map.regions
    ]
    ram_map = RamMap(regions)
    memory = BoundedMemory(space.memory, ram_map)
    return dataclasses.replace(space, ram_map=ram_map, memory=memory)


def accelerator_of(target: Target) -> str:
    """Return which accelerator the twin gets: the guest's, where it is on this machine."""
    kvm = target.accelerator.startswith("KVM") and os.access("/dev/kvm", os.R_OK | os.W_OK)
    return "kvm" if kvm else "tcg"


def _cpu(target: Target, space: AddressSpace) -> CpuState:
    return next(cpu for cpu in target.cpus if cpu.vcpu == space.vcpu)
