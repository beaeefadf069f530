"""Whether an address space is Linux's, by its structure alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ptlive.analysis.areas import Area, Profile
from ptlive.analysis.linux.absent import absent, explain

if TYPE_CHECKING:
    from ptlive.arrays import U64, Memory
    from ptlive.paging.graph import Graph


def detect(
    graph: Graph, memory: Memory, ram: tuple[U64, U64] | None, *, insist: bool
) -> Profile | None:
    """Return the profile of a Linux that this address space belongs to, None if it is none."""
    if not insist:
        return None
    areas = (Area(0xFFFF_FFFF_8000_0000, 0xFFFF_FFFF_BFFF_FFFF, "kernel text", "fixed layout"),)
    return Profile("linux", areas, ("asked for",), absent, explain)
