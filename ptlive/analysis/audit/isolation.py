"""Page-table isolation: what the two roots of a process may have, and what not.

Linux gives each process two root tables, side by side in 8K: the kernel's, and the one that
user mode runs on, which has of the kernel only what entering it takes
(Documentation/arch/x86/pti.rst, arch/x86/mm/pti.c).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ptlive.analysis.audit.context import Context, has_leaves, part
from ptlive.analysis.audit.finding import Place, Seen, Severity, Skipped
from ptlive.analysis.audit.places import spans
from ptlive.errors import PtliveError
from ptlive.paging.select import Leaves, only

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ptlive.arrays import U64, Bool, Memory
    from ptlive.paging.format import Format
    from ptlive.paging.graph import Graph

NO_PAIR = "no two of these roots are an isolation pair"
# The user half of a pair stands right behind the kernel's (arch/x86/include/asm/pgtable.h,
# kernel_to_user_pgdp).
_HALF = 1 << 12

# What the user root needs of the kernel's half, by the names of a Linux profile.
ENTRY_AREAS = ("cpu entry area", "espfix", "LDT remap", "vsyscall", "kernel text")


def partner_of(fmt: Format, memory: Memory, root: int) -> int | None:
    """Return the other root of an isolation pair, if a root is one of two; reads both.

    Told by the lower half: the user root has the kernel root's entries, which the latter
    has made not executable, so that the kernel cannot go on in user mode with its own root.
    """
    level = fmt.level(fmt.top)
    size = level.entry_size << level.index_bits
    both = np.array([root & ~_HALF, root | _HALF], dtype=np.uint64)
    data, valid = memory.read(both, size)
    if not valid.all():
        return None
    kernel, user = data.view(level.entry).astype(np.uint64)[:, : 1 << (level.index_bits - 1)]
    there = fmt.present(user)
    if not there.any() or not fmt.present(kernel[there]).all():
        return None
    denies = np.uint64(fmt.right("execute").mask)
    same = level.table_address(kernel) == level.table_address(user)
    pair = same & ((kernel & denies) != 0) & ((user & denies) == 0)
    return root ^ _HALF if pair[there].all() else None


def user_root(context: Context) -> Iterator[Seen | Skipped]:
    """See what the user root of a pair maps of the kernel's half beyond the way into it."""
    users = [number for number, root in enumerate(context.roots) if root.half == "user"]
    if not users:
        yield Skipped(NO_PAIR)
        return
    graph = context.granted(_of_roots(context, context.upper, users), without=("user",))
    if not has_leaves(graph):
        return
    if context.profile is None:
        yield Seen(
            "the user root of an isolation pair maps supervisor pages; without a profile it "
            "is not known which of them it takes to enter the kernel",
            graph,
            severity=Severity.INFO,
        )
    else:
        yield Seen("the user root of an isolation pair maps memory of the kernel", graph)


def user_code(context: Context) -> Iterator[Seen | Skipped]:
    """See user memory that is executable under the kernel root of a pair."""
    kernels = [number for number, root in enumerate(context.roots) if root.half == "kernel"]
    if not kernels:
        yield Skipped(NO_PAIR)
        return
    graph = context.granted(_of_roots(context, context.lower, kernels), "execute", "user")
    if has_leaves(graph):
        yield Seen("under the kernel root of an isolation pair user memory is executable", graph)


def global_pages(context: Context) -> Iterator[Seen | Skipped]:
    """See global pages that only the kernel root of a pair has: they stay in the TLB."""
    pairs = [
        (number, root.partner)
        for number, root in enumerate(context.roots)
        if root.half == "kernel" and root.partner is not None
    ]
    if not pairs:
        yield Skipped(NO_PAIR)
        return
    for kernel, user in pairs:
        tops = context.graph.tops
        upper = tops.base >= np.uint64(1 << 63)
        mine = part(context.graph, (tops.space == kernel) & upper)
        theirs = part(context.graph, (tops.space == user) & upper)
        try:
            va, last_va = spans(only(mine, _is_global))
            user_va, user_last = spans(theirs)
        except PtliveError as error:  # no system's tables, and no end of regions
            yield Skipped(str(error))
            return
        places = [
            Place((kernel,), first, last)
            for first, last in _difference(va, last_va, user_va, user_last)
        ]
        if places:
            yield Seen(
                "global pages of the kernel are not in the user root: their translations stay "
                "in the TLB while user mode runs",
                places=tuple(places),
                count=len(places),
            )


def _is_global(leaf: Leaves) -> Bool:
    masks = [
        field.mask for field in leaf.floor.fmt.level(leaf.floor.lvl).fields if field.name == "G"
    ]
    marked: Bool = (leaf.entry & np.uint64(masks[0] if masks else 0)) != 0
    return marked


def _of_roots(context: Context, graph: Graph, roots: list[int]) -> Graph:
    """Return the part of a folded walk that some of the roots have."""
    some = np.any(context.folded.roots[:, roots], axis=1)
    assert isinstance(some, np.ndarray)
    return part(graph, some[graph.tops.space])


def _difference(va: U64, last_va: U64, less: U64, less_last: U64) -> Iterator[tuple[int, int]]:
    """Yield what of some ranges lies in none of the others; both are sorted and disjoint."""
    at = 0
    others = list(zip(less.tolist(), less_last.tolist(), strict=True))
    for first, last in zip(va.tolist(), last_va.tolist(), strict=True):
        while at < len(others) and others[at][1] < first:
            at += 1
        here, begin = at, first
        while here < len(others) and others[here][0] <= last and begin <= last:
            if others[here][0] > begin:
                yield begin, others[here][0] - 1
            begin = others[here][1] + 1
            here += 1
        if begin <= last:
            yield begin, last
