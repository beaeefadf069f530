"""Which addresses of a bench are asked: which combinations of variants, and the edges."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from ptlive.arrays import U64
    from ptlive.verify.selftest.bench import Bench
    from ptlive.verify.selftest.variants import Variant

PAGE_SHIFT, INDEX_BITS = 12, 9


def singles(bench: Bench) -> U64:
    """Return addresses for each variant, with open entries at all other levels.

    For one that may map a large page also an address in it whose lower index bits are
    all the others.
    """
    found = []
    for lvl, table in bench.slots.items():
        above = [_open(bench, up) for up in range(bench.levels, lvl, -1)]
        below = [_open(bench, down) for down in range(lvl - 1, 0, -1)]
        others = [slot ^ (1 << INDEX_BITS) - 1 for slot in below]
        found += [[*above, slot, *below] for slot in table]
        found += [[*above, slot, *others] for slot, one in table.items() if one.leaf]
    return _addresses(bench, found)


def matrix(bench: Bench) -> U64:
    """Return addresses for each combination of rights over all levels, for each size of page."""
    found: list[Sequence[int]] = []
    for page in range(1, bench.levels):
        leaves = _slots(bench, page, lambda one: one.rights and one.leaf)
        tables = [
            _slots(bench, lvl, lambda one: one.rights and not one.leaf)
            for lvl in range(bench.levels, page, -1)
        ]
        below = [[_open(bench, lvl)] for lvl in range(page - 1, 0, -1)]
        found += itertools.product(*tables, leaves, *below)
    return _addresses(bench, found)


def mixtures(bench: Bench, count: int, random: np.random.Generator) -> U64:
    """Return addresses that pick any slot at about half of the levels.

    Where a page is larger than 4K, that is any 4K of it.
    """
    columns = []
    for lvl in range(bench.levels, 0, -1):
        chosen = random.integers(0, 1 << INDEX_BITS, count)
        columns.append(np.where(random.random(count) < 0.5, chosen, _open(bench, lvl)))
    return _addresses(bench, np.stack(columns, axis=1))


def edges(bench: Bench, random: np.random.Generator) -> U64:
    """Return addresses at the edges of what is canonical, and beyond them.

    Of some addresses in both halves each bit that must be a copy of the sign is
    changed, alone and with random others.
    """
    width = PAGE_SHIFT + INDEX_BITS * bench.levels
    half, everything = 1 << width - 1, 1 << 64
    ends = [0, half, everything - half, everything]
    found = [(end + by) % everything for end in ends for by in (-(1 << PAGE_SHIFT), 0)]
    for va in singles(bench)[:: len(bench.slots[1]) // 10].tolist():
        for bit in range(width - 1, 64):
            found += [va ^ 1 << bit, va ^ int(random.integers(1 << (64 - width + 1))) << width - 1]
    return np.array(found, dtype=np.uint64)


def _slots(bench: Bench, lvl: int, wanted: Callable[[Variant], bool]) -> list[int]:
    return [slot for slot, one in bench.slots[lvl].items() if wanted(one)]


def _open(bench: Bench, lvl: int) -> int:
    """Return the slot of a level's open entry, which refers to a table if one can."""
    return _slots(bench, lvl, lambda one: not one.flips and one.leaf == (lvl == 1))[0]


def _addresses(bench: Bench, indexes: Iterable[Sequence[int]]) -> U64:
    """Return the addresses that have these indexes, from the root's downwards."""
    columns = np.array(list(indexes), dtype=np.uint64)
    va = np.zeros(len(columns), dtype=np.uint64)
    for column in columns.T:
        va = va << np.uint64(INDEX_BITS) | column
    # The highest bit of the root's index is the sign.
    unused = np.uint64(64 - INDEX_BITS * bench.levels - PAGE_SHIFT)
    signed = (va << (np.uint64(PAGE_SHIFT) + unused)).view(np.int64) >> np.int64(unused)
    found: U64 = signed.view(np.uint64)
    return found
