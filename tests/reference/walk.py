"""From a linear address to a physical address: section 4.5, one paragraph per level."""

from collections.abc import Callable
from functools import partial

from .bits import PS, RW, US, XD, P, bits, field
from .formats import (
    reserved_in_pde,
    reserved_in_pdpte,
    reserved_in_pml4e,
    reserved_in_pml5e,
    reserved_in_pte,
)
from .terms import Machine, ReadQword, Step, Walk


def canonical(machine: Machine, va: int) -> bool:
    """Tell whether bits 63 through the most significant implemented bit are identical.

    Vol. 1, 3.3.7.1. Linear addresses have 57 bits with 5-level paging and 48 bits with 4-level
    paging (4.1.1).
    """
    if machine.levels == 5:
        return field(va, 63, 56) in (0, 0xFF)
    return field(va, 63, 47) in (0, 0x1FFFF)


def root_table(machine: Machine, cr3: int) -> int:
    """Take the physical address of the PML5 or PML4 table from CR3.

    Tables 4-12 and 4-13: bits M-1:12. Bits 11:0 are PWT and PCD, or the PCID; of the bits from M
    up none is address, whatever a debugger shows there.
    """
    return cr3 & bits(machine.maxphyaddr - 1, 12)


def use(
    path: list[Step],
    level: int,
    entry_pa: int,
    entry: int | None,
    reserved: Callable[[int], int] = lambda _: 0,
) -> int | Walk:
    """Return the next entry of a translation, or the walk that it ends.

    "If a paging-structure entry's P flag (bit 0) is 0 or if the entry sets any reserved bit, the
    entry is used neither to reference another paging-structure entry nor to map a page" (4.5).
    """
    if entry is None:
        return Walk("unreadable", tuple(path))
    path.append(Step(level, entry_pa, entry))
    if not entry & P:
        return Walk("absent", tuple(path))
    if reserved(entry):
        return Walk("malformed", tuple(path), reserved=reserved(entry))
    return entry


def translate(machine: Machine, read_qword: ReadQword, cr3: int, va: int) -> Walk:
    """Translate one canonical linear address, with every entry that was used on the way.

    Raises:
        ValueError: the address is not canonical, so that it never gets as far as paging.
    """
    if not (0 <= va < 1 << 64 and canonical(machine, va)):
        raise ValueError(f"{va:#x} is not canonical with {machine.levels}-level paging")
    path: list[Step] = []
    pml4 = root_table(machine, cr3)

    # 5-level paging only. The address of the PML5E: bits 51:12 are from CR3, bits 11:3 are bits
    # 56:48 of the linear address, bits 2:0 are all 0.
    if machine.levels == 5:
        pml5e_pa = root_table(machine, cr3) | field(va, 56, 48) << 3
        pml5e = use(path, 5, pml5e_pa, read_qword(pml5e_pa), partial(reserved_in_pml5e, machine))
        if isinstance(pml5e, Walk):
            return pml5e
        pml4 = pml5e & bits(51, 12)

    # The address of the PML4E: bits 51:12 are from CR3 or the PML5E, bits 11:3 are bits 47:39 of
    # the linear address, bits 2:0 are all 0.
    pml4e_pa = pml4 | field(va, 47, 39) << 3
    pml4e = use(path, 4, pml4e_pa, read_qword(pml4e_pa), partial(reserved_in_pml4e, machine))
    if isinstance(pml4e, Walk):
        return pml4e

    # The address of the PDPTE: bits 51:12 are from the PML4E, bits 11:3 are bits 38:30 of the
    # linear address, bits 2:0 are all 0. "If the PDPTE's PS flag is 1, the PDPTE maps a 1-GByte
    # page": bits 51:30 are from the PDPTE, bits 29:0 from the original linear address.
    pdpte_pa = (pml4e & bits(51, 12)) | field(va, 38, 30) << 3
    pdpte = use(path, 3, pdpte_pa, read_qword(pdpte_pa), partial(reserved_in_pdpte, machine))
    if isinstance(pdpte, Walk):
        return pdpte
    if pdpte & PS:
        return _mapped(machine, path, (pdpte & bits(51, 30)) | (va & bits(29, 0)), 0x40000000)

    # The address of the PDE: bits 51:12 are from the PDPTE, bits 11:3 are bits 29:21 of the
    # linear address, bits 2:0 are all 0. "If the PDE's PS flag is 1, the PDE maps a 2-MByte
    # page": bits 51:21 are from the PDE, bits 20:0 from the original linear address.
    pde_pa = (pdpte & bits(51, 12)) | field(va, 29, 21) << 3
    pde = use(path, 2, pde_pa, read_qword(pde_pa), partial(reserved_in_pde, machine))
    if isinstance(pde, Walk):
        return pde
    if pde & PS:
        return _mapped(machine, path, (pde & bits(51, 21)) | (va & bits(20, 0)), 0x200000)

    # The address of the PTE: bits 51:12 are from the PDE, bits 11:3 are bits 20:12 of the linear
    # address, bits 2:0 are all 0. "Every PTE maps a 4-KByte page": bits 51:12 are from the PTE,
    # bits 11:0 from the original linear address.
    pte_pa = (pde & bits(51, 12)) | field(va, 20, 12) << 3
    pte = use(path, 1, pte_pa, read_qword(pte_pa), partial(reserved_in_pte, machine))
    if isinstance(pte, Walk):
        return pte
    return _mapped(machine, path, (pte & bits(51, 12)) | (va & bits(11, 0)), 0x1000)


# The key is that of the entry that maps the page (4.5, 4.6.2).
def _mapped(machine: Machine, path: list[Step], pa: int, page_size: int) -> Walk:
    key = field(path[-1].entry, 62, 59) if machine.pke else None
    return mapped(path, path, pa, page_size, key)


def mapped(
    path: list[Step],
    controlling: list[Step],
    pa: int,
    page_size: int,
    protection_key: int | None = None,
) -> Walk:
    """Tell what the whole path says of a page.

    4.6.1 asks each time for "every paging-structure entry controlling the translation".
    """
    levels_without_rw = [step.level for step in controlling if not step.entry & RW]
    levels_without_us = [step.level for step in controlling if not step.entry & US]
    levels_with_xd = [step.level for step in controlling if step.entry & XD]
    return Walk(
        "leaf",
        tuple(path),
        pa=pa,
        page_size=page_size,
        write=not levels_without_rw,
        user=not levels_without_us,
        execute=not levels_with_xd,
        write_denied_by=levels_without_rw[0] if levels_without_rw else None,
        user_denied_by=levels_without_us[0] if levels_without_us else None,
        execute_denied_by=levels_with_xd[0] if levels_with_xd else None,
        protection_key=protection_key,
    )
