"""A guest that is a file: a snapshot, QEMU's ELF core, or its bare physical memory."""

from __future__ import annotations

import os
import stat
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from ptlive.errors import PtliveError
from ptlive.memory.bounded import BoundedMemory
from ptlive.memory.cache import FrameCache
from ptlive.memory.ram import PlainRam
from ptlive.memory.ram_map import Kind, RamMap, Region
from ptlive.memory.snapshot.missing import Missing
from ptlive.target.attach import Target
from ptlive.target.from_file.assumed import cpu_states, overlaid, parse
from ptlive.target.from_file.saved import FileNotes, Saved, SavedCpu
from ptlive.target.from_file.stub import FileStub
from ptlive.target.journal import Journal

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from ptlive.arrays import Memory
    from ptlive.target.from_file.assumed import Assumed

SNAPSHOT, CORE, RAW = "snapshot", "core", "raw"
# How each begins: ptlive/memory/snapshot/README.md; elf(5); include/sysemu/dump.h of QEMU
# (kdump, and kdump in makedumpfile's flat form); include/qemu/win_dump_defs.h.
_SNAPSHOT, _ELF = b"\x89PTLIVE\n", b"\x7fELF"
_KDUMP, _WINDOWS = (b"KDUMP   ", b"makedumpfile"), (b"PAGEDU64", b"PAGEDUMP")
_AGAIN = "write it again by dump-guest-memory FILE, without -z, -l, -s, -R or -w"
# More would be looked through for days, and the addresses of most CPUs have 46 bits.
_MOST_MEMORY = 1 << 46


def open_file(path: Path, assume: Sequence[str] = ()) -> Target:
    """Return the guest that a file holds; assume: see `assumed.parse`.

    Raises PtliveError if it cannot be read, or is no such file.
    """
    assumed = parse(assume)
    kind = _kind(path, assumed)
    try:
        saved = {SNAPSHOT: _snapshot, CORE: _core, RAW: _raw}[kind](path)
        cpus, notes = cpu_states(saved.cpus, assumed)
        if not saved.cpus:  # there is one all the same: what was assumed
            saved = replace(saved, cpus=tuple(SavedCpu(cpu.vcpu, {}) for cpu in cpus))
        try:
            ram_map = RamMap(overlaid(saved.regions, assumed.regions))
        except (ValueError, OverflowError):
            raise PtliveError("its map of memory makes no sense") from None
        held = sum(r.last - r.first + 1 for r in ram_map.regions if r.kind in (Kind.RAM, Kind.ROM))
        if held > _MOST_MEMORY:
            raise PtliveError("it says that the guest has more memory than any machine")
    except PtliveError as error:
        if str(path) in str(error):
            raise
        raise PtliveError(f"cannot read {path}: {error}") from error
    missing = Missing(saved.memory)
    bounded: Memory = BoundedMemory(missing, ram_map)
    return Target(
        address=str(path),
        stub=FileStub(saved, bounded),
        cpus=cpus,
        ram_map=ram_map,
        # What is mapped needs no cache.
        memory=FrameCache(bounded) if kind == SNAPSHOT else bounded,
        journal=Journal(_nothing_to_undo),
        was_running=saved.was_running,
        accelerator=saved.accelerator,
        version=saved.version,
        memory_source=kind,
        file=FileNotes(
            first=(*saved.notes, *notes),
            missing=missing,
            full=saved.full,
            no_twin=_no_twin(kind, saved),
            memory_types=saved.memory_types,
        ),
    )


def _no_twin(kind: str, saved: Saved) -> str:
    if kind != SNAPSHOT:
        return (
            f"{saved.what} does not tell the CPU and the machine that a twin is made of: "
            "ptlive snapshot --full keeps them"
        )
    if not saved.full:
        return "a twin needs all of the guest's RAM, which ptlive snapshot --full keeps"
    return ""


def _nothing_to_undo(_line: str) -> None:
    raise PtliveError("a file is only read: this needs the live guest")


def _kind(path: Path, assumed: Assumed) -> str:
    """Tell by its first bytes what a file is. Raises PtliveError for what nothing can read."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise PtliveError(f"cannot read {path}: it is no file")
        with path.open("rb") as file:
            begin = file.read(16)
            size = os.fstat(file.fileno()).st_size
    except OSError as error:
        raise PtliveError(f"cannot read {path}: {error.strerror}") from error
    if begin.startswith(_SNAPSHOT):
        return SNAPSHOT
    if begin.startswith(_ELF):
        return CORE
    if begin.startswith(_KDUMP):
        raise PtliveError(f"cannot read {path}: it is a kdump-compressed dump; {_AGAIN}")
    if begin.startswith(_WINDOWS):
        raise PtliveError(f"cannot read {path}: it is a dump for Windows' debuggers; {_AGAIN}")
    if size and "cr3" in assumed.values:
        return RAW
    raise PtliveError(
        f"cannot read {path}: it is neither a snapshot nor an ELF core; if it is bare physical "
        "memory from address 0 on, tell the registers: --assume cr3=VALUE,cr4=VALUE"
    )


def _snapshot(path: Path) -> Saved:
    # Each is needed by one kind of file, and every import is felt at the start of a command.
    from ptlive.memory.snapshot.read import open_snapshot
    from ptlive.target.from_file.snapshot import saved_of

    return saved_of(open_snapshot(path))


def _core(path: Path) -> Saved:
    from ptlive.memory.core_file import open_core

    core = open_core(path)
    notes = [
        (
            "no-ram-map",
            "the core does not tell ROM from RAM, and devices from nothing: all that it lists "
            "counts as RAM (--assume rom=FIRST..LAST and device=FIRST..LAST tell it)",
        )
    ]
    if core.paging:
        text = "the core was made with paging (-p): memory that the guest did not map is not in it"
        notes.append(("core-with-paging", text))
    return Saved(
        what="an ELF core",
        cpus=tuple(
            # The machine that its header names is by the first vCPU (cpu_get_dump_info).
            SavedCpu(number, registers, long_mode=core.long_mode if number == 1 else None)
            for number, registers in enumerate(core.cpus, start=1)
        ),
        regions=tuple(Region(*ends, Kind.RAM, "core", 0) for ends in core.regions),
        memory=core.memory,
        notes=tuple(notes),
    )


def _raw(path: Path) -> Saved:
    from ptlive.memory.core_file import map_file

    data = map_file(path)
    text = "the file says nothing of itself: it is taken for physical memory from address 0 on"
    return Saved(
        what="raw memory",
        cpus=(),
        regions=(Region(0, len(data) - 1, Kind.RAM, "raw", 0),),
        memory=PlainRam({0: np.asarray(data)}),
        notes=(("raw", text),),
    )
