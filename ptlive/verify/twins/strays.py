"""Addresses that are asked besides every leaf and hole: random ones, wherever they lie."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from ptlive.arrays import U64

_WORD = np.uint64(2**64 - 8)
_PAGE_BITS = 12


def strays(levels: int, mapped: U64, count: int, seed: int) -> U64:
    """Return random addresses of 4- or 5-level paging, uint64[m] multiples of 8, ascending.

    mapped: addresses near which a part of them is to lie, whoever says that they are mapped
    count: how many, about: a quarter anywhere in the canonical halves; a half in the pages
    of `mapped`, beside them, and where one or several bits differ; a quarter not canonical,
    among them the first and the last that are not, and the last and first that are
    """
    random = np.random.default_rng(seed)
    bits = 9 * levels + 12
    quarter = max(count // 4, 1) if count else 0
    found = [_signed(_any(random, quarter), bits)]
    if mapped.size and count:
        near = mapped[random.integers(0, mapped.size, 2 * quarter)]
        shift = np.uint64(_PAGE_BITS) + np.uint64(9) * random.integers(
            0, levels, near.size, dtype=np.uint64
        )
        sort = random.integers(0, 4, near.size)
        flips = np.zeros(near.size, dtype=np.uint64)
        for _ in range(3):
            bit = random.integers(_PAGE_BITS, bits, near.size, dtype=np.uint64)
            flips |= np.where(random.random(near.size) < 0.5, np.uint64(1) << bit, np.uint64(0))
        moved = [near, near + (np.uint64(1) << shift), near - (np.uint64(1) << shift), near ^ flips]
        inside = _any(random, near.size) & np.uint64((1 << _PAGE_BITS) - 1)
        found.append(_signed(np.choose(sort, moved), bits) ^ inside)
    if count:
        half = 1 << (bits - 1)
        edges = [half - 8, half, (1 << 64) - half - 8, (1 << 64) - half, (1 << 64) - 8, 0]
        found.append(np.array(edges, dtype=np.uint64))
        odd = _any(random, quarter)
        found.append(odd[_signed(odd, bits) != odd])
        # One bit of the sign extension differs.
        bit = random.integers(bits, 64, quarter, dtype=np.uint64)
        found.append(_signed(_any(random, quarter), bits) ^ (np.uint64(1) << bit))
    return np.unique(np.concatenate(found) & _WORD)


def _any(random: np.random.Generator, count: int) -> U64:
    return random.integers(0, 1 << 64, count, dtype=np.uint64)


def _signed(va: U64, bits: int) -> U64:
    """Repeat the highest translated bit upwards, as a canonical address has it."""
    shift = np.int64(64 - bits)
    signed: U64 = ((va.view(np.int64) << shift) >> shift).view(np.uint64)
    return signed
