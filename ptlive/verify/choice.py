"""Which oracles are asked when none is named, and what the reader is told about it."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ptlive.errors import PtliveError
from ptlive.oracle.twin.qemu import version_of
from ptlive.paging.control import FORMAT_OF_MODE
from ptlive.target.machine import QEMU
from ptlive.verify import debug_walker, stepped
from ptlive.verify.twins import run as twin
from ptlive.verify.twins.fork import not_forked, pkru_of, within
from ptlive.verify.twins.ram import Ram, find_ram

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ptlive.space import AddressSpace
    from ptlive.target.attach import Target
    from ptlive.target.running import Guest

# What a copy of the guest's RAM may take, unless the twin was asked for.
PATIENCE = 10.0


@dataclass(frozen=True)
class Choice:
    """Who is asked, about which address spaces.

    notes: what the reader must know, as (code, text); ram: how the twin comes to the
    guest's RAM, if it is asked; spaces: as given, but as the twin has them: with the
    guest's PKRU where QEMU tells it, and without memory that is not the machine's RAM;
    version: the twin's, if its QEMU may be another than the guest's
    """

    oracles: tuple[str, ...]
    notes: list[tuple[str, str]]
    spaces: list[AddressSpace]
    ram: Ram | None = None
    version: str | None = None


def choose(
    oracles: Sequence[str],
    target: Target,
    spaces: Sequence[AddressSpace],
    guest: Guest | None,
    *,
    qemu: str = QEMU,
) -> Choice:
    """Return the oracles that were named, else the twin, else the debug walker.

    guest: the bundled guest that it is; qemu: the twin's. Nothing is copied yet. Raises
    PtliveError where an oracle that was named cannot be asked.
    """
    notes: list[tuple[str, str]] = []
    ram: Ram | None = None
    if target.file is not None:
        if others := [name for name in oracles if name != twin.ORACLE]:
            raise PtliveError(f"--oracle {others[0]} asks a live guest: of a file a twin is asked")
        oracles = (twin.ORACLE,)
    if not oracles:
        ram, why = _affordable(target, spaces, guest)
        oracles = (twin.ORACLE,) if ram else (debug_walker.ORACLE,)
        if ram is None:
            text = f"QEMU's debug walker is asked, not the MMU: {why}"
            # What else there is: not under KVM (below), and of x86's modes only.
            steps = target.accelerator == "TCG" and all(_is_x86(space) for space in spaces)
            notes.append(("not-the-mmu", text + "; --oracle stepped asks the MMU" * steps))
    elif twin.ORACLE in oracles:
        ram = find_ram(target, guest)
        for space in spaces:
            if why_not := not_forked(target, space, ram.layout):
                raise PtliveError(why_not)
    if stepped.ORACLE in oracles and target.accelerator != "TCG":
        # There a step that faults runs on into the handler, and pushes more than is put back.
        raise PtliveError(
            "the stepped probe leaves a guest as it found it under TCG only, "
            f"not under {target.accelerator}"
        )
    if ram is None:
        return Choice(tuple(oracles), notes, list(spaces))
    if ram.why:
        text = f"{ram.why}: it is copied first, in about {max(ram.seconds, 1):.0f} s"
        notes.append(("ram-copied", text))
    version = None if guest is not None and qemu == QEMU else version_of(qemu)
    if version is not None and version.split()[0] != target.version.split()[0]:
        notes.append(("twin-qemu", f"the twin is QEMU {version}, the guest {target.version}"))
    known = []
    for space in spaces:
        controls = space.controls.with_pkru(pkru_of(target, space, guest))
        known.append(within(dataclasses.replace(space, controls=controls), ram.layout))
        if space.controls.key_matters and controls.pkru is not None:
            notes.append(("pkru", f"PKRU of vCPU {space.vcpu} is {controls.pkru:#x}"))
    return Choice(tuple(oracles), list(dict.fromkeys(notes)), known, ram, version)


def _is_x86(space: AddressSpace) -> bool:
    return space.format.name in FORMAT_OF_MODE.values()


def _affordable(
    target: Target, spaces: Sequence[AddressSpace], guest: Guest | None
) -> tuple[Ram | None, str]:
    """Return the guest's RAM if a twin can have it soon, else why not."""
    try:
        ram = find_ram(target, guest)
    except PtliveError as error:
        return None, str(error)
    for space in spaces:
        if why := not_forked(target, space, ram.layout):
            return None, why
    if ram.seconds > PATIENCE:
        return None, (f"{ram.why}; --oracle twin copies it first, in about {ram.seconds:.0f} s")
    return ram, ""
