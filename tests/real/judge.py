"""What ptlive says of a guest, held against what the guest's kernel says: lists of differences."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

from ptlive.analysis.linux.absent import absent
from ptlive.answers.spaces import found_roots
from ptlive.arrays import u64
from ptlive.memory.ram_map import Kind
from ptlive.paging.paths import holes, leaves
from ptlive.paging.rights import names
from ptlive.space import open_space
from tests.real.world import options

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ptlive.analysis.areas import Area
    from ptlive.analysis.roots.find import FoundRoots
    from ptlive.arrays import U64
    from ptlive.guests.said.census import Mapping, Process
    from ptlive.paging.graph import Graph
    from ptlive.space import AddressSpace
    from ptlive.target.attach import Target
    from tests.real.world import World

PAGE_BITS = np.uint64(12)
LOWER_HALF = u64(0), u64((1 << 63) - 1)


def spaces(target: Target, roots: list[int]) -> Iterator[AddressSpace]:
    for root in roots:
        yield open_space(target.cpus[0], target.memory, target.ram_map, root=root)


def pages(graph: Graph) -> tuple[U64, U64]:
    """Return linear addresses and PFNs of all that a walk reaches, 4K by 4K."""
    vas, pfns = [u64()], [u64()]
    for chunk in leaves(graph):
        count = (np.uint64(1) << (chunk.bits.astype(np.uint64) - PAGE_BITS)).astype(np.intp)
        start = np.cumsum(count) - count
        within = (np.arange(count.sum()) - np.repeat(start, count)).astype(np.uint64)
        vas.append(np.repeat(chunk.va, count) + (within << PAGE_BITS))
        pfns.append(np.repeat(chunk.pa >> PAGE_BITS, count) + within)
    return np.concatenate(vas), np.concatenate(pfns)


def process_differences(space: AddressSpace, process: Process) -> list[str]:
    """Hold every page of a process's lower half, and of its mappings, against pagemap."""
    va, pfn = pages(space.walk(LOWER_HALF))
    order = np.argsort(va)
    va, pfn = va[order], pfn[order]
    found = []
    explained = 0
    for one in process.mappings:
        first = int(np.searchsorted(va, np.uint64(one.va)))
        end = int(np.searchsorted(va, np.uint64(one.last_va), side="right"))
        explained += end - first
        found += _mapping_differences(one, va[first:end], pfn[first:end])
    if explained != va.size:
        found.append(f"{process.name}: {va.size - explained} pages in no mapping of the kernel's")
    known = dict(zip(va.tolist(), pfn.tolist(), strict=True))
    dead = [(one.va, one.last_va) for one in process.mappings if not one.mapped]
    for at, frame in process.frames:
        expected = None if any(low <= at <= high for low, high in dead) else frame
        if known.get(at) != expected:
            found.append(f"{process.name} {at:#x}: frame {frame:#x}, walked {known.get(at)}")
    return found


def _mapping_differences(one: Mapping, va: U64, pfn: U64) -> list[str]:
    if not one.told or one.va >> 63:
        return []
    index = ((va - np.uint64(one.va)) >> PAGE_BITS) + np.uint64(1)
    walked = va.size, int((index * pfn).sum(dtype=np.uint64))
    said = (one.present, one.weighted) if one.mapped else (0, 0)
    if walked == said:
        return []
    return [f"pid {one.pid} {one.va:#x} {one.prot} {one.name}: {said}, walked {walked}"]


def right_differences(space: AddressSpace, process: Process, *, executable: bool) -> list[str]:
    """Hold the rights of a process's pages against those of its mappings.

    A page that may be written is write-protected while it is shared, so that only more than
    what maps says is a difference; code is executable in every page, but for the kernel's
    half of an isolated pair (not `executable`), where nothing of the user's is.
    """
    found = []
    for chunk in leaves(space.walk(LOWER_HALF)):
        rights = {
            name: np.array([names(space.format, int(one))[name] for one in chunk.rights])
            for name in ("user", "write", "execute")
        }
        for one in process.mappings:
            inside = (chunk.va >= np.uint64(one.va)) & (chunk.va <= np.uint64(one.last_va))
            wrong = {
                "user": ~rights["user"],
                "write": rights["write"] if one.prot[1] == "-" else np.False_,
                "execute": rights["execute"] != (executable and one.prot[2] == "x"),
            }
            found += [
                f"{process.name} {one.va:#x} {one.prot}: {int(np.sum(inside & which))} with {name}"
                for name, which in wrong.items()
                if np.any(inside & which)
            ]
    return found


def absent_differences(space: AddressSpace, process: Process) -> list[str]:
    """Hold what is said of entries that are not present against pagemap.

    It calls what is swapped out so, and written pages of PROT_NONE mappings present.
    """
    graph = space.walk(LOWER_HALF)
    said = {one.va: {"swapped out": one.swapped} for one in process.mappings}
    counted: dict[int, dict[str, int]] = {one.va: {"swapped out": 0} for one in process.mappings}
    for one in process.mappings:
        if not one.mapped:
            said[one.va]["PROT_NONE"], counted[one.va]["PROT_NONE"] = one.present, 0
    for chunk in holes(graph):
        rows = np.flatnonzero(chunk.entry != 0)
        for row in rows:
            codes, kinds = absent(int(chunk.lvl[row]), chunk.entry[row : row + 1])
            va, pages = int(chunk.va[row]), 1 << (int(chunk.bits[row]) - 12)
            inside = next((m.va for m in process.mappings if m.va <= va <= m.last_va), None)
            if inside is None:
                return [f"{process.name} {va:#x}: an entry in no mapping"]
            name = kinds[int(codes[0])]
            counted[inside][name] = counted[inside].get(name, 0) + pages
    return [
        f"{process.name} {va:#x}: {said[va]}, walked {counted[va]}"
        for va in said
        if said[va] != counted[va]
    ]


def roots_of(world: World) -> FoundRoots:
    connection = world.connection
    return found_roots(connection.target, options(world.guest), connection.scanned)


def root_differences(world: World, found: FoundRoots) -> list[str]:
    """Hold the roots that are shown against those that the kernel has, one by one."""
    shown = {one.root: one for one in found.roots if one.shown}
    differences = []
    processes = {root for one in world.census.users for root in world.halves(one.root)}
    for one in world.census.users:
        for half, root in enumerate(world.halves(one.root)):
            kind = "user half" if half else "process"
            if root not in shown:
                differences.append(f"{one.pid} {one.name}: root {root:#x} is not shown")
            elif shown[root].kind != kind:
                differences.append(f"{root:#x} of {one.name} is a {shown[root].kind}, not a {kind}")
    own = {half for root in world.kernel.roots.values() for half in world.halves(root)}
    for root, candidate in shown.items():
        if root not in processes | own:
            differences.append(f"{root:#x} is no root: {candidate}")
        if root not in processes and candidate.kind == "process":
            differences.append(f"{root:#x} is called a process, and is none")
    if world.kernel.roots["init_mm"] not in shown:
        differences.append("the kernel's own root is not shown")
    return differences


def ram_of(target: Target) -> tuple[U64, U64]:
    ram = [one for one in target.ram_map.regions if one.kind is Kind.RAM]
    return u64(*(one.first for one in ram)), u64(*(one.last for one in ram))


def area_differences(world: World, areas: tuple[Area, ...]) -> list[str]:
    """Hold the kernel's areas against /proc/kallsyms and the segments of /proc/kcore."""
    kernel, by_name = world.kernel, {area.name: area for area in areas}
    symbols, words = kernel.symbols, kernel.words
    expected = {
        "direct map": words["page_offset_base"],
        "vmalloc": words["vmalloc_base"],
        "vmemmap": words["vmemmap_base"],
        "kernel text": symbols["_text"],
        "kernel rodata": symbols["__start_rodata"],
    }
    found = []
    for name, va in expected.items():
        got = by_name[name].va if name in by_name else None
        if got != va:
            found.append(f"{name} begins at {va:#x}, said {got and hex(got)}")
    last = {
        # 6.1 maps what is left of the last page of code as code, too.
        "kernel text": (symbols["_etext"] - 1) | 0xFFF,
        "kernel rodata": (symbols["__end_rodata"] - 1) | 0xFFF,
        # The kernel's VMALLOC_END is the last byte, and kcore's size one too small.
        "vmalloc": next(s.last_va for s in kernel.segments if s.va == words["vmalloc_base"]) + 1,
    }
    for name, va in last.items():
        got = by_name[name].last_va if name in by_name else None
        if got != va:
            found.append(f"{name} ends at {va:#x}, said {got and hex(got)}")
    inside = {
        "direct map": [
            s.last_va for s in kernel.segments if s.pa is not None and s.va < symbols["_text"]
        ],
        "vmemmap": [
            s.last_va
            for s in kernel.segments
            if s.pa is None and s.va >= words["vmemmap_base"] and s.va < symbols["_text"]
        ],
        "kernel data": [symbols["_sdata"], symbols["_end"] - 1],
        "modules": [m.va for m in kernel.modules],
    }
    for name, vas in inside.items():
        area = by_name.get(name)
        found += [
            f"{va:#x} lies in {name}, said otherwise"
            for va in vas
            if area is None or not area.va <= va <= area.last_va
        ]
    return found


_TLB = re.compile(r"^([0-9a-f]{16}): ([0-9a-f]{16}) (\S{9})$", re.MULTILINE)


def tlb_differences(graph: Graph, text: str) -> list[str]:
    """Hold all leaves of a walk against the lines of QEMU's `info tlb`."""
    said = {(int(va, 16), int(pa, 16)) for va, pa, _ in _TLB.findall(text.replace("\r", ""))}
    walked = set()
    for chunk in leaves(graph):
        walked |= set(zip(chunk.va.tolist(), chunk.pa.tolist(), strict=True))
    assert said
    return [f"{va:#x} -> {pa:#x}" for va, pa in sorted(said ^ walked)][:10]
