"""The walk of random RISC-V tables, held against the manual's algorithm."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ptlive.arrays import u64
from ptlive.paging import fields, paths, rights
from ptlive.paging.format import Kind
from ptlive.paging.formats import riscv
from ptlive.paging.translate import NOT_TRANSLATED, translate
from ptlive.paging.walk import walk
from tests.paging.plain_ram import FRAME, PlainRam
from tests.reference.riscv import LEVELS, Hart, Result, Step
from tests.reference.riscv import translate as by_the_manual

if TYPE_CHECKING:
    from ptlive.paging.format import Format

V, R, W, X, U, G, A, D = (1 << bit for bit in range(8))
N = 1 << 63
FRAMES = 6
NAMES = {
    Kind.ABSENT: "absent",
    Kind.LEAF: "leaf",
    Kind.MALFORMED: "malformed",
    Kind.UNREADABLE: "unreadable",
    NOT_TRANSLATED: "outside",
}


@dataclass(frozen=True)
class Case:
    """Tables in RAM, whose root is the first frame; addresses that they are asked for."""

    hart: Hart
    ram: PlainRam
    va: list[int]

    @property
    def fmt(self) -> Format:
        return riscv.make(self.hart.mode, svnapot=self.hart.svnapot, svpbmt=self.hart.svpbmt)

    def expected(self, va: int) -> Result:
        return by_the_manual(self.hart, self.ram.qword, self.ram.base, va)


def _flags(rng: Random) -> int:
    page = rng.choice([R, R | W, X, R | X, R | W | X]) | rng.getrandbits(4) << 4
    odd = rng.getrandbits(7) << 1 | rng.choice([0, 1 << 54, 1 << 60, 1 << 61, 2 << 61, 3 << 61, N])
    return rng.choice([V, V, V | page, V | page, V | page, V | odd, page, 0])


def case_of(seed: int) -> Case:
    """Make a few tables that refer to each other and to themselves, and pages of all kinds."""
    rng = Random(seed)
    hart = Hart(rng.choice(sorted(LEVELS)), rng.random() < 0.8, rng.random() < 0.8)
    base = rng.choice([0, 0x8000_0000, (1 << 55) + FRAME])
    ram = PlainRam(FRAMES * FRAME, base)
    # Few indexes, so that addresses often find what is there.
    hot = [rng.choice([0, 1, 15, 16, 255, 256, 511, rng.randrange(512)]) for _ in range(6)]
    for _ in range(rng.randrange(1, 60)):
        frame = (base >> 12) + rng.randrange(FRAMES)
        aligned = rng.choice([1 << 9, 3 << 18, 5 << 27, 1 << 36, (1 << 44) - 16, 8, 24, 9])
        number = rng.choice([frame, frame, frame, aligned, aligned, rng.getrandbits(44)])
        place = base + rng.randrange(FRAMES) * FRAME + 8 * rng.choice(hot)
        ram.write(place, _flags(rng) | number << 10)
    if rng.getrandbits(1):
        first = rng.choice(hot) // 16 * 16
        value = R | V | rng.getrandbits(5) << 3 | N | (rng.getrandbits(44) & ~15 | 8) << 10
        ram.table(base + rng.randrange(FRAMES) * FRAME)[first : first + 16] = value
    # A way down through all tables, so that most cases have pages.
    route = [rng.choice(hot) for _ in range(FRAMES)]
    for n in range(FRAMES - 1):
        ram.write(base + n * FRAME + 8 * route[n], V | (base >> 12) + n + 1 << 10)
    va = [_address(rng, LEVELS[hart.mode], route, hot) for _ in range(40)]
    return Case(hart, ram, [*va, rng.getrandbits(64)])


def cases() -> st.SearchStrategy[Case]:
    """Draw cases; what the numbers mean is no matter, and to draw each would take long."""
    return st.integers(0, 1 << 64).map(case_of)


def _address(rng: Random, levels: int, route: list[int], hot: list[int]) -> int:
    """Return an address on the way down, or one that leaves it at some level."""
    leaves_at = rng.randrange(levels)
    value = 0
    for n in range(levels):
        value = value << 9 | (route[n] if n < leaves_at else rng.choice(hot))
    bits = 9 * levels + 12
    value = value << 12 | rng.getrandbits(12)
    return value - (1 << bits) + (1 << 64) if value >> (bits - 1) else value


@settings(max_examples=150)
@given(cases())
def test_translations_are_those_of_the_manual(case: Case) -> None:
    found = translate(case.fmt, case.ram, u64(case.ram.base), u64(*case.va))
    for row, va in enumerate(case.va):
        expected = case.expected(va)
        path = [Step(s.lvl - 1, int(s.entry_pa[at]), int(s.entry[at])) for s, at in found.path(row)]
        assert path == list(expected.path)
        assert NAMES[int(found.kind[row])] == expected.kind
        if expected.kind != "leaf":
            continue
        assert int(found.pa[row]) == expected.pa
        assert 1 << int(found.page_bits[row]) == expected.size
        granted = rights.names(case.fmt, int(found.rights[row]))
        assert granted == {
            "read": expected.r,
            "write": expected.w,
            "execute": expected.x,
            "user": expected.u,
        }


@settings(max_examples=50)
@given(cases())
def test_every_page_of_the_walk_is_one_of_the_manual(case: Case) -> None:
    # Near the addresses asked for: hostile tables have more pages than a test has time for.
    near = sorted({va & ~((1 << 30) - 1) for va in case.va})
    graph = walk(
        case.fmt, case.ram, u64(case.ram.base), (u64(*near), u64(*near) | u64((1 << 30) - 1))
    )
    checked = 0
    for chunk in paths.leaves(graph):
        for at in range(min(len(chunk), 50)):
            va, last_va, entry_pa = (int(c[at]) for c in (chunk.va, chunk.last_va, chunk.entry_pa))
            # Of entries that make one page each is asked about its own 4K: they may disagree.
            size = last_va - va + 1
            own = entry_pa // 8 % 16 * FRAME if size == 1 << 16 else 0
            expected = case.expected(va + own)
            checked += 1
            assert expected.kind == "leaf"
            assert expected.path[-1].at == entry_pa
            assert expected.size == size
            assert expected.pa == int(chunk.pa[at]) + own
        if checked > 200:
            break


@pytest.mark.parametrize("name", LEVELS)
def test_every_bit_of_an_address_is_decoded_by_one_level(name: str) -> None:
    fmt = riscv.make(name)
    bits = [bit for lv in fmt.levels for bit in range(lv.shift, lv.shift + lv.index_bits)]
    assert bits == list(range(12, {"sv39": 39, "sv48": 48, "sv57": 57}[name]))


@pytest.mark.parametrize("name", LEVELS)
def test_every_bit_of_an_entry_has_one_meaning(name: str) -> None:
    fmt = riscv.make(name)
    for level in fmt.levels:
        for leaf in (False, True):
            named = [f.mask for f in level.fields if (f.leaves if leaf else f.tables)]
            flags = sum(named)
            assert flags == np.bitwise_or.reduce(np.array(named, np.uint64))
            # R, W and X of a table are zero: that is what makes it one.
            flags |= 0 if leaf else R | W | X
            reserved = level.reserved_leaf if leaf else level.reserved_table
            ppn = ((1 << 44) - 1) << 10 & ~reserved
            assert flags & reserved == 0 == (flags | reserved) & ppn
            assert flags | reserved | ppn == (1 << 64) - 1


def test_wrong_entries_say_why() -> None:
    fmt = riscv.make("sv39")
    assert fields.why_malformed(fmt, 1, V | W) == "allows writing, but not reading"
    assert "Svnapot" in fields.why_malformed(fmt, 1, V | R | N | 4 << 10)
    assert fields.why_malformed(fmt, 2, V | R | 1 << 10) == "has reserved bit 10 set"
    assert fields.why_malformed(riscv.make("sv39", svnapot=False), 1, V | R | N | 8 << 10) == (
        "has reserved bit 63 set"
    )
    for lvl, entry in ((1, V | R | 3 << 59), (3, V | 1 << 60)):
        assert "reserved" in fields.why_malformed(fmt, lvl, entry)
        left = riscv.make("sv39", svrsw60t59b=True)
        assert fields.classify(left, lvl, entry) is (Kind.LEAF if entry & R else Kind.TABLE)
        assert fields.bits(left, lvl, entry)["RSW[60:59]"] == entry >> 59


def test_of_entries_that_make_one_page_an_absent_one_maps_nothing() -> None:
    ram = PlainRam(3 * FRAME, 0, {0: V | 1 << 10, FRAME: V | 2 << 10})
    for index in (3, 7):
        ram.write(2 * FRAME + 8 * index, V | R | N | 0x1238 << 10)
    found = translate(
        riscv.make("sv39"), ram, u64(0), np.arange(20, dtype=np.uint64) << np.uint64(12)
    )
    assert np.flatnonzero(found.mapped).tolist() == [3, 7]
    assert found.pa[[3, 7]].tolist() == [0x1233000, 0x1237000]
