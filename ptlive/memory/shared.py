"""The guest's RAM as the files that it is, mapped: nothing is copied on the way."""

from __future__ import annotations

import mmap
import os
from typing import TYPE_CHECKING

import numpy as np

from ptlive.errors import PtliveError
from ptlive.memory.holes import Part, SparseRam
from ptlive.memory.ram import PlainRam
from ptlive.memory.ram_file import find_file
from ptlive.memory.ram_map import Kind

if TYPE_CHECKING:
    from ptlive.arrays import U8, Memory
    from ptlive.memory.host import Host
    from ptlive.memory.ram_file import RamFile


def open_shared(host: Host) -> Memory:
    """Map the files of all memory backends that are shared; `host.memory` reads the rest.

    Raises PtliveError with the reason where most of the RAM is in no file that we can map.
    """
    names = {region.name for region in host.ram_map.regions if region.kind is Kind.RAM}
    files: dict[str, RamFile] = {}
    reasons: dict[str, str] = {}
    for name in sorted(names):
        try:
            files[name] = find_file(host, name)
        except PtliveError as error:
            reasons[name] = str(error)
    found = sum(
        region.last - region.first + 1
        for region in host.ram_map.regions
        if region.kind is Kind.RAM and region.name in files
    )
    if 2 * found < host.ram_map.ram_bytes:
        largest = max(
            (r for r in host.ram_map.regions if r.name in reasons and r.kind is Kind.RAM),
            key=lambda region: region.last - region.first,
        )
        raise PtliveError(reasons[largest.name])
    parts = [
        Part(r.first, r.last - r.first + 1, files[r.name].file, files[r.name].offset + r.offset)
        for r in host.ram_map.regions
        if r.kind is Kind.RAM and r.name in files
    ]
    return SparseRam(PlainRam(_blocks(host, files)), host.memory, parts)


def _blocks(host: Host, files: dict[str, RamFile]) -> dict[int, U8]:
    """Return the mapped arrays by physical address; what is adjacent in both is one array."""
    arrays = {name: _map(found) for name, found in files.items()}
    # First address, end, name, and where it begins in the backend.
    merged: list[tuple[int, int, str, int]] = []
    for region in host.ram_map.regions:
        if region.kind is Kind.DEVICE or region.name not in arrays:
            continue
        first, end, name, offset = region.first, region.last + 1, region.name, region.offset
        if merged:
            before = merged[-1]
            if before[1:3] == (first, name) and before[3] + first - before[0] == offset:
                first, offset = before[0], before[3]
                del merged[-1]
        merged.append((first, end, name, offset))
    return {
        first: arrays[name][offset : offset + end - first] for first, end, name, offset in merged
    }


def _map(found: RamFile) -> U8:
    """Map a file from where the backend begins."""
    descriptor = found.file.fileno()
    try:
        whole = mmap.mmap(descriptor, os.fstat(descriptor).st_size, prot=mmap.PROT_READ)
    except OSError as error:
        raise PtliveError(
            f"the file of the guest's RAM cannot be mapped: {error.strerror}"
        ) from error
    return np.frombuffer(whole, np.uint8)[found.offset :]
