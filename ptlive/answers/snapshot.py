"""What of a guest is kept in a snapshot: its tables, all of its memory, its vCPUs' keys."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ptlive.answers.spaces import space_at, with_partners
from ptlive.arrays import pieces
from ptlive.errors import PtliveError
from ptlive.memory.ram_map import Kind
from ptlive.memory.told import ToldMemory
from ptlive.paging.walk import walk
from ptlive.verify.twins.fork import pkru_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ptlive.answers.spaces import View
    from ptlive.arrays import U64, Memory
    from ptlive.memory.ram_map import RamMap
    from ptlive.memory.snapshot.write import Writer
    from ptlive.space import AddressSpace
    from ptlive.target.attach import Target
    from ptlive.target.running import Guest

_FRAME = np.uint64(1 << 12)
# So many frames are thought of at once, 4 GB.
_BATCH = 1 << 20


class Saved(NamedTuple):
    """How many tables were written, and how many other frames could not be read."""

    tables: int
    lost: int


def spaces_to_keep(
    target: Target, view: View, chosen: Sequence[AddressSpace] = ()
) -> tuple[list[AddressSpace], list[tuple[str, str]]]:
    """Return the address spaces to keep: those chosen, else every vCPU's; and notes.

    Where tables are isolated, with the other half of each pair, by which areas are told and
    isolation is judged.
    """
    spaces: list[AddressSpace] = list(chosen)
    notes = []
    for cpu in () if spaces else target.cpus:
        try:
            spaces.append(space_at(target, view, f"vcpu:{cpu.vcpu}"))
        except PtliveError as error:
            notes.append(("no-tables", f"of vCPU {cpu.vcpu} no table is kept: {error}"))
    # vCPUs may have a root in common.
    distinct = {int(space.root[0]): space for space in reversed(spaces)}
    return list(with_partners(list(reversed(distinct.values())))), notes


def save_memory(
    writer: Writer,
    target: Target,
    spaces: list[AddressSpace],
    scanned: Memory | None,
    told: Callable[[str, int, int], None],
) -> Saved:
    """Write the tables of address spaces, and all other memory if `scanned` reads that.

    told: told (what, done, all)
    """
    tables = _tables(spaces, target.memory, told)
    count = len(tables) - _save(writer, target.memory, tables, lambda _: None)
    if scanned is None:
        return Saved(count, 0)
    return Saved(count, _save_others(writer, scanned, target.ram_map, tables, told))


def keys_of(
    target: Target, view: View, guest: Guest | None, *, live: bool = False
) -> dict[int, int | None]:
    """Return PKRU of each vCPU where it matters; a guest that runs (live) does not tell it."""
    known = {cpu.vcpu: cpu.pkru for cpu in target.cpus}
    for cpu in () if live else target.cpus:
        try:
            space = space_at(target, view, f"vcpu:{cpu.vcpu}")
        except PtliveError:
            continue  # its paging is off
        known[cpu.vcpu] = pkru_of(target, space, guest)
    return known


def _tables(
    spaces: list[AddressSpace], memory: Memory, told: Callable[[str, int, int], None]
) -> U64:
    """Return the frames of all tables, each once, in the order in which a walk reads them."""
    found = [np.empty(0, np.uint64)]
    for name in dict.fromkeys(space.format.name for space in spaces):
        alike = [space for space in spaces if space.format.name == name]
        roots = np.array([space.root for space in alike], dtype=np.uint64)
        graph = walk(alike[0].format, ToldMemory(memory, told), roots)
        found += [floor.nodes.table & ~(_FRAME - np.uint64(1)) for floor in graph.floors]
    frames = np.concatenate(found)
    _, first = np.unique(frames, return_index=True)
    return frames[np.sort(first)]


def _save(writer: Writer, memory: Memory, frames: U64, tell: Callable[[int], None]) -> int:
    """Write frames as they come from memory; return how many could not be read.

    tell: told how many are done
    """
    # A guest's RAM may be a file with holes, which cost memory once they are read.
    written = getattr(memory, "written", None)
    if written is not None:
        holding = written(frames, int(_FRAME))
        writer.zeros(frames[~holding])
        frames = frames[holding]
    lost = done = 0
    for data, valid in pieces(memory, frames, int(_FRAME)):
        some = frames[done : done + len(valid)]
        writer.add(some[valid], data if valid.all() else data[valid])
        lost += int(np.count_nonzero(~valid))
        done += len(valid)
        tell(done)
    return lost


def _save_others(
    writer: Writer,
    memory: Memory,
    ram_map: RamMap,
    tables: U64,
    told: Callable[[str, int, int], None],
) -> int:
    """Write all other frames of RAM and ROM; return how many could not be read."""
    stretches = [
        (region.first + int(_FRAME) - 1 >> 12, region.last + 1 >> 12)
        for region in ram_map.regions
        if region.kind in (Kind.RAM, Kind.ROM)
    ]
    total, begun, lost = sum(max(end - first, 0) for first, end in stretches), 0, 0
    for first, end in stretches:
        for at in range(first, end, _BATCH):
            frames = np.arange(at, min(at + _BATCH, end), dtype=np.uint64) * _FRAME
            tell = functools.partial(_tell, told, begun, total)
            lost += _save(writer, memory, frames[~np.isin(frames, tables)], tell)
            begun += len(frames)
    told("frames", total, total)
    return lost


def _tell(told: Callable[[str, int, int], None], begun: int, total: int, done: int) -> None:
    told("frames", begun + done, total)
