"""The walk of any number of levels is the manual's, where the manual has one."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from . import sdm
from .levels import software_walk
from .machines import FIVE
from .ram import ram

FRAMES = 12


@pytest.mark.parametrize("levels", [4, 5])
def test_it_is_the_manuals_walk(levels: int) -> None:
    chance = random.Random(levels)
    machine = replace(FIVE, levels=levels, maxphyaddr=52)
    kinds = []
    for _ in range(2000):
        # Every entry that can be met leads somewhere within a few tables, or says what it must not.
        flags = (0x1, 0x3, 0x63, 0x83, 0x1083, 0x2083, 1 << 63 | 0x87, 0x62)
        entries = {
            frame << 12 | index << 3: chance.randrange(FRAMES) << 12 | chance.choice(flags)
            for frame in range(FRAMES)
            for index in range(2)
        }
        va = sum(chance.randrange(2) << (12 + 9 * n) for n in range(levels)) | chance.randrange(
            4096
        )
        read = ram(entries, FRAMES << 12)
        expected = sdm.translate(machine, read, 0, va)
        kinds.append(expected.kind)
        if expected.kind in ("malformed", "unreadable"):
            with pytest.raises(LookupError):
                software_walk(levels, read, 0, va)
            continue
        found = software_walk(levels, read, 0, va)
        if found is None:
            assert expected.kind == "absent"
            continue
        assert (found.pa, found.page_size) == (expected.pa, expected.page_size)
        assert (found.entry_pa, found.entry) == expected.path[-1][1:]
    assert {"leaf", "absent", "malformed"} <= set(kinds)


def test_six_levels_use_all_of_an_address() -> None:
    entries = {127 << 3: 0x1003, (0x1000 | 511 << 3): 0x2003, (0x2000 | 511 << 3): 0x3003}
    entries |= {0x3000 | 511 << 3: 0x4003, 0x4000 | 511 << 3: 0x5003, 0x5000 | 511 << 3: 0x7003}
    found = software_walk(6, ram(entries), 0, (1 << 64) - 1)
    assert found
    assert (found.pa, found.page_size) == (0x7FFF, 4096)


def test_three_levels_begin_at_the_pages_of_1g() -> None:
    found = software_walk(3, ram({0x1008: 1 << 30 | 0x83}), 0x1000, (1 << 30) + 5)
    assert found
    assert (found.pa, found.page_size) == ((1 << 30) + 5, 1 << 30)
