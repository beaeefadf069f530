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

#: The systems by name, in the order in which they are looked for.
_SYSTEMS = {"linux": detect_linux.detect}


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
    insist: the name of a profile that is to be taken whatever the structure says; KeyError
        if there is none of that name
    """
    wanted = _SYSTEMS if insist is None else {insist: _SYSTEMS[insist]}
    seen = (look(graph, memory, ram, insist=insist is not None) for look in wanted.values())
    return next((profile for profile in seen if profile is not None), None)
