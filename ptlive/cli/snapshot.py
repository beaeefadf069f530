"""`ptlive snapshot`: keep a guest's tables, or all of its memory, in a file."""

from __future__ import annotations

import functools
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np

from ptlive.answers.spaces import with_partners
from ptlive.arrays import pieces
from ptlive.cli.bundle import Command
from ptlive.cli.connect import connect
from ptlive.cli.main import DONE
from ptlive.cli.options import TargetOptions, target_options
from ptlive.cli.spaces import wanted_spaces
from ptlive.cli.tell import tell_changes, tell_notes
from ptlive.errors import PtliveError
from ptlive.memory.ram_map import Kind
from ptlive.memory.told import ToldMemory
from ptlive.paging.walk import walk
from ptlive.show import words
from ptlive.show.json import print_json
from ptlive.show.progress import progress
from ptlive.show.terminal import plain, stdout
from ptlive.target.from_file.snapshot import describe
from ptlive.target.process import orderly_signals
from ptlive.target.saved_state import memory_types_of
from ptlive.verify.twins.fork import pkru_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from ptlive.arrays import U64, Memory
    from ptlive.cli.connect import Connection
    from ptlive.memory.ram_map import RamMap
    from ptlive.memory.snapshot.write import Writer
    from ptlive.space import AddressSpace

_FRAME = np.uint64(1 << 12)
# So many frames are thought of at once, 4 GB.
_BATCH = 1 << 20
_TORN = 1000


@click.command(cls=Command)
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--full", is_flag=True, help="All RAM and ROM, not the tables alone.")
@click.option("--force", is_flag=True, help="Replace a file of that name.")
@target_options
def snapshot(target: TargetOptions, file: Path, full: bool, force: bool) -> int:
    """Keep the guest's registers, its memory map and its tables in a file.

    The tables are those of every vCPU's root, or of the roots that are chosen, and of
    the other halves where user mode has tables of its own. Every command that only reads
    takes the file by --from; with --full, verify, selftest and the search for roots do,
    too. Only you may read the file: what was in the memory is in it.
    """
    from ptlive.memory.snapshot.write import create  # zstandard, which --help does not need

    begun = time.monotonic()
    with (
        orderly_signals(),
        create(file, force=force) as writer,
        connect(target) as connection,
        progress() as told,
    ):
        spaces, notes = _spaces(connection, target)
        tables = _tables(spaces, connection.target.memory, told)
        count = len(tables) - _save(writer, connection.target.memory, tables, lambda _: None)
        lost = 0
        if full:
            ram_map = connection.target.ram_map
            lost = _save_others(writer, connection.scanned, ram_map, tables, told)
        changes = connection.changes()
        if lost:
            text = f"{words.count(lost, 'frame')} of memory could not be read and are not in it"
            notes.append(("not-read", text))
        kept = [*notes, *(changes.notes if changes else ())]
        if connection.target.file is not None:
            kept += [*connection.target.file.first, *connection.target.file.late()]
        # The state that QEMU saves of a guest that runs is another by now.
        types = memory_types_of(connection.target, connection.running) if not target.live else None
        about = describe(
            connection.target,
            guest=connection.guest,
            full=full and not lost,
            live=target.live,
            pkru=_pkru(connection, target),
            memory_types=types,
            roots=[{"root": hex(int(one.root[0])), "origin": one.origin} for one in spaces],
            notes=kept,
        )
        writer.finish(about | {"torn": changes.as_json()[:_TORN] if changes else []})
    result = {
        "file": str(file),
        "bytes": writer.size,
        "tables": count,
        "frames": writer.frames,
        "stored": writer.stored,
        "full": about["full"],
        "seconds": round(time.monotonic() - begun, 3),
    }
    tell_notes(notes)
    if target.json:
        whole = replace(connection, spaces=spaces)
        value = whole.envelope("snapshot", [{} for _ in spaces], notes, changes)
        print_json(value | result)
        return DONE
    if changes:
        tell_changes(changes)
    stdout().out(plain(_summary(result, len(spaces))), highlight=False)
    return DONE


def _spaces(
    connection: Connection, options: TargetOptions
) -> tuple[list[AddressSpace], list[tuple[str, str]]]:
    """Return the address spaces to keep: those chosen, else every vCPU's; and notes.

    Where tables are isolated, with the other half of each pair, by which areas are told and
    isolation is judged.
    """
    spaces: list[AddressSpace] = []
    notes = []
    if options.root or options.all_roots:
        spaces += connection.spaces
    for cpu in () if spaces else connection.target.cpus:
        own = replace(options, root=(f"vcpu:{cpu.vcpu}",), all_roots=False)
        try:
            spaces += wanted_spaces(connection.target, own)
        except PtliveError as error:
            notes.append(("no-tables", f"of vCPU {cpu.vcpu} no table is kept: {error}"))
    # vCPUs may have a root in common.
    distinct = {int(space.root[0]): space for space in reversed(spaces)}
    return list(with_partners(list(reversed(distinct.values())))), notes


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


def _pkru(connection: Connection, options: TargetOptions) -> dict[int, int | None]:
    """Return PKRU of each vCPU where it matters; a guest that runs does not tell it."""
    known = {cpu.vcpu: cpu.pkru for cpu in connection.target.cpus}
    for cpu in () if options.live else connection.target.cpus:
        try:
            own = replace(options, root=(f"vcpu:{cpu.vcpu}",), all_roots=False)
            (space,) = wanted_spaces(connection.target, own)
        except PtliveError:
            continue  # its paging is off
        known[cpu.vcpu] = pkru_of(connection.target, space, connection.running)
    return known


def _summary(result: dict[str, Any], roots: int) -> str:
    others = result["frames"] - result["tables"]
    rest = f" and {words.count(others, 'other frame')} of memory" if others > 0 else ""
    return (
        f"{result['file']}: {words.count(result['tables'], 'table')} of "
        f"{words.count(roots, 'root')}{rest}, {result['bytes']:,} bytes, "
        f"in {result['seconds']:.1f} s"
    )
