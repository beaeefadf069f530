"""Random and nasty x86-64 tables: few frames, shared, referring to themselves, at all levels."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from hypothesis import strategies as st

from ptlive.arrays import u64
from ptlive.paging.access import Controls
from ptlive.paging.formats import x86_64
from tests.paging.plain_ram import FRAME, PlainRam
from tests.reference.sdm import Machine, enumerate_holes, enumerate_leaves

if TYPE_CHECKING:
    from ptlive.arrays import U8, U64
    from ptlive.paging.format import Format
    from tests.paging.listing import Row

FRAMES = 6
RAM_SIZE = FRAMES * FRAME
MOST_TABLES = 20  # visits of tables in the reference's enumeration, 512 slots each

# Flags of an entry (SDM vol. 3A tables 4-14 to 4-20).
P, RW, US, PWT, PCD, A, D, PS, G, XD = (*(1 << n for n in range(9)), 1 << 63)
PWU = P | RW | US


@dataclass(frozen=True)
class Case:
    """Tables in RAM, their root, and the machine that walks them."""

    machine: Machine
    ram: PlainRam
    root: int

    @property
    def fmt(self) -> Format:
        return format_of(self.machine)

    @property
    def roots(self) -> U64:
        return u64(self.root)

    @cached_property
    def leaves(self) -> list[Row]:
        """What the reference says of the leaves."""
        return [tuple(leaf) for leaf in enumerate_leaves(self.machine, self.ram.qword, self.root)]

    @cached_property
    def holes(self) -> list[Row]:
        """What the reference says of the holes."""
        return [tuple(hole) for hole in enumerate_holes(self.machine, self.ram.qword, self.root)]


def format_of(machine: Machine) -> Format:
    """Return ptlive's format for a machine of the reference."""
    return x86_64.make_levels(
        machine.levels,
        maxphyaddr=machine.maxphyaddr,
        nxe=machine.nxe,
        gbpages=machine.gbpages,
    )


def controls_of(machine: Machine) -> Controls:
    """Return ptlive's control bits for a machine of the reference."""
    return Controls(
        wp=machine.wp,
        smep=machine.smep,
        smap=machine.smap,
        nxe=machine.nxe,
        pke=machine.pke,
        pkru=machine.pkru,
    )


def machine(levels: int = 5, maxphyaddr: int = 46, **bits: bool | int) -> Machine:
    """Return a machine with everything on that makes no difference to translation."""
    defaults: dict[str, bool | int] = {
        "nxe": True,
        "gbpages": True,
        "wp": True,
        "smep": False,
        "smap": False,
        "pke": False,
        "pkru": 0,
    }
    return Machine(levels=levels, maxphyaddr=maxphyaddr, **(defaults | bits))  # type: ignore[arg-type]  # by name


def machines(levels: int | None = None) -> st.SearchStrategy[Machine]:
    """Draw machines: levels, widths, supported bits and control bits."""
    return st.builds(
        Machine,
        levels=st.sampled_from([5, 4]) if levels is None else st.just(levels),
        maxphyaddr=st.sampled_from([32, 36, 39, 40, 46, 47, 49, 50, 51, 52]),
        nxe=st.sampled_from([True, True, True, False]),
        gbpages=st.sampled_from([True, True, False]),
        wp=st.booleans(),
        smep=st.booleans(),
        smap=st.booleans(),
        pke=st.booleans(),
        pkru=st.integers(0, (1 << 32) - 1),
    )


def granting() -> st.SearchStrategy[int]:
    """Draw flags of an entry that is present, and no page unless it must be one."""
    return st.sampled_from([PWU, PWU, P | RW, P | US, PWU | A | D, PWU | XD, PWU | G | PCD])


def flags() -> st.SearchStrategy[int]:
    """Draw the flags of an entry: mostly present and granting, sometimes anything."""
    large = st.sampled_from([PWU | PS, P | US | PS, PWU | PS | 1 << 12, PWU | PS | XD | G])
    keyed = st.integers(0, 15).map(lambda key: PWU | key << 59)
    ignored = st.builds(
        lambda low, high: P | RW | low << 9 | high << 52, st.integers(0, 7), st.integers(0, 127)
    )
    absent = st.sampled_from([0, RW, PS, XD, (1 << 64) - 2, 0x1234_5000])
    anything = st.integers(0, 0xFFF).map(lambda low: low | P)
    return st.one_of(granting(), granting(), large, keyed, ignored, absent, anything)


def addresses(machine: Machine, base: int) -> st.SearchStrategy[int]:
    """Draw what an entry refers to: mostly a frame of RAM, sometimes what it must not."""
    frame = st.integers(0, FRAMES - 1).map(lambda n: base + n * FRAME)
    top = st.sampled_from([machine.maxphyaddr - 1, 51, 47, 46, 40, 39]).map(lambda bit: 1 << bit)
    outside = st.integers(0, (1 << 40) - 1).map(lambda n: n << 12)
    aligned = st.integers(0, (1 << 31) - 1).map(lambda n: n << 21)
    gigantic = st.integers(0, (1 << 22) - 1).map(lambda n: n << 30)
    return st.one_of(frame, frame, frame, top, outside, aligned, gigantic)


def indices() -> st.SearchStrategy[int]:
    """Draw places in a table, those at the edges of tables and halves often."""
    return st.one_of(st.sampled_from([0, 1, 255, 256, 510, 511]), st.integers(0, 511))


@st.composite
def cases(draw: st.DrawFn, levels: int | None = None) -> Case:
    """Draw tables that the reference can enumerate."""
    chosen = draw(machines(levels))
    base = draw(st.sampled_from([0, FRAME, (1 << 32) - RAM_SIZE, (1 << 31) + FRAME]))
    entry = st.builds(lambda flag, address: flag | address, flags(), addresses(chosen, base))
    ram = PlainRam(RAM_SIZE, base)
    # Ways down to a page, so that most cases have leaves; what follows may overwrite them.
    for _ in range(draw(st.integers(0, 3))):
        for n in range(chosen.levels):
            target = base + (n + 1) % FRAMES * FRAME
            ram.write(base + n * FRAME + 8 * draw(indices()), target | draw(granting()))
    fills = st.tuples(st.integers(0, FRAMES - 1), entry, st.sampled_from([0, FRAME, 1 << 21, 1]))
    for frame, value, stride in draw(st.lists(fills, max_size=2)):
        before = ram.data.copy()
        filled = [(value + slot * stride) % (1 << 64) for slot in range(512)]
        ram.table(base + frame * FRAME)[:] = np.array(filled, dtype=np.uint64)
        _keep_if_small(ram, before, chosen, base)
    slots = st.tuples(st.integers(0, FRAMES - 1), indices(), entry)
    for frame, slot, value in draw(st.lists(slots, min_size=1, max_size=16)):
        before = ram.data.copy()
        ram.write(base + frame * FRAME + 8 * slot, value)
        _keep_if_small(ram, before, chosen, base)
    return Case(chosen, ram, base)


def _keep_if_small(ram: PlainRam, before: U8, machine: Machine, root: int) -> None:
    """Take a change back that makes too many paths; an upper bound will do."""
    visits = {root: 1}
    total = 0
    for _ in range(machine.levels):
        below: dict[int, int] = {}
        for table, times in visits.items():
            total += times
            entries = ram.table(table)
            for value in entries[(entries & np.uint64(P)) != 0].tolist():
                target = value & 0x000F_FFFF_FFFF_F000
                if ram.qword(target) is not None:
                    below[target] = below.get(target, 0) + times
        visits = below
    if total > MOST_TABLES:
        ram.data[:] = before
