"""Known deviations from the manual, applied in this one place.

Each names the accelerator, the reason and the source. A difference that none of
them explains is a disagreement.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from ptlive.analysis.report import Quirk
from ptlive.oracle.info_tlb import ADDRESS as INFO_TLB_ADDRESS
from ptlive.paging.access import ALLOWED, PAGE_FAULT, Fault
from ptlive.paging.format import Kind

if TYPE_CHECKING:
    from ptlive.arrays import U8, U32, U64, Bool
    from ptlive.oracle.observation import Observation
    from ptlive.paging.translate import Translations

#: Vectors and error codes of n accesses.
Faults: TypeAlias = "tuple[U8, U32]"

RESERVED_WITHOUT_P = Quirk(
    "tcg-rsvd-without-p",
    "TCG",
    "a fault on a reserved bit has RSVD=1 but P=0; the manual says P=1",
    "SDM vol. 3A 4.7; QEMU target/i386/tcg/sysemu/excp_helper.c, mmu_translate, do_fault_rsvd",
)
DEBUG_WALKER_RESERVED = Quirk(
    "debug-walker-ignores-reserved",
    "debug walker",
    "it translates through entries whose reserved bits make the MMU fault",
    "QEMU target/i386/helper.c, x86_cpu_get_phys_page_attrs_debug",
)
INFO_TLB_RESERVED = Quirk(
    "info-tlb-ignores-reserved",
    "info tlb",
    "it prints pages behind entries whose reserved bits make the MMU fault",
    "QEMU target/i386/monitor.c, tlb_info_la48 and tlb_info_la57",
)
INFO_TLB_50_BITS = Quirk(
    "info-tlb-50-bits",
    "info tlb",
    "of a physical address it prints bits 0 to 49",
    "SDM vol. 3A 4.1.4; QEMU target/i386/monitor.c, tlb_info_la48",
)
TCG_PAGE1GB = Quirk(
    "tcg-1g-without-pdpe1gb",
    "TCG",
    "it maps 1G pages although the CPU it shows has none",
    "SDM vol. 3A 4.1.4; QEMU target/i386/tcg/sysemu/excp_helper.c, mmu_translate",
)


def of_faults(
    accelerator: str, predicted: Faults, seen: Faults, page1gb: Bool
) -> dict[Quirk, Bool]:
    """Return where each quirk explains that an access went otherwise than predicted, bool[n].

    predicted, seen: vectors and error codes; page1gb: where the entry is malformed only
    because the CPU shows no 1G pages
    """
    if accelerator != "TCG":
        return {}
    (vector, code), (seen_vector, seen_code) = predicted, seen
    reserved = (vector == PAGE_FAULT) & ((code & np.uint32(Fault.RSVD)) != 0)
    again = seen_vector == PAGE_FAULT
    without_p = again & (seen_code == code & ~np.uint32(Fault.P))
    # Taken for a page it is reached, or denied for its rights: with P, and without RSVD.
    rights = seen_code & ~np.uint32(Fault.PK) == code & ~np.uint32(Fault.RSVD)
    as_page = (seen_vector == ALLOWED) | (again & rights)
    return {
        RESERVED_WITHOUT_P: reserved & without_p,
        TCG_PAGE1GB: reserved & page1gb & as_page,
    }


def of_fault(
    accelerator: str, vector: int, error_code: int, seen: Observation, page1gb: bool
) -> Quirk | None:
    """Return the quirk that explains why one access went otherwise than predicted."""
    found = of_faults(
        accelerator,
        (np.array([vector], dtype=np.uint8), np.array([error_code], dtype=np.uint32)),
        (np.array([seen.vector], dtype=np.uint8), np.array([seen.error_code], dtype=np.uint32)),
        np.array([page1gb]),
    )
    return next((quirk for quirk, explains in found.items() if explains[0]), None)


def of_debug_walk(kind: int, observed: int | None) -> Quirk | None:
    """Return the quirk that explains a translation by QEMU's debug walker."""
    malformed = kind == Kind.MALFORMED and observed is not None
    return DEBUG_WALKER_RESERVED if malformed else None


def of_lines(found: Translations, printed: Bool, pa: U64, expected: U64) -> dict[Quirk, Bool]:
    """Return where each quirk explains what `info tlb` printed, bool[n].

    found: what was predicted; printed: where it has a page at all; pa, expected: its address
    """
    wrong = found.mapped & printed & (pa != expected)
    return {
        INFO_TLB_RESERVED: printed & (found.kind == Kind.MALFORMED),
        INFO_TLB_50_BITS: wrong & (pa == expected & np.uint64(INFO_TLB_ADDRESS)),
    }
