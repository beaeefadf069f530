"""The systems that we know: which of them an address space belongs to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ptlive.analysis.linux import detect as detect_linux
from ptlive.analysis.linux.named import with_symbols

if TYPE_CHECKING:
    from ptlive.analysis.profile import Profile
    from ptlive.arrays import U64, Memory
    from ptlive.paging.graph import Graph

__all__ = ["detect", "with_symbols"]


def detect(
    graph: Graph,
    memory: Memory,
    ram: tuple[U64, U64] | None = None,
    *,
    insist: str | None = None,
) -> Profile | None:
    """Return what is known of the system whose address space this is, None if nothing is.

    graph: a walk of one root, over any range; memory: what of the kernel's half has to be
        seen is walked again; ram: (first, last) of the stretches of RAM
    insist: the name of a profile that is to be taken whatever the structure says
    """
    return detect_linux.detect(graph, memory, ram, insist=insist == "linux")
