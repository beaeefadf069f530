"""A bench: RAM with one table a level, whose slots hold an entry in every variant.

An address picks a variant at each level, so few tables hold millions of
combinations. The open entries of a level refer to the table of the level below;
those that map pages, to a page of their own, which names itself.
"""

from __future__ import annotations

import mmap
import os
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ptlive.memory.ram import PlainRam
from ptlive.memory.ram_map import Kind, RamMap, Region
from ptlive.oracle.twin.fork import FOUR_GB, FRAME, Control, Fork
from ptlive.verify.selftest.tables import Tables
from ptlive.verify.selftest.variants import ADDRESS, OPEN, PS, Variant, variants

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ptlive.arrays import U64

GB = 1 << 30
# RAM, sparse: 1 GB from 0, where the tables are, and three from 4 GB, where the pages are.
# The twin's own RAM comes behind it: no entry may refer to that GB.
LOW, HIGH = GB, 3 * GB
_TWINS_OWN = range(FOUR_GB + HIGH, FOUR_GB + HIGH + GB)
_TABLES = 0x12_3000
# Where the pages of a level's entries begin. Each slot has its own, so long as there is room;
# what would be larger than 1G begins at 0.
_PAGES = {1: FOUR_GB + 0x2345_6000, 2: FOUR_GB + GB, 3: FOUR_GB, 4: 0, 5: 0}
_OWN_PAGE = (1, 2)
# The last two slots of every table stay unused: there is what a frame has at NAME and HOME.
_SLOTS = FRAME // 8
_UNUSED = (1, 2, 3, _SLOTS - 2, _SLOTS - 1)


@dataclass(frozen=True, eq=False)
class Bench:
    """The tables of one bench.

    memory: its RAM, a file at `path`; slots: for each level, which variant each slot of
    its table holds
    """

    tables: Tables
    memory: PlainRam
    path: str
    slots: dict[int, dict[int, Variant]]

    @property
    def levels(self) -> int:
        """How many levels there are."""
        return self.tables.levels

    def fork(self, control: Control, cpu: str, accel: str, qemu: str) -> Fork:
        """Return what a twin needs in order to have this RAM."""
        return Fork(
            ram=self.path,
            size=LOW + HIGH,
            low_ram=LOW,
            root=self.tables.root,
            control=control,
            cpu=cpu,
            accel=accel,
            qemu=qemu,
        )

    @property
    def frames(self) -> U64:
        """The frames of the tables, ascending."""
        return np.array([table_of(lvl) for lvl in self.slots], dtype=np.uint64)

    def at(self, va: int) -> list[tuple[Variant | None, int]]:
        """Return what an address picks from the root downwards: variants, and where they stand."""
        picked = [(lvl, va >> (3 + 9 * lvl) & _SLOTS - 1) for lvl in range(self.levels, 0, -1)]
        return [(self.slots[lvl].get(slot), table_of(lvl) + 8 * slot) for lvl, slot in picked]

    def describe(self, address: int) -> str:
        """Name the variant that stands at an address of a table."""
        table = next((lvl for lvl in self.slots if table_of(lvl) == address & ~(FRAME - 1)), 0)
        variant = self.slots.get(table, {}).get(address % FRAME // 8)
        return variant.name if variant else "in no table of the bench"


def table_of(lvl: int) -> int:
    """Return the physical address of the table of one level."""
    return _TABLES * lvl


@contextmanager
def bench(levels: int, seed: int) -> Iterator[Bench]:
    """Make a bench, which is gone after the `with` block."""
    random = np.random.default_rng([seed, levels])
    file = os.memfd_create("ptlive-bench")
    try:
        os.ftruncate(file, LOW + HIGH)
        ram = np.frombuffer(mmap.mmap(file, LOW + HIGH), dtype=np.uint8)
        memory = PlainRam({0: ram[:LOW], FOUR_GB: ram[LOW:]})
        slots = {lvl: _fill(lvl, levels, random) for lvl in range(1, levels + 1)}
        entries = {
            table_of(lvl) + 8 * slot: value_of(lvl, slot, variant)
            for lvl, table in slots.items()
            for slot, variant in table.items()
        }
        for address, value in entries.items():
            memory.write(address, value.to_bytes(8, "little"))
        regions = [
            Region(0, LOW - 1, Kind.RAM, "ram", 0),
            Region(FOUR_GB, FOUR_GB + HIGH - 1, Kind.RAM, "ram", LOW),
        ]
        tables = Tables(
            levels=levels,
            memory=memory,
            ram_map=RamMap(regions),
            root=table_of(levels),
            address=np.array(list(entries), dtype=np.uint64),
            value=np.array(list(entries.values()), dtype=np.uint64),
            spared=np.zeros(0, dtype=np.uint64),
        )
        yield Bench(tables, memory, f"/proc/self/fd/{file}", slots)
    finally:
        os.close(file)


def _fill(lvl: int, levels: int, random: np.random.Generator) -> dict[int, Variant]:
    """Choose a slot for each variant of a level, all over its table."""
    chosen = variants(lvl, random)
    if lvl == levels:
        itself = table_of(lvl) ^ table_of(lvl - 1)
        chosen.append(Variant("the root itself", leaf=False, flips=itself, rights=False))
    free = random.permutation([slot for slot in range(_SLOTS) if slot not in _UNUSED]).tolist()
    placed = dict(zip(free, chosen, strict=False))
    return {
        slot: variant
        for slot, variant in sorted(placed.items())
        if value_of(lvl, slot, variant) & ADDRESS not in _TWINS_OWN
    }


def value_of(lvl: int, slot: int, variant: Variant) -> int:
    """Return the entry that stands in a slot."""
    if not variant.leaf:
        return (table_of(lvl - 1) | OPEN) ^ variant.flips
    page = _PAGES[lvl] + (slot << 12 + 9 * (lvl - 1) if lvl in _OWN_PAGE else 0)
    return (page | OPEN | (PS if lvl > 1 else 0)) ^ variant.flips
