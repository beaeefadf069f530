"""QEMU's `info tlb`: a third walker, which prints every present leaf entry that it comes by.

It reads tables as the CPU's memory bus does (target/i386/monitor.c, tlb_info_la57 and
tlb_info_la48), one path after the other, with QEMU's lock held and no way to interrupt it:
so what it is going to read and print is counted before it is asked.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ptlive.errors import PtliveError
from ptlive.memory.ram_map import Kind

if TYPE_CHECKING:
    from ptlive.arrays import U64, Memory
    from ptlive.memory.ram_map import RamMap
    from ptlive.wire.qmp import Qmp

#: So many lines QEMU prints in about a second; a table that it reaches takes it 512 reads.
MOST = 100_000
# Of an entry it takes bits 12 to 49 for the address; a page it tells by bit 7, on levels 2 and 3.
ADDRESS = 0x3_FFFF_FFFF_F000
_P, _PS = np.uint64(1), np.uint64(1 << 7)
_FRAME = 1 << 12
#: The letters of its last column, first to last, and the bits of an entry that they show.
FLAGS = {"X": 63, "G": 8, "P": 7, "D": 6, "A": 5, "C": 4, "T": 3, "U": 2, "W": 1}
_LINE = re.compile(rf"([0-9a-f]{{16}}): ([0-9a-f]{{16}}) ([-{''.join(FLAGS)}]{{{len(FLAGS)}}})")


@dataclass(frozen=True, eq=False)
class Lines:
    """What it printed, a line each: uint64[n] linear and physical addresses, and flags.

    flags: the bits of an entry that the letters show
    """

    va: U64
    pa: U64
    flags: U64


def ask(memory: Memory, ram_map: RamMap, root: int, levels: int, vcpu: int, qmp: Qmp) -> Lines:
    """Return what `info tlb` prints for a vCPU (from 1) that pages with this root table.

    Raises PtliveError, and asks nothing, where it would print or read too much, or read
    a device as a table; and for lines that are not of its form.
    """
    _refuse(memory, ram_map, root, levels)
    arguments = {"command_line": "info tlb", "cpu_index": vcpu - 1}
    return parse(str(qmp.command("human-monitor-command", **arguments)))


def parse(text: str) -> Lines:
    """Return the lines of its output. Raises PtliveError for one that is not of its form."""
    lines = text.split("\n") if text.strip() else []
    rows = [_LINE.fullmatch(line.strip()) for line in lines if line.strip()]
    if None in rows:
        wrong = next(line for line, row in zip(lines, rows, strict=False) if row is None)
        raise PtliveError(f"QEMU's monitor does not know info tlb: {wrong.strip()[:80]!r}")
    found = [row.groups() for row in rows if row is not None]
    flags = {row[2]: _flags(row[2]) for row in found}
    return Lines(
        va=np.array([int(row[0], 16) for row in found], dtype=np.uint64),
        pa=np.array([int(row[1], 16) for row in found], dtype=np.uint64),
        flags=np.array([flags[row[2]] for row in found], dtype=np.uint64),
    )


def _flags(letters: str) -> int:
    return sum(
        1 << bit for bit, letter in zip(FLAGS.values(), letters, strict=True) if letter != "-"
    )


def _refuse(memory: Memory, ram_map: RamMap, root: int, levels: int) -> None:
    """Count what it would read and print, as it does: reserved bits mean nothing to it."""
    paths: dict[int, int] = {root & ADDRESS: 1}
    lines, tables = 0, 1
    for lvl in range(levels, 0, -1):
        at = np.array(list(paths), dtype=np.uint64)
        device = ram_map.kind_of(at) == Kind.DEVICE
        if device.any():
            raise PtliveError(
                f"info tlb would read the device at {int(at[device][0]):#x} as a table"
            )
        # Where nothing is, zeros are read (softmmu/memory.c, unassigned_mem_read), as here.
        data, _ = memory.read(at, _FRAME)
        words = data.view("<u8").astype(np.uint64, copy=False)
        present = words & _P != 0
        ends = present & (words & _PS != 0) if lvl in (2, 3) else present & (lvl == 1)
        leads = present & ~ends
        for count, pages, others in zip(
            paths.values(), ends.sum(axis=1).tolist(), leads.sum(axis=1).tolist(), strict=True
        ):
            lines += count * pages
            tables += count * others
        if lines > MOST or tables > MOST:
            raise PtliveError(
                f"info tlb would print {lines:,} lines or more, from {tables:,} tables as often as "
                f"they are reached; QEMU stands still meanwhile, so it is asked for up to {MOST:,}"
            )
        below: dict[int, int] = {}
        for count, entries, down in zip(paths.values(), words, leads, strict=True):
            for entry in entries[down].tolist():
                below[entry & ADDRESS] = below.get(entry & ADDRESS, 0) + count
        if not below:
            return
        paths = below
