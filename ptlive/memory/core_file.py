"""The ELF core that QEMU's `dump-guest-memory` writes (and `virsh dump --memory-only`).

Physical memory is in its PT_LOAD segments, the vCPUs' registers in notes named "QEMU"
(QEMU dump/dump.c, target/i386/arch_dump.c). The headers are read as arrays: a dump with
paging (-p) has a segment for each stretch of linear addresses, 100,000s of them.
"""

from __future__ import annotations

import mmap
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ptlive.errors import PtliveError
from ptlive.memory.ram import PlainRam

if TYPE_CHECKING:
    from pathlib import Path

    from ptlive.arrays import U8, U64

# elf(5), in the little-endian 64-bit form that this is about.
_EHDR = np.dtype(
    [("ident", "S16"), ("type", "<u2"), ("machine", "<u2"), ("version", "<u4")]
    + [("entry", "<u8"), ("phoff", "<u8"), ("shoff", "<u8"), ("flags", "<u4")]
    + [(name, "<u2") for name in ("ehsize", "phentsize", "phnum", "shentsize", "shnum", "shstr")]
)
_PHDR = np.dtype(
    [("type", "<u4"), ("flags", "<u4")]
    + [(name, "<u8") for name in ("offset", "vaddr", "paddr", "filesz", "memsz", "align")]
)
_INFO = 44  # where in a section header sh_info is
_ET_CORE, _PT_LOAD, _PT_NOTE, _PN_XNUM = 4, 1, 4, 0xFFFF
_EM_386, _EM_X86_64 = 3, 62
# target/i386/arch_dump.c, QEMUCPUState: version, size, rax to r15, rip, rflags; ten segments
# (selector, limit, flags, pad, base); cr0 to cr4; since 3.0 kernel_gs_base.
_GENERAL = ["rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rsp", "rbp"]
_GENERAL += [*(f"r{number}" for number in range(8, 16)), "rip", "eflags"]
_SEGMENT = np.dtype([(n, "<u4") for n in ("selector", "limit", "flags", "pad")] + [("base", "<u8")])
_SEGMENTS = ("cs", "ds", "es", "fs", "gs", "ss", "ldt", "tr", "gdt", "idt")
_CPU = np.dtype(
    [("version", "<u4"), ("size", "<u4"), *((name, "<u8") for name in _GENERAL)]
    + [(name, _SEGMENT) for name in _SEGMENTS]
    + [(f"cr{number}", "<u8") for number in range(5)]
)
_CPU_VERSION = 1
# QEMU itself lets a guest's note have 1 MB, and a vCPU's two take 824 bytes.
_MOST_NOTES, _MOST_SEGMENTS = 64 << 20, 1 << 22
# A machine has some blocks of RAM, and 256 DIMMs at most; what a guest maps is in more pieces.
_MOST_BLOCKS, _MOST_PIECES = 1 << 10, 1 << 16
_SCATTERED = "its memory is in more pieces than any machine's"
_LIMIT = 1 << 52  # physical addresses have 52 bits


@dataclass(frozen=True)
class CoreFile:
    """An open core.

    cpus: registers of each vCPU, from the first; regions: (first, last) of what it says
    is memory; long_mode: whether the first vCPU was in 64-bit mode (EFER.LMA)
    paging: whether only what the guest mapped is listed (dump-guest-memory -p)
    """

    memory: PlainRam
    cpus: tuple[dict[str, int], ...]
    regions: tuple[tuple[int, int], ...]
    long_mode: bool
    paging: bool


def open_core(path: Path) -> CoreFile:
    """Map a core; memory is read from the file as it is asked for.

    Raises PtliveError if it cannot be read, is cut short, or is of something else.
    """
    try:
        file = map_file(path)
        header = _header(file)
        segments = _segments(file, header)
        loads = segments[(segments["type"] == _PT_LOAD) & (segments["memsz"] > 0)]
        memory, regions = _memory(file, loads)
        linear = (loads["vaddr"] != 0) & (loads["vaddr"] != loads["paddr"])
        return CoreFile(
            memory=memory,
            cpus=tuple(_cpus(file, segments[segments["type"] == _PT_NOTE])),
            regions=regions,
            long_mode=int(header["machine"]) == _EM_X86_64,
            paging=bool(linear.any()),
        )
    except PtliveError as error:
        raise PtliveError(f"cannot read {path}: {error}") from error


def map_file(path: Path) -> U8:
    """Map a file. Raises PtliveError if that cannot be."""
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            if not size:
                raise PtliveError("it is empty")
            return np.frombuffer(mmap.mmap(file.fileno(), size, prot=mmap.PROT_READ), np.uint8)
    except OSError as error:
        raise PtliveError(str(error.strerror)) from error


def _header(file: U8) -> Any:
    if len(file) < _EHDR.itemsize:
        raise PtliveError("it is cut short")
    header = file[: _EHDR.itemsize].view(_EHDR)[0]
    kind, order = (int(one) for one in file[4:6])
    machine = int(header["machine"])
    if order != 1 or machine not in (_EM_386, _EM_X86_64) or int(header["type"]) != _ET_CORE:
        raise PtliveError("it is an ELF file, but no core of an x86 machine")
    if kind != 2:
        raise PtliveError(
            "it is a 32-bit core: the guest's first vCPU was not in 64-bit mode, "
            "and of cores ptlive reads those of 64 bits"
        )
    return header


def _segments(file: U8, header: Any) -> Any:
    count, first = int(header["phnum"]), int(header["phoff"])
    if count == _PN_XNUM:  # elf(5): then it is in the first section's sh_info
        at = int(header["shoff"]) + _INFO
        if at + 4 > len(file):
            raise PtliveError("it is cut short")
        count = int.from_bytes(file[at : at + 4].tobytes(), "little")
    end = first + count * _PHDR.itemsize
    if int(header["phentsize"]) != _PHDR.itemsize or count > _MOST_SEGMENTS:
        raise PtliveError("its headers make no sense")
    if end > len(file):
        raise PtliveError("it is cut short")
    segments = file[first:end].view(_PHDR)
    kept = np.isin(segments["type"], (_PT_LOAD, _PT_NOTE)) & (segments["filesz"] > 0)
    last = segments["offset"][kept] + segments["filesz"][kept]
    size = np.uint64(len(file))
    if (segments["filesz"][kept] > size).any() or (last < segments["offset"][kept]).any():
        raise PtliveError("its headers make no sense")
    if (last > size).any():
        raise PtliveError(f"it is cut short: {int(last.max() - size):,} bytes are missing")
    return segments


def _memory(file: U8, loads: Any) -> tuple[PlainRam, tuple[tuple[int, int], ...]]:
    """Return the memory in these segments, and the addresses that they say are memory."""
    columns = ("paddr", "memsz", "filesz", "offset")
    first, size, held, offset = (loads[name].astype(np.uint64) for name in columns)
    limit = np.uint64(_LIMIT)
    if ((first >= limit) | (size > limit) | (held > size)).any():
        raise PtliveError("its segments make no sense")
    regions = _merged(first, first + size)
    # What lies at the same distance in the file and in memory is one block of both.
    blocks: list[tuple[int, int, int]] = []
    holds = np.flatnonzero(held)
    shift = offset[holds] - first[holds]  # modulo 2**64
    order = np.argsort(shift, kind="stable")
    cuts = np.flatnonzero(np.diff(shift[order])) + 1
    if len(cuts) > _MOST_BLOCKS:
        raise PtliveError(_SCATTERED)
    for some in np.split(order, cuts) if order.size else []:
        by, like = int(shift[some[0]]), holds[some]
        blocks += [(*ends, by) for ends in _merged(first[like], first[like] + held[like])]
        if len(blocks) > _MOST_PIECES:
            raise PtliveError(_SCATTERED)
    arrays = {}
    for begin_at, last, by in blocks:
        start = (begin_at + by) % (1 << 64)
        arrays[begin_at] = file[start : start + last + 1 - begin_at]
    try:
        if len(arrays) < len(blocks):
            raise ValueError
        return PlainRam(arrays), tuple(regions)
    except ValueError:
        raise PtliveError("it holds the same memory twice, in different places") from None


def _merged(first: U64, end: U64) -> list[tuple[int, int]]:
    """Return what these stretches cover, as (first, last), ascending."""
    if not len(first):
        return []
    order = np.argsort(first, kind="stable")
    first, end = first[order], np.maximum.accumulate(end[order])
    new = np.concatenate(([True], first[1:] > end[:-1]))
    if np.count_nonzero(new) > _MOST_PIECES:
        raise PtliveError(_SCATTERED)
    lasts = end[np.append(np.flatnonzero(new)[1:] - 1, len(end) - 1)] - np.uint64(1)
    return list(zip(first[new].tolist(), lasts.tolist(), strict=True))


def _cpus(file: U8, notes: Any) -> list[dict[str, int]]:
    """Return the registers in QEMU's notes, by the names that a stub gives them."""
    found = []
    if int(notes["filesz"].astype(np.uint64).max(initial=0)) > _MOST_NOTES or len(notes) > 16:
        raise PtliveError("its notes make no sense")
    for note in notes:
        begin = int(note["offset"])
        data = file[begin : begin + int(note["filesz"])].tobytes()
        at = 0
        while at + 12 <= len(data):
            name_size, size, kind = (
                int.from_bytes(data[at + 4 * word :][:4], "little") for word in range(3)
            )
            name_at, at = at + 12, at + 12 + -(-name_size // 4) * 4
            name, desc, at = data[name_at : name_at + name_size], at, at + -(-size // 4) * 4
            if at > len(data):
                raise PtliveError("its notes make no sense")
            if name == b"QEMU\0" and kind == 0:
                found.append(_registers(data[desc : desc + size]))
    return found


def _registers(note: bytes) -> dict[str, int]:
    if len(note) < _CPU.itemsize:
        raise PtliveError("its note of a vCPU's registers is too short")
    state = np.frombuffer(note[: _CPU.itemsize], _CPU)[0]
    if int(state["version"]) != _CPU_VERSION:
        raise PtliveError(f"its notes have version {state['version']}, and {_CPU_VERSION} is known")
    values = {name: int(state[name]) for name in (*_GENERAL, "cr0", "cr2", "cr3", "cr4")}
    return values | {name: int(state[name]["selector"]) for name in _SEGMENTS[:6]}
