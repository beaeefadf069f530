"""Faults in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ptlive.paging.faults import ALLOWED, GENERAL_PROTECTION, PAGE_FAULT, UNPREDICTABLE, Fault
from ptlive.paging.format import CANONICAL

if TYPE_CHECKING:
    from ptlive.paging.format import Format

_VECTORS = {6: "#UD", 8: "#DF", 12: "#SS", GENERAL_PROTECTION: "#GP", PAGE_FAULT: "#PF"}


def none_inside(fmt: Format) -> str:
    """Say that a format translates no address in some ranges."""
    if fmt.outside == CANONICAL:
        return f"no address in these ranges is canonical in {fmt.name}"
    return f"every address in these ranges {fmt.outside} in {fmt.name}"


def outcome_words(vector: int, error_code: int) -> str:
    """Return an outcome in short: allowed, #PF(0x7: P W/R U/S), #GP(0x0)."""
    if vector == ALLOWED:
        return "allowed"
    if vector == UNPREDICTABLE:
        return "unpredictable"
    name = _VECTORS.get(vector, f"vector {vector}")
    bits = f": {fault_bits(error_code)}" if vector == PAGE_FAULT and error_code else ""
    return f"{name}({error_code:#x}{bits})"


def fault_bits(error_code: int) -> str:
    """Return the names of the page-fault error code's set bits, as the manual writes them."""
    names = {Fault.WR: "W/R", Fault.US: "U/S", Fault.ID: "I/D"}
    return " ".join(names.get(bit, bit.name or "") for bit in Fault if error_code & bit)


def describe_fault(error_code: int) -> list[str]:
    """Return the error code's bits as sentences, low bits first (SDM vol. 3A figure 4-12)."""
    code = Fault(error_code & 0xFFFF)
    mode = "user" if Fault.US in code else "supervisor"
    without_p = "P=0: an entry of the path was not present"
    if Fault.RSVD in code:
        # The manual has no such code: with RSVD=1, P is 1 (SDM vol. 3A 4.7).
        without_p = "P=0, which QEMU's TCG says of a reserved bit where the manual says P=1"
    words = [
        "P=1: all entries of the path were present; rights or a reserved bit forbade it"
        if Fault.P in code
        else without_p,
        f"W/R={int(Fault.WR in code)}: {'a write' if Fault.WR in code else 'a read or a fetch'}",
        f"U/S={int(Fault.US in code)}: a {mode}-mode access",
    ]
    rest = {
        Fault.RSVD: "RSVD=1: a reserved bit was set in an entry of the path",
        Fault.ID: "I/D=1: an instruction fetch",
        Fault.PK: "PK=1: a protection key forbade the data access",
        Fault.SS: "SS=1: a shadow-stack access",
        Fault.HLAT: "HLAT=1: raised by hypervisor-managed linear-address translation",
        Fault.SGX: "SGX=1: an access-control requirement of SGX was violated",
    }
    return words + [text for bit, text in rest.items() if bit in code]
