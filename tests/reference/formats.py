"""Which bits of a paging-structure entry are reserved: section 4.5, tables 4-14 to 4-20.

"If a paging-structure entry's P flag (bit 0) is 0 or if the entry sets any reserved bit, the
entry is used neither to reference another paging-structure entry nor to map a page" (4.5).
Each function answers with the reserved bits that the entry sets; 0 means that it may be used.
An entry with P = 0 has none: each rule of 4.5 holds only if "the P flag ... is 1".
"""

from .bits import PS, XD, P, bits
from .terms import Machine


def reserved_in_pml5e(machine: Machine, entry: int) -> int:
    """Table 4-14, a PML5E that references a PML4 table."""
    if not entry & P:
        return 0
    reserved = PS  # "7 (PS): Reserved (must be 0)": no PML5E maps a page
    reserved |= bits(51, machine.maxphyaddr)  # "51:M: Reserved (must be 0)"
    if not machine.nxe:
        reserved |= XD  # "63 (XD): If IA32_EFER.NXE = 1, ...; otherwise, reserved (must be 0)"
    return entry & reserved


def reserved_in_pml4e(machine: Machine, entry: int) -> int:
    """Table 4-15, a PML4E that references a page-directory-pointer table."""
    if not entry & P:
        return 0
    reserved = PS  # "7 (PS): Reserved (must be 0)": no PML4E maps a page
    reserved |= bits(51, machine.maxphyaddr)
    if not machine.nxe:
        reserved |= XD
    return entry & reserved


def reserved_in_pdpte(machine: Machine, entry: int) -> int:
    """Tables 4-16 (maps a 1-GByte page, PS = 1) and 4-17 (references a page directory, PS = 0)."""
    if not entry & P:
        return 0
    reserved = bits(51, machine.maxphyaddr)
    if entry & PS:
        reserved |= bits(29, 13)  # bit 12 is PAT
    if not machine.gbpages:
        reserved |= PS  # "If 1-GByte pages are not supported ..., the PS flag is reserved"
    if not machine.nxe:
        reserved |= XD
    return entry & reserved


def reserved_in_pde(machine: Machine, entry: int) -> int:
    """Tables 4-18 (maps a 2-MByte page, PS = 1) and 4-19 (references a page table, PS = 0)."""
    if not entry & P:
        return 0
    reserved = bits(51, machine.maxphyaddr)
    if entry & PS:
        reserved |= bits(20, 13)  # bit 12 is PAT
    if not machine.nxe:
        reserved |= XD
    return entry & reserved


def reserved_in_pte(machine: Machine, entry: int) -> int:
    """Table 4-20, a PTE that maps a 4-KByte page. Its bit 7 is PAT, not PS."""
    if not entry & P:
        return 0
    reserved = bits(51, machine.maxphyaddr)
    if not machine.nxe:
        reserved |= XD
    return entry & reserved
