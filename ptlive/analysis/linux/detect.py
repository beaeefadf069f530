"""Whether an address space is Linux's, by its structure alone, and what lies where in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ptlive.analysis.areas import Area
from ptlive.analysis.linux import bases
from ptlive.analysis.linux.absent import absent, explain
from ptlive.analysis.linux.image import image, modules
from ptlive.analysis.linux.layout import CPU_ENTRY_AREA, FRAME, LAYOUTS, USER_HALF
from ptlive.analysis.linux.leaves import kernel_leaves
from ptlive.analysis.linux.lower import lower_half
from ptlive.analysis.profile import Profile
from ptlive.errors import PtliveError
from ptlive.paging import select
from ptlive.paging.format import Kind
from ptlive.paging.walk import walk

if TYPE_CHECKING:
    from ptlive.analysis.linux.layout import Layout, Slot
    from ptlive.analysis.linux.leaves import KernelLeaves
    from ptlive.arrays import U64, Memory
    from ptlive.paging.graph import Graph

# A shadow maps nearly all of its range, whatever RAM there is; nothing else does.
SHADOW_SHARE = 0.5


@dataclass(frozen=True)
class _Found:
    """What was recognised. signs: in sentences, of what only Linux has, by name."""

    root: int
    areas: tuple[Area, ...]
    signs: dict[str, str]

    @property
    def enough(self) -> bool:
        """Whether this is a Linux with its kernel mapped.

        A direct map at the top of memory and an image in the last 2G is how FreeBSD looks,
        too; the memory map and the cpu entry area are Linux's alone.
        """
        only_linux = {"vmemmap", "cpu entry area"} & set(self.signs)
        return {"direct map", "kernel text"} <= set(self.signs) and bool(only_linux)


def detect(
    graph: Graph, memory: Memory, ram: tuple[U64, U64] | None, *, insist: bool
) -> Profile | None:
    """Return the profile of a Linux that this address space belongs to, None if it is none.

    graph: a walk of one root; memory: the kernel's half is walked from there again, and
        from the root beside it
    ram: (first, last) of the stretches of RAM, if they are known
    insist: return the layout even if the structure does not show a Linux
    """
    layout = LAYOUTS.get(graph.fmt.top) if graph.fmt.name.startswith("x86-64") else None
    if layout is None or not graph.floors:
        return None
    found = _find(graph, memory, layout, ram)
    evidence = tuple(f"{name}: {text}" for name, text in found.signs.items())
    if not found.enough:
        pair = _kernel_half(graph, memory, layout, ram)
        if pair is not None:
            found, told = pair
            evidence = (told, *(f"{name}: {text}" for name, text in found.signs.items()))
        elif insist:
            evidence = ("asked for; the structure does not show it", *evidence)
        else:
            return None
    kernel_from = graph.fmt.windows[-1].va
    return Profile("linux", found.areas, evidence, absent, explain, kernel_from, found.root)


def _find(graph: Graph, memory: Memory, layout: Layout, ram: tuple[U64, U64] | None) -> _Found:
    """Recognise what can be in the address space of a graph's root."""
    # A process may have millions of leaves that say nothing of the kernel.
    window = graph.fmt.windows[-1]
    graph = _walk(graph, memory, window.va, window.last_va)
    leaves = kernel_leaves(graph)
    areas: list[Area] = []
    last = layout.random_end - 1
    shadow = _shadow(graph, memory, layout)
    if shadow is not None:
        areas.append(shadow)
        last = shadow.va - 1
    direct = bases.direct_map(leaves, layout, ram)
    if direct is not None:
        areas.append(direct.area)
        pages = bases.memory_map(leaves, layout, direct, last)
        if pages is not None:
            areas.append(pages)
            last = pages.va - 1
        dynamic = bases.vmalloc(graph, leaves, layout, direct, last)
        if dynamic is not None:
            areas.append(dynamic)
    parts = image(leaves)
    areas += [*parts, modules(leaves, parts)]
    signs = {area.name: area.evidence for area in areas if area.name in _SIGNS}
    entry = _entry_area(leaves)
    if entry:
        signs["cpu entry area"] = entry
    low = lower_half(graph.fmt, memory, _root(graph))
    areas += [low] if low else []
    for slot in layout.slots:
        of_user = slot.va <= graph.fmt.windows[0].last_va
        if of_user and low:
            continue
        if of_user:
            told = "different in each process"
        elif slot.va == CPU_ENTRY_AREA and entry:
            told = entry
        else:
            told = _mapped(graph, memory, slot)
        areas.append(Area(slot.va, slot.last_va, slot.name, f"{slot.what}; {told}"))
    return _Found(_root(graph), _disjoint(areas), signs)


_SIGNS = ("direct map", "vmemmap", "vmalloc", "kernel text", "KASAN shadow")


def _kernel_half(
    graph: Graph, memory: Memory, layout: Layout, ram: tuple[U64, U64] | None
) -> tuple[_Found, str] | None:
    """Look at the kernel's half of an isolated pair, if this is the user's half of one."""
    root = _root(graph)
    if not root & USER_HALF:
        return None
    other = root - USER_HALF
    window = graph.fmt.windows[-1]
    try:
        kernel = _walk(graph, memory, window.va, window.last_va, other)
    except PtliveError:
        return None
    own = _walk(graph, memory, window.va, window.last_va)
    shared = sum(
        np.intersect1d(ours.nodes.table, theirs.nodes.table).size
        for ours, theirs in zip(own.floors[1:], kernel.floors[1:], strict=False)
    )
    found = _find(kernel, memory, layout, ram)
    if not found.enough or not shared:
        return None
    told = (
        f"user half of an isolated pair: {other:#x} beside it is a kernel's root, and they share "
        f"{shared} tables; what follows was seen there"
    )
    return _Found(found.root, tuple(map(_elsewhere, found.areas)), found.signs), told


def _elsewhere(area: Area) -> Area:
    """Say of an area that it was seen from the other half of a pair."""
    return area._replace(evidence=f"in the kernel's half: {area.evidence}")


def _entry_area(leaves: KernelLeaves) -> str | None:
    """Say why this is the cpu entry area, None if it is none.

    It begins with the interrupt descriptor table, once for all CPUs and read-only
    (CPU_ENTRY_AREA_RO_IDT in asm/cpu_entry_area.h). Elsewhere that address is the start
    of the kernel's heap.
    """
    here = leaves.within(CPU_ENTRY_AREA, CPU_ENTRY_AREA + FRAME - 1)
    if len(here) != 1 or int(here.size[0]) != FRAME:
        return None
    if here.writable[0] or here.executable[0]:
        return None
    return f"the first page, the IDT's, is only read, frame {int(here.pa[0]):#x}"


def _shadow(graph: Graph, memory: Memory, layout: Layout) -> Area | None:
    """Find KASAN's shadow: nearly all of its range is mapped, mostly to a few pages."""
    part = _walk(graph, memory, layout.kasan, layout.kasan_last)
    mapped = 0.0
    for floor in part.floors:
        some = select.leaves(floor)
        mapped += float((np.exp2(some.bits.astype(np.float64)) * some.paths).sum())
    total = layout.kasan_last - layout.kasan + 1
    if mapped < SHADOW_SHARE * total:
        return None
    told = f"{mapped / total:.0%} mapped, by {part.leaves:,} leaves"
    return Area(layout.kasan, layout.kasan_last, "KASAN shadow", told)


def _mapped(graph: Graph, memory: Memory, slot: Slot) -> str:
    """Say how much is mapped in a slot."""
    part = _walk(graph, memory, slot.va, slot.last_va)
    count, reached = part.leaves, part.reached(Kind.LEAF)
    if not count:
        return "nothing is mapped"
    again = f", reached {reached:,} times" if reached > count else ""
    return f"{count:,} {'leaf' if count == 1 else 'leaves'}{again}"


def _walk(graph: Graph, memory: Memory, va: int, last_va: int, root: int | None = None) -> Graph:
    """Walk the same root, or another one, over one range."""
    roots = np.array([_root(graph) if root is None else root], dtype=np.uint64)
    ends = np.array([va], dtype=np.uint64), np.array([last_va], dtype=np.uint64)
    return walk(graph.fmt, memory, roots, ends)


def _root(graph: Graph) -> int:
    """Return the root that was walked."""
    return int(graph.floors[0].nodes.table[0])


def _disjoint(areas: list[Area]) -> tuple[Area, ...]:
    """Sort areas, and end each where the next one begins."""
    areas = sorted(area for area in areas if area.va <= area.last_va)
    following = [area.va for area in areas[1:]]
    cut = [
        area._replace(last_va=min(area.last_va, va - 1))
        for area, va in zip(areas, following, strict=False)
    ]
    return (*cut, *areas[-1:])
