"""The modes of 32-bit linear addresses: sections 4.3 (32-bit paging) and 4.4 (PAE paging).

The same plain reading as `walk` and `formats` have of 4-level paging: a paragraph of code per
level. Access rights (4.6), faults (4.7) and flags are the same as there: `Walk` comes out, and
`rights.judge` takes it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

from .bits import PS, XD, P, bits, field
from .terms import Hole, Leaf, ReadQword, Step, Walk
from .walk import mapped, use


@dataclass(frozen=True)
class Narrow:
    """What decides how addresses of 32 bits are translated."""

    pae: bool  # CR4.PAE
    pse: bool  # CR4.PSE, of 32-bit paging alone
    pse36: bool  # CPUID.01H:EDX.PSE-36[bit 17]
    nxe: bool  # IA32_EFER.NXE, of PAE paging alone
    maxphyaddr: int


def read_dword(read_qword: ReadQword, pa: int) -> int | None:
    """Read 4 bytes at an aligned address."""
    qword = read_qword(pa & ~7)
    return None if qword is None else field(qword, 63, 32) if pa & 4 else field(qword, 31, 0)


# Table 4-4: "M" of a 4-MByte page is the minimum of 40 and MAXPHYADDR with PSE-36, else 32.
def _m(machine: Narrow) -> int:
    return min(40, machine.maxphyaddr) if machine.pse36 else 32


def reserved_in_pde_32(machine: Narrow, pde: int) -> int:
    """Table 4-4: of a PDE that maps a 4-MByte page bits 21:(M-19); any other has none."""
    if not pde & P or not (machine.pse and pde & PS):
        return 0
    return pde & bits(21, _m(machine) - 19)


# Table 4-8: 2:1, 8:5 and 63:M. "If any of these PDPTEs ... sets a reserved bit, the MOV to CR3
# instruction causes a general-protection exception" (4.4.1).
def reserved_in_pae_pdpte(machine: Narrow, pdpte: int) -> int:
    """Table 4-8."""
    if not pdpte & P:
        return 0
    return pdpte & (bits(2, 1) | bits(8, 5) | bits(63, machine.maxphyaddr))


def reserved_in_pae_pde(machine: Narrow, pde: int) -> int:
    """Tables 4-9 (maps a 2-MByte page) and 4-10 (references a page table)."""
    if not pde & P:
        return 0
    reserved = bits(62, machine.maxphyaddr)
    if pde & PS:
        reserved |= bits(20, 13)  # bit 12 is PAT
    if not machine.nxe:
        reserved |= XD
    return pde & reserved


def reserved_in_pae_pte(machine: Narrow, pte: int) -> int:
    """Table 4-11."""
    if not pte & P:
        return 0
    return pte & (bits(62, machine.maxphyaddr) | (0 if machine.nxe else XD))


def translate(machine: Narrow, read_qword: ReadQword, cr3: int, va: int) -> Walk:
    """Translate one address of 32 bits."""
    if machine.pae:
        return _translate_pae(machine, read_qword, cr3, va)
    return _translate_32(machine, read_qword, cr3, va)


def _translate_32(machine: Narrow, read_qword: ReadQword, cr3: int, va: int) -> Walk:
    path: list[Step] = []
    # The PDE: bits 31:12 are from CR3, bits 11:2 are bits 31:22 of the linear address.
    pde_pa = (cr3 & bits(31, 12)) | field(va, 31, 22) << 2
    pde = use(path, 2, pde_pa, read_dword(read_qword, pde_pa), partial(reserved_in_pde_32, machine))
    if isinstance(pde, Walk):
        return pde
    # "If CR4.PSE = 1 and the PDE's PS flag is 1, the PDE maps a 4-MByte page": bits 39:32 are
    # bits 20:13 of the PDE, bits 31:22 bits 31:22 of the PDE, bits 21:0 the linear address.
    if machine.pse and pde & PS:
        high = field(pde, _m(machine) - 20, 13) << 32 if _m(machine) > 32 else 0
        pa = high | (pde & bits(31, 22)) | (va & bits(21, 0))
        return _mapped(path, pa, 0x400000)
    # The PTE: bits 31:12 are from the PDE, bits 11:2 are bits 21:12 of the linear address.
    pte_pa = (pde & bits(31, 12)) | field(va, 21, 12) << 2
    pte = use(path, 1, pte_pa, read_dword(read_qword, pte_pa))
    if isinstance(pte, Walk):
        return pte
    return _mapped(path, (pte & bits(31, 12)) | (va & bits(11, 0)), 0x1000)


def _translate_pae(machine: Narrow, read_qword: ReadQword, cr3: int, va: int) -> Walk:
    path: list[Step] = []
    # PDPTEi, where i is bits 31:30 of the linear address; the table is at bits 31:5 of CR3.
    pdpte_pa = (cr3 & bits(31, 5)) | field(va, 31, 30) << 3
    pdpte = use(path, 3, pdpte_pa, read_qword(pdpte_pa), partial(reserved_in_pae_pdpte, machine))
    if isinstance(pdpte, Walk):
        return pdpte
    # The PDE: bits 51:12 are from PDPTEi, bits 11:3 are bits 29:21 of the linear address.
    pde_pa = (pdpte & bits(51, 12)) | field(va, 29, 21) << 3
    pde = use(path, 2, pde_pa, read_qword(pde_pa), partial(reserved_in_pae_pde, machine))
    if isinstance(pde, Walk):
        return pde
    # "If the PDE's PS flag is 1, the PDE maps a 2-MByte page", whatever CR4.PSE is.
    if pde & PS:
        return _mapped(path, (pde & bits(51, 21)) | (va & bits(20, 0)), 0x200000)
    # The PTE: bits 51:12 are from the PDE, bits 11:3 are bits 20:12 of the linear address.
    pte_pa = (pde & bits(51, 12)) | field(va, 20, 12) << 3
    pte = use(path, 1, pte_pa, read_qword(pte_pa), partial(reserved_in_pae_pte, machine))
    if isinstance(pte, Walk):
        return pte
    return _mapped(path, (pte & bits(51, 12)) | (va & bits(11, 0)), 0x1000)


# A PDPTE of PAE paging has no R/W, U/S and XD: "the PDPTEs do not control access rights" is
# what 4.6.1 says by asking "every paging-structure entry" only of those that have the flags.
def _mapped(path: list[Step], pa: int, page_size: int) -> Walk:
    return mapped(path, [step for step in path if step.level < 3], pa, page_size)


def enumerate_slots(machine: Narrow, read_qword: ReadQword, cr3: int) -> Iterator[Leaf | Hole]:
    """List every leaf and every hole, by walking to each in turn."""
    va = 0
    while va < 1 << 32:
        walk = translate(machine, read_qword, cr3, va)
        if not walk.path:
            raise ValueError(f"the root table at {cr3:#x} is no memory")
        last = walk.path[-1]
        spans = {1: 12, 2: 21, 3: 30} if machine.pae else {1: 12, 2: 22}
        end = va | bits(spans[last.level] - 1, 0)
        here = (va, end, last.level)
        if walk.kind == "leaf":
            assert walk.pa is not None
            rights = (bool(walk.write), bool(walk.user), bool(walk.execute))
            yield Leaf(*here, walk.pa, last.entry_pa, last.entry, *rights)
        else:
            yield Hole(*here, last.entry_pa, last.entry, walk.kind)
        va = end + 1
