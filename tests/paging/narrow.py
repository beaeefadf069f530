"""Random and nasty tables of the modes of 32-bit addresses."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from hypothesis import strategies as st

from ptlive.paging.formats import bits32, pae
from tests.paging.plain_ram import FRAME, PlainRam
from tests.paging.tables import PS, PWU, RW, US, XD, P
from tests.reference.narrow import Narrow, enumerate_slots
from tests.reference.terms import Hole, Leaf

if TYPE_CHECKING:
    from ptlive.paging.format import Format
    from tests.paging.listing import Row

FRAMES = 6
TABLE = {3: 32, 2: FRAME, 1: FRAME}


@dataclass(frozen=True)
class NarrowCase:
    """Tables in RAM, their root, and the machine that walks them."""

    machine: Narrow
    ram: PlainRam
    root: int

    @property
    def fmt(self) -> Format:
        return format_of(self.machine)

    @cached_property
    def slots(self) -> list[Leaf | Hole]:
        """What the reference says."""
        return list(enumerate_slots(self.machine, self.ram.qword, self.root))

    @property
    def leaves(self) -> list[Row]:
        return [tuple(slot) for slot in self.slots if isinstance(slot, Leaf)]

    @property
    def holes(self) -> list[Row]:
        return [tuple(slot) for slot in self.slots if isinstance(slot, Hole)]


def format_of(machine: Narrow) -> Format:
    """Return ptlive's format for a machine of the reference."""
    if machine.pae:
        # As the manual has it: TCG leaves a bit set that is reserved to a CPU.
        return pae.make(maxphyaddr=machine.maxphyaddr, nxe=machine.nxe, accessed=False)
    return bits32.make(pse=machine.pse, pse36=machine.pse36, maxphyaddr=machine.maxphyaddr)


def machines() -> st.SearchStrategy[Narrow]:
    """Draw machines of both modes."""
    return st.builds(
        Narrow,
        pae=st.booleans(),
        pse=st.sampled_from([True, True, False]),
        pse36=st.sampled_from([True, True, False]),
        nxe=st.booleans(),
        maxphyaddr=st.sampled_from([32, 36, 38, 39, 40, 46, 52]),
    )


def flags(machine: Narrow) -> st.SearchStrategy[int]:
    """Draw the flags of an entry."""
    usual = st.sampled_from([PWU, PWU, P | RW, P | US, PWU | 0x60, PWU | PS, P | US | PS])
    # The bits where 4M pages keep their high address, and 2M pages nothing.
    large = st.integers(0, 0x3FF).map(lambda bits: PWU | PS | bits << 12)
    absent = st.sampled_from([0, RW, PS, 0xFFFF_FFFE])
    anything = st.integers(0, 0xFFF).map(lambda low: low | P)
    if not machine.pae:
        return st.one_of(usual, usual, large, absent, anything)
    high = st.sampled_from([52, 58, 59, 62]).map(lambda bit: PWU | 1 << bit)
    return st.one_of(usual, usual, large, absent, anything, st.just(PWU | XD), high)


@st.composite
def cases(draw: st.DrawFn) -> NarrowCase:
    """Draw tables that the reference can enumerate."""
    machine = draw(machines())
    size, entry = (8, "<u8") if machine.pae else (4, "<u4")
    base = draw(st.sampled_from([0, FRAME, (1 << 31) + FRAME, (1 << 32) - FRAMES * FRAME]))
    ram = PlainRam(FRAMES * FRAME, base)
    # A root of PAE is 32 bytes long and stands where it likes.
    root = base + (draw(st.integers(0, 127)) * 32 if machine.pae else 0)
    slots = st.integers(0, FRAME // size - 1)
    tops = (
        st.integers(0, 3).map(lambda n: root + n * size)
        if machine.pae
        else slots.map(lambda n: root + n * size)
    )
    frames = st.integers(0, FRAMES - 1).map(lambda n: base + n * FRAME)
    limit = (1 << 64) - 1 if machine.pae else (1 << 32) - 1
    outside = st.sampled_from([1 << 31, 1 << 35, 1 << 39, 1 << 45, 1 << 51]) | st.integers(
        0, (1 << 20) - 1
    ).map(lambda n: n << 12)
    lower = st.builds(lambda table, slot: table + slot * size, frames, slots)
    for _ in range(draw(st.integers(0, 3))):  # ways down, so that most cases have leaves
        place, levels = draw(tops), 3 if machine.pae else 2
        for lvl in range(levels, 0, -1):
            table = draw(frames)
            plain = P if machine.pae and lvl == 3 else draw(st.sampled_from([PWU, P | RW, P | US]))
            ram.write(place, table | plain, entry)
            place = table + size * draw(slots)
    for _ in range(draw(st.integers(1, 12))):
        place = draw(st.one_of(tops, lower, lower))
        value = draw(st.one_of(frames, frames, outside)) | draw(flags(machine))
        ram.write(place, value & limit, entry)
    return NarrowCase(machine, ram, root)
