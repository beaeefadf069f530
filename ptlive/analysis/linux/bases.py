"""What Linux moves at each boot, found by what only that area looks like.

No symbol and no register tells the bases, but the areas do: the direct map maps all RAM
in order, the memory map has one `struct page` for each frame of it, and the top-level
tables of the vmalloc area are all there from the start.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ptlive.analysis.areas import Area
from ptlive.analysis.linux.layout import (
    FRAME,
    RANDOM_STEP,
    SECTION,
    STRUCT_PAGE,
    Layout,
    T,
)
from ptlive.paging.fields import size_name
from ptlive.paging.graph import ranges

if TYPE_CHECKING:
    from ptlive.analysis.linux.leaves import KernelLeaves
    from ptlive.arrays import U64, Index
    from ptlive.paging.graph import Graph

# Less than this is no map of all RAM: the kernel itself does not boot in so little.
DIRECT_LEAST = 16 << 20
# So many places are tried for the memory map; a kernel has a handful that begin as it does.
CANDIDATES = 64

_STEP = np.uint64(RANDOM_STEP - 1)
_PAGES = STRUCT_PAGE * SECTION // FRAME  # bytes of `struct page`s for one section


class Direct(NamedTuple):
    """The direct map: its area, and which sections of memory it maps, ascending."""

    area: Area
    sections: U64


def direct_map(leaves: KernelLeaves, layout: Layout, ram: tuple[U64, U64] | None) -> Direct | None:
    """Find where all RAM is mapped in order, from physical address 0 on."""
    here = leaves.within(layout.direct, layout.random_end - 1)
    here = here.take(((here.va - here.pa) & _STEP) == 0)
    base = here.va - here.pa
    here = here.take((base >= np.uint64(layout.direct)) & (base < np.uint64(layout.random_end)))
    if not len(here):
        return None
    bases, which = np.unique(here.va - here.pa, return_inverse=True)
    total = np.bincount(which, weights=here.size.astype(np.float64))
    # init_mem_mapping (arch/x86/mm/init.c) maps the first megabyte before anything else.
    from_zero = np.isin(bases, here.va[here.pa == 0])
    total[~from_zero] = 0
    best = int(np.argmax(total))
    if total[best] < DIRECT_LEAST:
        return None
    chosen = here.take(which == best)
    chosen_base, mapped = int(bases[best]), int(total[best])
    last_pa = int(chosen.last_va[-1]) - chosen_base
    told = f"VA-PA = {chosen_base:#x} in {len(chosen):,} leaves from physical 0 to {last_pa:#x}"
    if ram is not None:
        told += f": {_shared(chosen, ram)}"
    else:
        told += f": {mapped >> 20}M"
    # kernel_randomize_memory keeps at least as many TB free for it as there are of memory.
    size = min(-(-(last_pa + 1) // T) * T, layout.direct_bytes)
    moved = _moved(chosen_base, layout.direct)
    area = Area(chosen_base, chosen_base + size - 1, "direct map", f"{told}; {moved}")
    first, last = chosen.pa // np.uint64(SECTION), (chosen.pa + chosen.size - np.uint64(1))
    return Direct(area, _covered(first, last // np.uint64(SECTION)))


def memory_map(leaves: KernelLeaves, layout: Layout, direct: Direct, last: int) -> Area | None:
    """Find the `struct page`s of the frames that the direct map maps: as many, and as placed.

    last: the last address where they may be
    """
    here = leaves.within(direct.area.last_va + 1, last)
    # Memory that is there has its pages, and as good as none that is not.
    # At the start of the map is the page of frame 0; before it, a gap of KASLR's padding.
    starts = here.va[(here.va & _STEP) == 0]
    before = np.isin(starts - np.uint64(1), here.last_va)
    size = int(direct.sections[-1] + np.uint64(1)) * _PAGES
    found: list[tuple[int, int]] = []
    for start in starts[~before][:CANDIDATES].tolist():
        full = _full(here.within(start, min(start + max(size, T) - 1, last)), start)
        extra = full.size - direct.sections.size
        if np.isin(direct.sections, full).all() and extra <= direct.sections.size:
            found.append((extra, start))
    if not found:
        return None
    extra, start = min(found)
    chosen = here.within(start, start + size - 1)
    sizes = [size_name(size.bit_length() - 1) for size in np.unique(chosen.size).tolist()]
    told = (
        f"{len(chosen):,} leaves ({', '.join(sizes)}) hold {STRUCT_PAGE} bytes for each frame of "
        f"the {direct.sections.size:,} sections of {SECTION >> 20}M that the direct map covers"
    )
    if extra:
        told += f", and {extra:,} more"
    size = min(-(-size // T) * T, last + 1 - start)
    return Area(start, start + size - 1, "vmemmap", f"{told}; {_moved(start, layout.vmemmap)}")


def vmalloc(
    graph: Graph, leaves: KernelLeaves, layout: Layout, direct: Direct, last: int
) -> Area | None:
    """Find the vmalloc area: its lowest mapping, and its top-level tables.

    preallocate_vmalloc_pages (arch/x86/mm/init_64.c, from 5.8 on) makes them all at boot;
    addresses are given out from the lowest up, so something is mapped at its start.

    last: the last address where it may end
    """
    here = leaves.within(direct.area.last_va + 1, last)
    shift = graph.fmt.level(graph.fmt.top).shift
    top = _top(graph)
    if not len(here):
        return _unseen(graph, layout, direct, last)
    base = int(here.va[0] & ~_STEP)
    end = min(base + layout.vmalloc_bytes - 1, last)
    index = (1 << graph.fmt.level(graph.fmt.top).index_bits) - 1
    wanted = np.arange(base >> shift & index, (end >> shift & index) + 1)
    there = int(np.isin(wanted, top).sum())
    told = (
        f"the lowest mapping behind the direct map is at {int(here.va[0]):#x}; "
        f"{there} of {wanted.size} top-level entries present"
    )
    return Area(base, end, "vmalloc", f"{told}; {_moved(base, layout.vmalloc)}")


def _unseen(graph: Graph, layout: Layout, direct: Direct, last: int) -> Area | None:
    """Return where the vmalloc area must be when nothing is mapped in it."""
    root = graph.fmt.level(graph.fmt.top)
    shift = root.shift
    entries = [(1 << 64) - (1 << root.span_bits) + (i << shift) for i in _top(graph).tolist()]
    behind = [va for va in entries if direct.area.last_va < va <= last]
    longest: list[int] = []
    run: list[int] = []
    for va in behind:
        run = [*run, va] if run and va == run[-1] + (1 << shift) else [va]
        longest = max(longest, run, key=len)
    if len(longest) < layout.vmalloc_bytes >> shift:
        return None
    end = min(longest[-1] + (1 << shift) - 1, last)
    told = f"base not seen: nothing is mapped in it; {len(longest)} top-level entries in a row"
    return Area(longest[0], end, "vmalloc", told)


def _top(graph: Graph) -> Index:
    """Return the indices of the root table's entries that refer to tables, ascending."""
    floor = graph.floors[0]
    return np.unique(floor.index(np.arange(floor.entry.size)).astype(np.intp))


def _covered(first: U64, last: U64) -> U64:
    """Return all numbers that lie in one of these ranges, ascending; ends included."""
    count = (last - first).astype(np.intp) + 1
    return np.unique(ranges(first.astype(np.intp), count)).astype(np.uint64)


def _full(leaves: KernelLeaves, base: int) -> U64:
    """Return which stretches of one section's pages, from `base` on, are mapped throughout."""
    if not len(leaves):
        return leaves.va
    at, size = leaves.va - np.uint64(base), leaves.size
    large = size >= np.uint64(_PAGES)
    first = at[large] // np.uint64(_PAGES)
    whole = _covered(first, (at + size - np.uint64(1))[large] // np.uint64(_PAGES))
    small, which = np.unique(at[~large] // np.uint64(_PAGES), return_inverse=True)
    total = np.bincount(which, weights=size[~large].astype(np.float64), minlength=small.size)
    return np.union1d(whole, small[total == _PAGES])


def _shared(leaves: KernelLeaves, ram: tuple[U64, U64]) -> str:
    """Say how much of the RAM some leaves map."""
    last_pa = leaves.pa + leaves.size - np.uint64(1)
    mapped = total = 0
    for first, last in zip(*ram, strict=True):
        total += int(last) - int(first) + 1
        touching = (leaves.pa <= last) & (last_pa >= first)
        low, high = np.maximum(leaves.pa[touching], first), np.minimum(last_pa[touching], last)
        mapped += int((high - low + np.uint64(1)).sum())
    return f"{mapped / (1 << 20):,.1f}M of {total / (1 << 20):,.1f}M of RAM"


def _moved(base: int, default: int) -> str:
    """Say whether a base was randomised."""
    if base == default:
        return "where it is without KASLR"
    return f"randomised, a multiple of {RANDOM_STEP >> 30}G"
