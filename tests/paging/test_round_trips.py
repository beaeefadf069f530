"""How often a memory is asked: a wire pays for each time, whatever it carries."""

from __future__ import annotations

import pytest

from ptlive.arrays import u64
from ptlive.memory.cache import FrameCache
from ptlive.paging.translate import translate
from ptlive.paging.walk import walk
from tests.paging.builder import Builder
from tests.paging.tables import PWU

TOP = 0xFFFF_FFFF_8000_0000


def built(levels: int, pages: int) -> Builder:
    tables = Builder(levels, frames=64)
    for n in range(pages):
        tables.map(TOP + (n << 21), 0x5000_0000 | n << 12 | PWU)
    return tables


@pytest.mark.parametrize("levels", [4, 5])
def test_an_address_takes_one_for_each_level_and_none_when_it_is_held(levels: int) -> None:
    tables = built(levels, 3)
    cache = FrameCache(tables.ram)
    for expected in (levels, 0):
        tables.ram.reads.clear()
        assert translate(tables.fmt, cache, tables.roots[0:1], u64(TOP + 5)).mapped.all()
        assert len(tables.ram.reads) == expected
        assert all(len(addresses) == 1 for addresses, _ in tables.ram.reads)


@pytest.mark.parametrize("levels", [4, 5])
def test_a_walk_takes_one_for_each_level(levels: int) -> None:
    tables = built(levels, 40)
    assert walk(tables.fmt, tables.ram, tables.roots).leaves == 40
    assert len(tables.ram.reads) == levels
    asked = [address for addresses, _ in tables.ram.reads for address in addresses]
    assert len(asked) == len(set(asked)) == levels - 1 + 40
