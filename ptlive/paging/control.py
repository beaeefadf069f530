"""What the control registers of an x86 CPU mean for paging (SDM vol. 3A 4.1)."""

from __future__ import annotations

import enum
from functools import partial
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from ptlive.errors import PtliveError
from ptlive.paging.access import Controls
from ptlive.paging.formats import bits32, ept, npt, pae, x86_64
from ptlive.paging.nested import EptControls, NestedControls

if TYPE_CHECKING:
    from collections.abc import Callable

    from ptlive.paging.access import AccessRules
    from ptlive.paging.format import Format


class CR0(enum.IntFlag):
    """Bits of CR0 that paging depends on."""

    PE = 1 << 0
    WP = 1 << 16
    PG = 1 << 31


class CR4(enum.IntFlag):
    """Bits of CR4 that paging depends on."""

    PSE = 1 << 4
    PAE = 1 << 5
    PGE = 1 << 7
    LA57 = 1 << 12
    PCIDE = 1 << 17
    SMEP = 1 << 20
    SMAP = 1 << 21
    PKE = 1 << 22
    CET = 1 << 23
    PKS = 1 << 24
    LASS = 1 << 27
    LAM_SUP = 1 << 28


class EFER(enum.IntFlag):
    """Bits of IA32_EFER that paging depends on."""

    LME = 1 << 8
    LMA = 1 << 10
    NXE = 1 << 11


#: The formats that a CPU's modes of paging have, by the names of `mode`.
FORMAT_OF_MODE = {
    "4-level paging": "x86-64-4level",
    "5-level paging": "x86-64-5level",
    "PAE paging": pae.NAME,
    "32-bit paging": bits32.NAME,
}

CR3_LAM_U48 = 1 << 62
CR3_LAM_U57 = 1 << 61


def mode(cr0: int, cr4: int, efer: int) -> str:
    """Name the paging mode (SDM vol. 3A 4.1.1)."""
    if not cr0 & CR0.PG:
        return "paging off"
    if not cr4 & CR4.PAE:
        return "32-bit paging"
    if not efer & EFER.LMA:
        return "PAE paging"
    return "5-level paging" if cr4 & CR4.LA57 else "4-level paging"


def format_for(
    cr0: int, cr4: int, efer: int, *, maxphyaddr: int | None, gbpages: bool | None
) -> Format:
    """Return the format that the CPU walks.

    An unknown maxphyaddr counts as the architecture's limit, 52, and unknown
    1G pages as there: then no entry is called malformed that might be valid.
    Raises PtliveError if paging is off.
    """
    current = mode(cr0, cr4, efer)
    if current not in FORMAT_OF_MODE:
        raise PtliveError(
            f"paging is off (CR0={cr0:#x}): linear addresses are physical addresses, "
            "there is no table to walk"
        )
    cpu = _Cpu(maxphyaddr or x86_64.PHYSICAL_LIMIT, bool(efer & EFER.NXE), gbpages is not False)
    return _OWN[FORMAT_OF_MODE[current]](cpu._replace(pse=bool(cr4 & CR4.PSE)))


def format_named(name: str, efer: int, *, maxphyaddr: int | None, gbpages: bool | None) -> Format:
    """Return the format of that name, as a CPU with these features would have it.

    Raises PtliveError if there is none.
    """
    if name not in _FORMATS:
        raise PtliveError(f"there is no format {name!r}; there are {', '.join(_FORMATS)}")
    # Of a hypervisor it is not known whether it runs with NXE: then nothing is malformed by it.
    nxe = name in NESTED or bool(efer & EFER.NXE)
    return _FORMATS[name](
        _Cpu(maxphyaddr or x86_64.PHYSICAL_LIMIT, nxe, gbpages is not False),
    )


class _Cpu(NamedTuple):
    """What a format depends on. CR4.PSE matters to a CPU that is in 32-bit paging."""

    maxphyaddr: int
    nxe: bool
    gbpages: bool
    pse: bool = True


def _bits32(cpu: _Cpu) -> Format:
    return bits32.make(pse=cpu.pse, maxphyaddr=cpu.maxphyaddr)


def _pae(cpu: _Cpu) -> Format:
    return pae.make(maxphyaddr=cpu.maxphyaddr, nxe=cpu.nxe)


def _x86_64(cpu: _Cpu, levels: int) -> Format:
    return x86_64.make_levels(levels, maxphyaddr=cpu.maxphyaddr, nxe=cpu.nxe, gbpages=cpu.gbpages)


def _nested(cpu: _Cpu, made: Callable[[_Cpu], Format]) -> Format:
    return npt.nested(made(cpu))


def _ept(cpu: _Cpu, levels: int, mode_based: bool) -> Format:
    features = ept.Features(gbpages=cpu.gbpages, mode_based=mode_based)
    return ept.make(levels, features, maxphyaddr=cpu.maxphyaddr)


_Make: TypeAlias = "Callable[[_Cpu], Format]"

_OWN: dict[str, _Make] = {
    "x86-64-4level": partial(_x86_64, levels=4),
    "x86-64-5level": partial(_x86_64, levels=5),
    pae.NAME: _pae,
    bits32.NAME: _bits32,
}
_NPT: dict[str, _Make] = {npt.NAMES[own]: partial(_nested, made=_OWN[own]) for own in _OWN}
_EPT: dict[str, _Make] = {
    f"{name}{'-mbe' if mode_based else ''}": partial(_ept, levels=levels, mode_based=mode_based)
    for levels, name in ept.NAMES.items()
    for mode_based in (False, True)
}
_FORMATS = _OWN | _NPT | _EPT
#: Formats of tables that a hypervisor makes: no CR3 refers to them.
NESTED = frozenset(_NPT | _EPT)


def controls(cr0: int, cr4: int, efer: int, *, pkru: int | None) -> Controls:
    """Return the control bits that decide about accesses.

    Without PAE there is no XD, and without long mode no protection key (SDM vol. 3A 4.1.3).
    """
    return Controls(
        wp=bool(cr0 & CR0.WP),
        smep=bool(cr4 & CR4.SMEP),
        smap=bool(cr4 & CR4.SMAP),
        nxe=bool(efer & EFER.NXE and cr4 & CR4.PAE),
        pke=bool(cr4 & CR4.PKE and efer & EFER.LMA),
        pkru=pkru,
    )


def rules(fmt: Format, cr0: int, cr4: int, efer: int, *, pkru: int | None) -> AccessRules:
    """Return what decides about accesses through tables of a format."""
    if fmt.name in _NPT:
        return NestedControls()
    if fmt.name in _EPT:
        return EptControls(mode_based=ept.BY_USERS in fmt.rights)
    return controls(cr0, cr4, efer, pkru=pkru)


def not_modelled(cr3: int, cr4: int) -> dict[str, str]:
    """Name what is on and not modelled, and what that leaves unchecked."""
    found = {}
    if cr4 & CR4.CET:
        found["CET"] = "shadow-stack pages and accesses are not told apart (CR4.CET=1)"
    if cr4 & CR4.PKS:
        found["PKS"] = "protection keys of supervisor pages are not applied (CR4.PKS=1)"
    if cr4 & CR4.LAM_SUP or cr3 & (CR3_LAM_U48 | CR3_LAM_U57):
        found["LAM"] = "metadata bits of linear addresses are not masked (LAM is on)"
    if cr4 & CR4.LASS:
        found["LASS"] = "which half user and supervisor may access is not checked (CR4.LASS=1)"
    return found
