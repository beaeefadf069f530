"""The walk of random AArch64 tables, held against the manual, read one address at a time."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ptlive.arrays import u64
from ptlive.paging import fields, rights
from ptlive.paging.format import Kind
from ptlive.paging.formats import aarch64
from ptlive.paging.formats.aarch64 import Shape
from ptlive.paging.translate import NOT_TRANSLATED, translate
from tests.paging.plain_ram import PlainRam
from tests.reference.aarch64 import CONTIGUOUS, PAGE_SHIFT, Regime, Result, Step
from tests.reference.aarch64 import translate as by_the_manual

if TYPE_CHECKING:
    from ptlive.paging.format import Format

NAMES = {
    Kind.ABSENT: {"absent"},
    Kind.LEAF: {"leaf"},
    Kind.MALFORMED: {"reserved", "size"},
    Kind.UNREADABLE: {"unreadable"},
    NOT_TRANSLATED: {"outside"},
}
REGIMES = [
    *(Regime("4k", bits, pa) for bits, pa in ((48, 48), (39, 40), (30, 36), (25, 32))),
    *(Regime("16k", bits, pa) for bits, pa in ((48, 48), (47, 40), (36, 44))),
    *(Regime("64k", bits, pa) for bits, pa in ((48, 48), (42, 40), (52, 52), (48, 52))),
    *(Regime("4k", bits, pa, lpa2=True) for bits, pa in ((52, 52), (48, 50))),
    *(Regime("16k", bits, pa, lpa2=True) for bits, pa in ((52, 52), (50, 48))),
    Regime("4k", 48, 48, hd=True),
    Regime("4k", 48, 48, hpd=True),
]
TABLES = 5


@dataclass(frozen=True)
class Case:
    """Tables in RAM, of which the first two are the roots; addresses that they are asked for."""

    regime: Regime
    ram: PlainRam
    va: list[int]

    @property
    def roots(self) -> tuple[int, int]:
        return self.ram.base, self.ram.base + (1 << PAGE_SHIFT[self.regime.granule])

    @property
    def fmt(self) -> Format:
        return aarch64.make(shape_of(self.regime))

    def expected(self, va: int) -> Result:
        return by_the_manual(self.regime, self.ram.qword, self.roots, va)


def shape_of(regime: Regime) -> Shape:
    wide = regime.lpa or regime.lpa2
    return Shape(regime.granule, regime.va_bits, regime.pa_bits, wide, regime.hd, not regime.hpd)


def _encode(regime: Regime, address: int) -> int:
    if regime.lpa:
        return address & ((1 << 48) - 1) | (address >> 48 & 15) << 12
    if regime.lpa2:
        return address & ((1 << 50) - 1) | (address >> 50 & 3) << 8
    return address & ((1 << 48) - 1)


def _flags(rng: Random) -> int:
    attributes = rng.getrandbits(2) << 6 | rng.getrandbits(2) << 53 | rng.choice([0, 1, 1, 1]) << 10
    page, block, dirty = 3 | attributes, 1 | attributes, 1 << 51 | 1 << 10
    odd = [0, 2, page | dirty, block | dirty, rng.getrandbits(4) << 59 | 3, page | 1 << 11]
    return rng.choice([3, 3, page, page, page, page, block, block, rng.choice(odd)])


def case_of(seed: int) -> Case:
    """Make a few tables that refer to each other and to themselves, and pages of all kinds."""
    rng = Random(seed)
    regime = rng.choice(REGIMES)
    page = 1 << PAGE_SHIFT[regime.granule]
    base = rng.choice([0, 0x4000_0000, 1 << 31])
    ram = PlainRam(TABLES * page, base)
    # Few indexes, so that addresses often find what is there.
    hot = [rng.choice([0, 1, 15, 16, page // 8 - 1, rng.randrange(page // 8)]) for _ in range(6)]
    for _ in range(rng.randrange(1, 60)):
        frame = base + rng.randrange(TABLES) * page
        large = rng.choice([1 << 21, 3 << 25, 1 << 30, 1 << 29, 1 << 36, 1 << 39, 1 << 42])
        value = rng.choice([frame, frame, frame, large, large, rng.getrandbits(52)])
        value = _encode(regime, value & -4096)
        place = base + rng.randrange(TABLES) * page + 8 * rng.choice(hot)
        ram.write(place, value & ~0xFF | _flags(rng))
    if rng.getrandbits(1):
        _contiguous(rng, regime, ram, hot)
    # A way down through all tables, so that most cases have pages.
    route = [rng.choice(hot) for _ in range(TABLES)]
    for n in range(TABLES - 1):
        down = _encode(regime, base + (n + 1) * page) | 3 | rng.choice([0, 0, 1, 5]) << 60
        at = _root_index(regime, route[0]) if n == 0 else route[n]
        ram.write(base + n * page + 8 * at, down)
    near = [_address(rng, regime, route, hot) for _ in range(40)]
    return Case(regime, ram, [*near, rng.getrandbits(64)])


def cases() -> st.SearchStrategy[Case]:
    """Draw cases; what the numbers mean is no matter, and to draw each would take long."""
    return st.integers(0, 1 << 64).map(case_of)


def _root_index(regime: Regime, index: int) -> int:
    """Return what of an index a root table has room for."""
    page = PAGE_SHIFT[regime.granule]
    return index % (1 << ((regime.va_bits - page - 1) % (page - 3) + 1))


def _contiguous(rng: Random, regime: Regime, ram: PlainRam, hot: list[int]) -> None:
    """Write a group that is as software must make it."""
    page = PAGE_SHIFT[regime.granule]
    level = rng.choice([level for name, level in CONTIGUOUS if name == regime.granule])
    count, low = CONTIGUOUS[regime.granule, level], page + (page - 3) * (3 - level)
    first = rng.choice(hot) // count * count
    table = ram.base + (rng.randrange(TABLES) << page)
    kind = (3 if level == 3 else 1) | 1 << 10 | 1 << 52 | rng.getrandbits(2) << 6
    begin = rng.randrange(4) * count << low
    for number in range(count):
        ram.write(table + 8 * (first + number), _encode(regime, begin + (number << low)) | kind)


def _address(rng: Random, regime: Regime, route: list[int], hot: list[int]) -> int:
    """Return an address on the way down, or one that leaves it at some level."""
    page = PAGE_SHIFT[regime.granule]
    levels = -(-(regime.va_bits - page) // (page - 3))
    leaves_at = rng.randrange(levels)
    value = 0
    for n in range(levels):
        value = value << page - 3 | (route[n] if n < leaves_at else rng.choice(hot))
    value = (value << page | rng.getrandbits(page)) & ((1 << regime.va_bits) - 1)
    return value | (1 << 64) - (1 << regime.va_bits) if rng.random() < 0.2 else value


@settings(max_examples=200)
@given(cases())
def test_translations_are_those_of_the_manual(case: Case) -> None:
    found = translate(case.fmt, case.ram, u64(*case.roots), u64(*case.va))
    for row, va in enumerate(case.va):
        expected = case.expected(va)
        path = [Step(4 - s.lvl, int(s.entry_pa[at]), int(s.entry[at])) for s, at in found.path(row)]
        assert path == list(expected.path)
        if expected.kind == "unpredictable":
            continue
        assert expected.kind in NAMES[int(found.kind[row])]
        if expected.kind != "leaf":
            continue
        assert int(found.pa[row]) == expected.pa
        assert 1 << int(found.page_bits[row]) == expected.size
        assert rights.names(case.fmt, int(found.rights[row])) == {
            "write": expected.write,
            "execute": not expected.pxn,
            "user": expected.user,
            "user-execute": not expected.uxn,
        }


@pytest.mark.parametrize("regime", REGIMES, ids=str)
def test_every_bit_of_an_address_is_decoded_by_one_level(regime: Regime) -> None:
    fmt = aarch64.make(shape_of(regime))
    bits = [bit for lv in fmt.levels for bit in range(lv.shift, lv.shift + lv.index_bits)]
    assert bits == list(range(PAGE_SHIFT[regime.granule], regime.va_bits))


@pytest.mark.parametrize("regime", REGIMES, ids=str)
def test_no_bit_of_an_entry_has_two_meanings(regime: Regime) -> None:
    for level in aarch64.make(shape_of(regime)).levels:
        for leaf in (False, True):
            named = [f.mask for f in level.fields if (f.leaves if leaf else f.tables)]
            flags = sum(named)
            assert flags == np.bitwise_or.reduce(np.array(named, np.uint64))
            address = level.leaf_address if leaf else level.table_address
            for bit in range(64):
                if flags >> bit & 1:
                    assert not address(u64(1 << bit))[0], (level.spec, bit)


def test_one_half_alone_has_one_root() -> None:
    for half, window in (("lower", 0), ("upper", (1 << 64) - (1 << 39))):
        fmt = aarch64.make(Shape("4k", 39), lower=half == "lower", upper=half == "upper")
        assert fmt.name == f"aarch64-4k-39-{half}"
        assert [(one.va, one.root) for one in fmt.windows] == [(window, 0)]
        assert fmt.roots == 1


def test_wrong_entries_say_why() -> None:
    fmt = aarch64.make(Shape("4k", 48, 40))
    assert fields.why_malformed(fmt, 1, 1) == "is a block, where there are only pages"
    assert fields.why_malformed(fmt, 4, 1) == "is a block, which this level has none of"
    assert fields.why_malformed(fmt, 2, 3 | 1 << 41) == "has reserved bit 41 set"
