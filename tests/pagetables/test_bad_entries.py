"""What leads nowhere good is cleared by either way, reported, and counts as nothing."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.pagetables import machine as m
from tests.pagetables.machine import Command, Process

if TYPE_CHECKING:
    from tests.pagetables.conftest import Programs

BASE = 1 << 33
P, RW, PWT, PS = 1, 2, 8, 0x80
OPERATIONS = (m.UNMAP, m.COPY, m.PROTECT, m.WALK, m.REMAP)


def entry_pa(machine: m.Machine, va: int, lvl: int) -> int:
    """Return where the entry for `va` at a level is; the tables down to it are there."""
    table = machine.roots[0]
    for at in range(machine.levels - 1, lvl, -1):
        entry = machine.ram.qword(table + (va >> (12 + 9 * at) & 511) * 8)
        assert entry
        table = entry & 0xFFFFFFFFFF000
    return table + (va >> (12 + 9 * lvl) & 511) * 8


@pytest.mark.parametrize(
    ("levels", "bad"),
    [
        (3, 0x5000 | P | RW | PWT),
        (5, 0x5000 | P | RW | PWT),
        (5, 0x5000 | RW),
        (5, P | RW | PS | 1 << 30),
    ],
)
def test_a_bad_entry(programs: Programs, levels: int, bad: int) -> None:
    for op in OPERATIONS:
        for lvl in range(1, levels):
            if bad & PS and lvl < 3:
                continue  # a page, there
            for program in programs(levels):
                _one(program, op, lvl, bad)


def _one(program: Path, op: int, lvl: int, bad: int) -> None:
    size = 1 << (12 + 9 * lvl)
    other = BASE ^ size  # shares the table of level `lvl` with BASE
    with tempfile.TemporaryDirectory() as folder:
        process = Process(program, Path(folder))
        machine = process.machine
        page = Command(m.REMAP, other, other + 4096, pa=0x7000, prot=P | RW)
        assert machine.one(page).ret == 0
        at = entry_pa(machine, BASE, lvl)
        machine.ram.write(at, bad)
        asked = Command(op, BASE, BASE + 4096, pa=0x9000, prot=P | RW)
        result = machine.one(asked)
        assert result.ret == 0
        assert (m.BAD, bad) in result.events
        assert (machine.ram.qword(at) == 0) == (op != m.REMAP)
        process.close()
