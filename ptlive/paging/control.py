"""What the control registers of an x86-64 CPU mean for paging (SDM vol. 3A 4.1)."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING

from ptlive.errors import PtliveError
from ptlive.paging.access import Controls
from ptlive.paging.formats import x86_64

if TYPE_CHECKING:
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
    Raises PtliveError if paging is off or the mode has no format.
    """
    current = mode(cr0, cr4, efer)
    levels = {"4-level paging": 4, "5-level paging": 5}.get(current)
    if current == "paging off":
        raise PtliveError(
            f"paging is off (CR0={cr0:#x}): linear addresses are physical addresses, "
            "there is no table to walk"
        )
    if levels is None:
        raise PtliveError(f"the guest uses {current}, for which ptlive has no format yet")
    return _x86_64(levels, efer, maxphyaddr, gbpages)


def format_named(name: str, efer: int, *, maxphyaddr: int | None, gbpages: bool | None) -> Format:
    """Return the format of that name, as a CPU with these features would have it.

    Raises PtliveError if there is none.
    """
    for levels in (4, 5):
        fmt = _x86_64(levels, efer, maxphyaddr, gbpages)
        if fmt.name == name:
            return fmt
    raise PtliveError(f"there is no format {name!r}; there are x86-64-4level and x86-64-5level")


def _x86_64(levels: int, efer: int, maxphyaddr: int | None, gbpages: bool | None) -> Format:
    return x86_64.make_levels(
        levels,
        maxphyaddr=maxphyaddr or x86_64.PHYSICAL_LIMIT,
        nxe=bool(efer & EFER.NXE),
        gbpages=gbpages is not False,
    )


def controls(cr0: int, cr4: int, efer: int, *, pkru: int | None) -> Controls:
    """Return the control bits that decide about accesses."""
    return Controls(
        wp=bool(cr0 & CR0.WP),
        smep=bool(cr4 & CR4.SMEP),
        smap=bool(cr4 & CR4.SMAP),
        nxe=bool(efer & EFER.NXE),
        pke=bool(cr4 & CR4.PKE),
        pkru=pkru,
    )


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
