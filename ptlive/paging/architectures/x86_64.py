"""How an x86-64 CPU pages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ptlive.errors import PtliveError
from ptlive.paging import control
from ptlive.paging.architectures.facts import Facts, Paging, Wanted, root_address

if TYPE_CHECKING:
    from ptlive.paging.format import Format

# Of a CR3 that is given as a root: PCID or PWT and PCD, and the bit that keeps the TLB.
_BESIDE_THE_ROOT = 0xFFF | 1 << 63


def paging(facts: Facts, wanted: Wanted) -> Paging:
    """Return what the control registers say. Raises PtliveError if paging is off."""
    cr0, cr3, cr4, efer = (facts.register(name) for name in ("cr0", "cr3", "cr4", "efer"))
    fmt = _format(facts, wanted, cr0, cr4, efer)
    pkru = facts.registers.get("pkru") if wanted.pkru is None else wanted.pkru
    root = cr3 & fmt.root_mask
    if wanted.root is not None:
        root = root_address(fmt, wanted.root, _BESIDE_THE_ROOT)
    elif fmt.name in control.NESTED:
        raise PtliveError(f"no register of the vCPU refers to tables of {fmt.name}: give --root")
    return Paging(
        format=fmt,
        roots=(root,),
        origin="cr3",
        rules=control.rules(fmt, cr0, cr4, efer, pkru=pkru),
        not_modelled={} if fmt.name in control.NESTED else control.not_modelled(cr3, cr4),
    )


def _format(facts: Facts, wanted: Wanted, cr0: int, cr4: int, efer: int) -> Format:
    """Return the format that the CPU walks, or the one that is insisted on."""
    name = wanted.format
    maxphyaddr, told = facts.features.get("maxphyaddr"), facts.features.get("gbpages")
    gbpages = None if told is None else bool(told)
    used = control.FORMAT_OF_MODE.get(control.mode(cr0, cr4, efer))
    # While paging is off CR3 means nothing; only a root that is given may be walked.
    if name in (None, used) or (used is None and wanted.root is None):
        return control.format_for(cr0, cr4, efer, maxphyaddr=maxphyaddr, gbpages=gbpages)
    return control.format_named(name, efer, maxphyaddr=maxphyaddr, gbpages=gbpages)
