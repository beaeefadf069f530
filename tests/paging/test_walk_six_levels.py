"""A sixth level is one more row: an invented x86, held against an own naive loop."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from ptlive.arrays import u64
from ptlive.paging.format import Kind
from ptlive.paging.graph import HOLES
from ptlive.paging.translate import translate
from ptlive.paging.walk import walk
from tests.paging import listing
from tests.paging.formats.test_x86_64 import SIX
from tests.paging.plain_ram import FRAME, PlainRam
from tests.paging.tables import PS, PWU, RW, US, XD, P, flags, indices

FRAMES = 7
BASE = 1 << 20
ADDRESS = 0x000F_FFFF_FFFF_F000
LOW_BITS = {3: 30, 2: 21, 1: 12}


def naive(ram: PlainRam) -> tuple[list[listing.Row], list[listing.Row]]:
    """Return leaves and holes in the form of the listing, by a stack of plain integers."""
    leaves: list[listing.Row] = []
    holes: list[listing.Row] = []
    stack: list[tuple[int, int, int, tuple[bool, ...]]] = [(BASE, 6, 0, (True, True, True))]
    while stack:
        table, level, base, above = stack.pop()
        shift = 12 + 9 * (level - 1)
        entries = ram.table(table).tolist()[: 128 if level == 6 else 512]
        pending = []
        for index, entry in enumerate(entries):
            va = base + (index << shift)
            span = (va, va + (1 << shift) - 1, level)
            place = (table + 8 * index, entry)
            own = (bool(entry & RW), bool(entry & US), not entry & XD)
            rights = tuple(a and b for a, b in zip(above, own, strict=True))
            page = level == 1 or (level in (2, 3) and bool(entry & PS))
            low = LOW_BITS.get(level, 12) if page else 12
            reserved = PS if level > 3 else (1 << low) - (1 << 13) if page and level > 1 else 0
            if not entry & P:
                holes.append((*span, *place, "absent"))
            elif entry & reserved:
                holes.append((*span, *place, "malformed"))
            elif page:
                leaves.append((*span, entry & ADDRESS & ~((1 << low) - 1), *place, *rights))
            elif ram.qword(entry & ADDRESS) is None:
                holes.append((*span, *place, "unreadable"))
            else:
                pending.append((entry & ADDRESS, level - 1, va, rights))
        stack += pending[::-1]
    return sorted(leaves), sorted(holes)


@st.composite
def rams(draw: st.DrawFn) -> PlainRam:
    """Draw trees of six levels: frame n is a table of level 6-n, and may be shared."""
    ram = PlainRam(FRAMES * FRAME, BASE)
    for n in range(6):
        for _ in range(draw(st.integers(1, 2))):
            index = draw(indices()) % (128 if n == 0 else 512)
            ram.write(BASE + n * FRAME + 8 * index, BASE + (n + 1) * FRAME | PWU)
        if draw(st.booleans()):
            ram.write(BASE + n * FRAME + 8 * draw(indices()), draw(flags()) | 0xABC << 30)
    return ram


@settings(max_examples=25)
@given(rams())
def test_the_walker_walks_six_levels_untouched(ram: PlainRam) -> None:
    leaves, holes = naive(ram)
    graph = walk(SIX, ram, u64(BASE))
    assert sorted(listing.leaves(SIX, graph)) == leaves
    assert [row[0] for row in listing.leaves(SIX, graph)] == [row[0] for row in leaves]
    assert sorted(listing.holes(graph)) == holes
    assert graph.reached(Kind.LEAF) == len(leaves)
    assert graph.reached(*HOLES) == len(holes)
    tiles = sorted(row[:2] for row in leaves + holes)
    assert [va for va, _ in tiles] == [0, *(last_va + 1 for _, last_va in tiles[:-1])]
    assert tiles[-1][1] == (1 << 64) - 1  # all 64 bits: no gap is left
    va = u64(*(edge for row in leaves[:50] for edge in row[:2]))
    result = translate(SIX, ram, u64(BASE), va)
    assert result.mapped.all()
    expected = [pa for row in leaves[:50] for pa in (row[3], row[3] + row[1] - row[0])]
    assert result.pa.tolist() == expected


def test_the_address_of_all_ones_is_translated_through_the_last_entry_of_each_table() -> None:
    ram = PlainRam(FRAMES * FRAME, BASE)
    for n in range(6):
        last = 127 if n == 0 else 511
        ram.write(BASE + n * FRAME + 8 * last, BASE + (n + 1) * FRAME | PWU)
    result = translate(SIX, ram, u64(BASE), u64((1 << 64) - 1, 1 << 63, 0))
    assert result.pa.tolist() == [BASE + 7 * FRAME - 1, 0, 0]
    path = [(step.lvl, int(step.index[at])) for step, at in result.path(0)]
    assert path == [(6, 127), (5, 511), (4, 511), (3, 511), (2, 511), (1, 511)]
