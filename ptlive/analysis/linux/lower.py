"""The lower half of an address space that is no process': nothing in it is for user mode.

The kernel has a few such roots. `trampoline_pgd` (arch/x86/realmode/init.c) is what a starting
CPU turns paging on with, and `efi_mm` (arch/x86/platform/efi/efi_64.c) what the firmware's
services are called in; both map physical memory at its own address there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ptlive.analysis.areas import Area
from ptlive.analysis.roots import halves
from ptlive.arrays import u64
from ptlive.paging import rights
from ptlive.paging.format import Kind
from ptlive.paging.paths import leaves
from ptlive.paging.walk import walk

if TYPE_CHECKING:
    from ptlive.arrays import Memory
    from ptlive.paging.format import Format

# So many leaves are looked at: 128G of RAM by 2M, and every frame of 256M by 4K.
LIMIT = 1 << 16


def no_process(fmt: Format, memory: Memory, root: int) -> bool:
    """Tell whether something is mapped in the lower half of a root, and nothing for user mode.

    A process' entries grant user mode there, whatever it has mapped (pgd_populate in
    arch/x86/include/asm/pgalloc.h: _PAGE_TABLE), so that the root table alone tells.
    """
    roots = u64(root)
    data, valid = memory.read(roots, halves.root_bytes(fmt))
    entries = halves.entries(fmt, data)[0, : halves.split(fmt)]
    entries = entries[fmt.present(entries)]
    top = np.full(entries.size, rights.unrestricted(fmt), dtype=np.uint64)
    if not valid[0] or not entries.size:
        return False
    own = fmt.level(fmt.top).rights(entries)
    return not rights.granted(fmt, rights.fold(fmt, top, own), "user").any()


def lower_half(fmt: Format, memory: Memory, root: int) -> Area | None:
    """Return what the lower half of a root is; None where it may be a process'."""
    if not no_process(fmt, memory, root):
        return None
    roots = u64(root)
    window = fmt.windows[0]
    graph = walk(fmt, memory, roots, (u64(window.va), u64(window.last_va)))
    told = f"not for user mode: {graph.reached(Kind.LEAF):,} pages"
    same = [bool((chunk.va == chunk.pa).all()) for chunk in leaves(graph, LIMIT)]
    if not same or not all(same) or graph.reached(Kind.LEAF) > LIMIT:
        return Area(window.va, window.last_va, "kernel, lower half", told)
    told += ", all at their physical addresses, as the trampoline and EFI have them"
    return Area(window.va, window.last_va, "identity map", told)
