"""Known deviations from the manual, applied in this one place.

Each names the accelerator, the reason and the source. A difference that none of
them explains is a disagreement.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ptlive.analysis.report import Quirk
from ptlive.paging.access import ALLOWED, PAGE_FAULT, Fault
from ptlive.paging.format import Kind
from ptlive.paging.translate import NOT_TRANSLATED

if TYPE_CHECKING:
    from ptlive.oracle.observation import Observation

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
DEBUG_WALKER_NON_CANONICAL = Quirk(
    "debug-walker-ignores-canonical",
    "debug walker",
    "it translates addresses that are not canonical",
    "QEMU target/i386/helper.c, x86_cpu_get_phys_page_attrs_debug",
)
TCG_PAGE1GB = Quirk(
    "tcg-1g-without-pdpe1gb",
    "TCG",
    "it maps 1G pages although the CPU it shows has none",
    "SDM vol. 3A 4.1.4; QEMU target/i386/tcg/sysemu/excp_helper.c, mmu_translate",
)


def of_fault(
    accelerator: str, vector: int, error_code: int, seen: Observation, page1gb_only: bool
) -> Quirk | None:
    """Return the quirk that explains why an access went otherwise than predicted.

    page1gb_only: the entry is malformed only because the CPU shows no 1G pages
    """
    if accelerator != "TCG" or vector != PAGE_FAULT or not error_code & Fault.RSVD:
        return None
    if seen.vector == PAGE_FAULT and seen.error_code == error_code & ~Fault.P:
        return RESERVED_WITHOUT_P
    # Taken for a page it is reached, or denied for its rights: with P, and without RSVD.
    as_page = seen.vector == ALLOWED or (
        seen.vector == PAGE_FAULT and seen.error_code & ~Fault.PK == error_code & ~Fault.RSVD
    )
    return TCG_PAGE1GB if page1gb_only and as_page else None


def of_debug_walk(kind: int, observed: int | None) -> Quirk | None:
    """Return the quirk that explains a translation by QEMU's debug walker."""
    if observed is None:
        return None
    return {
        int(Kind.MALFORMED): DEBUG_WALKER_RESERVED,
        NOT_TRANSLATED: DEBUG_WALKER_NON_CANONICAL,
    }.get(kind)
