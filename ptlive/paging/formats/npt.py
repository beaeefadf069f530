"""Nested page tables of AMD's SVM: from guest-physical to system-physical addresses.

AMD64 Architecture Programmer's Manual, vol. 2, 15.25 "Nested Paging". They have the format of
the paging mode that the hypervisor itself was in at VMRUN (15.25.3), and differ from it in this:
an address is no linear address, so nothing is sign-extended (15.25.2), and "table walks for the
guest itself are always treated as user": what grants no user access grants nothing (15.25.5).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from ptlive.paging.format import Window

if TYPE_CHECKING:
    from ptlive.paging.format import Format

# What AMD has another name for (5.3 "Long-Mode Page Translation").
_SPEC = {"PDPTE": "PDPE"}
# What the formats of the hypervisor's modes are called when they are used so.
NAMES = {
    "x86-64-4level": "npt",
    "x86-64-5level": "npt-5level",
    "pae": "npt-pae",
    "32-bit": "npt-32-bit",
}


def nested(fmt: Format) -> Format:
    """Return the format of nested tables that have the entries of another one."""
    width = fmt.level(fmt.top).span_bits
    return replace(
        fmt,
        name=NAMES[fmt.name],
        levels=tuple(
            replace(level, spec=f"n{_SPEC.get(level.spec, level.spec)}") for level in fmt.levels
        ),
        windows=(Window(0, (1 << width) - 1),),
        outside=f"has more than the {width} bits that these tables translate",
        manual="APM",
    )
