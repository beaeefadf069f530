"""From an attached guest to what a twin of it needs."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from ptlive.errors import PtliveError
from ptlive.memory.ram_map import Kind
from ptlive.oracle.twin.fork import FOUR_GB, Control, Fork

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ptlive.space import AddressSpace
    from ptlive.target.attach import Target
    from ptlive.target.running import Guest

# Every key but 0, which Linux gives to ordinary memory, forbids something: odd ones
# writing (WD), even ones access (AD).
TELLING_PKRU = sum((2 if key % 2 else 1) << 2 * key for key in range(1, 16))


def fork_of(target: Target, space: AddressSpace, guest: Guest | None) -> Fork:
    """Return the fork of an attached guest; with a telling PKRU where its own is not known.

    Raises PtliveError if the guest's RAM is in no file that can be mapped.
    """
    if guest is None:
        raise PtliveError(
            "the twin needs the guest's RAM in a shared file; a bundled guest has one"
        )
    cpu = next(cpu for cpu in target.cpus if cpu.vcpu == space.vcpu)
    pkru = space.controls.pkru
    if pkru is None:
        pkru = TELLING_PKRU
    above = [r for r in target.ram_map.regions if r.kind is Kind.RAM and r.first == FOUR_GB]
    return Fork(
        ram=guest.ram,
        size=guest.memory,
        low_ram=above[0].offset if above else guest.memory,
        root=int(space.root[0]),
        control=Control(cr0=cpu.cr0, cr4=cpu.cr4, efer=cpu.efer, pkru=pkru),
        cpu=_last(guest.command, "-cpu"),
        accel=guest.accelerator,
    )


def _last(command: Sequence[str], option: str) -> str:
    """Return the value of an option; of several QEMU takes the last."""
    values = [value for name, value in pairwise(command) if name == option]
    return values[-1]
