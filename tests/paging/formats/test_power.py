"""The walk of random radix trees, held against the manual, read one address at a time."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from random import Random

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from ptlive.arrays import u64
from ptlive.paging import fields, paths, rights
from ptlive.paging.format import Kind
from ptlive.paging.formats import power
from ptlive.paging.translate import NOT_TRANSLATED, translate
from ptlive.paging.walk import walk
from tests.paging.plain_ram import PlainRam
from tests.reference.power import Result, Step
from tests.reference.power import translate as by_the_manual

V, L = 1 << 63, 1 << 62
KERNEL = 0xC << 60
ROOT = 8 << 13
TABLE = 8 << 9
TABLES = 5  # of 512 entries each, behind two roots
NAMES = {
    Kind.ABSENT: "absent",
    Kind.LEAF: "leaf",
    Kind.MALFORMED: "unsupported",
    Kind.UNREADABLE: "unreadable",
    NOT_TRANSLATED: "outside",
}
FMT = power.make()


@dataclass(frozen=True)
class Case:
    """Trees in RAM, whose roots come first; addresses that they are asked for."""

    ram: PlainRam
    va: list[int]

    @property
    def roots(self) -> tuple[int, int]:
        return self.ram.base, self.ram.base + ROOT

    def entry(self, address: int) -> int | None:
        """Return a big-endian doubleword; None where there is no RAM."""
        value = self.ram.qword(address)
        return None if value is None else int.from_bytes(value.to_bytes(8, "little"), "big")

    def expected(self, va: int) -> Result:
        return by_the_manual(self.entry, self.roots, va)


def case_of(seed: int) -> Case:
    """Make a few tables that refer to each other and to themselves, and pages of all kinds."""
    rng = Random(seed)
    base = rng.choice([0, 0x200_0000, 1 << 40])
    ram = PlainRam(2 * ROOT + TABLES * TABLE, base)
    # Few indexes, so that addresses often find what is there.
    hot = [rng.choice([0, 1, 15, 16, 31, 511, rng.randrange(512)]) for _ in range(6)]
    tables = [base, base + ROOT, *(base + 2 * ROOT + n * TABLE for n in range(TABLES))]
    for _ in range(rng.randrange(1, 60)):
        place = rng.choice(tables) + 8 * rng.choice(hot)
        ram.write(place, _entry(rng, tables), ">u8")
    # A way down through all levels, whose last table has either size.
    route = [rng.choice(hot) for _ in range(4)]
    for root in tables[:2]:
        ram.write(root + 8 * route[0], V | tables[2] | 9, ">u8")
    ram.write(tables[2] + 8 * route[1], V | tables[3] | 9, ">u8")
    ram.write(tables[3] + 8 * route[2], V | tables[4] | rng.choice([5, 9]), ">u8")
    va = [_address(rng, route, hot) for _ in range(40)]
    return Case(ram, [*va, rng.getrandbits(64)])


def _entry(rng: Random, tables: list[int]) -> int:
    table = V | rng.choice(tables) | rng.choice([9, 9, 9, 5, 5, rng.getrandbits(5)])
    # Frames of pages larger than 4K begin at a multiple of 64K at least, as they must.
    frame = rng.getrandbits(41) << 16
    page = V | L | frame | rng.getrandbits(9)
    far = V | rng.getrandbits(44) << 12 | 9
    return rng.choice([table, table, page, page, page, page, page & ~V, far])


def _address(rng: Random, route: list[int], hot: list[int]) -> int:
    """Return an address on the way down, or one that leaves it at some level."""
    leaves_at = rng.randrange(4)
    indexes = [route[n] if n < leaves_at else rng.choice(hot) for n in range(4)]
    value = indexes[0] << 39 | indexes[1] << 30 | indexes[2] << 21
    # The last index has 9 bits or 5: what is hot is so in both.
    value |= indexes[3] % 32 << 16 if rng.getrandbits(1) else indexes[3] << 12
    value |= rng.getrandbits(12)
    return value | rng.choice([0, 0, KERNEL, KERNEL, 1 << 62, 1 << 52])


def cases() -> st.SearchStrategy[Case]:
    """Draw cases; what the numbers mean is no matter, and to draw each would take long."""
    return st.integers(0, 1 << 64).map(case_of)


@settings(max_examples=150)
@given(cases())
def test_translations_are_those_of_the_manual(case: Case) -> None:
    found = translate(FMT, case.ram, u64(*case.roots), u64(*case.va))
    for row, va in enumerate(case.va):
        expected = case.expected(va)
        path = [Step(4 - s.lvl, int(s.entry_pa[at]), int(s.entry[at])) for s, at in found.path(row)]
        assert path == list(expected.path)
        assert NAMES[int(found.kind[row])] == expected.kind
        if expected.kind != "leaf":
            continue
        assert int(found.pa[row]) == expected.pa
        assert 1 << int(found.page_bits[row]) == expected.size
        assert rights.names(FMT, int(found.rights[row])) == {
            "read": expected.read,
            "write": expected.write,
            "execute": expected.execute,
            "user": expected.problem_state,
        }


@settings(max_examples=50)
@given(cases())
def test_pages_and_holes_tile_each_quadrant(case: Case) -> None:
    va = sorted({address & ~((1 << 30) - 1) for address in case.va if case.expected(address).path})
    last = [address | (1 << 30) - 1 for address in va]
    graph = walk(FMT, case.ram, u64(*case.roots), (u64(*va), u64(*last)))
    rows: set[tuple[int, int]] = set()
    for chunk in (*paths.leaves(graph), *paths.holes(graph)):
        rows |= set(zip(chunk.va.tolist(), chunk.last_va.tolist(), strict=True))
    # A hole may be larger than what was asked for, and then touch several of the ranges.
    parts = sorted(
        (max(a, begin), min(b, end)) for a, b in rows for begin, end in _around(a, b, va, last)
    )
    for (_, end), (begin, _) in pairwise(parts):
        assert begin == end + 1 or begin in va
    assert sum(b - a + 1 for a, b in parts) == len(va) << 30


def _around(a: int, b: int, va: list[int], last: list[int]) -> list[tuple[int, int]]:
    return [(x, y) for x, y in zip(va, last, strict=True) if x <= b and y >= a]


def test_every_bit_of_an_address_is_decoded_by_one_level() -> None:
    above = [bit for lv in FMT.levels[1:] for bit in range(lv.shift, lv.shift + lv.index_bits)]
    assert above == list(range(21, 52))
    for last, page in ((9, 12), (5, 16)):
        assert 21 - last == page  # the last index begins where the page ends, whatever its width
        case = case_of(0)
        tables = [case.ram.base + 2 * ROOT + n * TABLE for n in range(3)]
        case.ram.data[:] = 0
        for place, to, bits in zip((case.ram.base, *tables), tables, (9, 9, last), strict=False):
            case.ram.write(place, V | to | bits, ">u8")
        case.ram.write(tables[2], V | L | 7 << 20, ">u8")
        found = translate(FMT, case.ram, u64(*case.roots), u64(*(1 << bit for bit in range(22))))
        inside = (np.arange(22) < page).tolist()
        assert found.mapped.tolist() == inside


def test_one_quadrant_alone_has_one_root() -> None:
    only = power.make(kernel=False)
    assert (only.name, only.roots) == ("power-radix-user", 1)
    only = power.make(user=False)
    assert (only.name, only.roots, only.windows[0].va) == ("power-radix-kernel", 1, KERNEL)


def test_wrong_entries_say_why() -> None:
    assert fields.why_malformed(FMT, 1, V | 9).startswith("refers to a table, where")
    assert fields.why_malformed(FMT, 2, V | 6) == "refers to a table that has not 32 or 512 entries"
    assert fields.why_malformed(FMT, 3, V | 5) == "refers to a table that has not 512 entries"
    assert fields.why_malformed(FMT, 4, V | L) == "is a page of a size that there is none of"
