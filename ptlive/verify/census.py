"""A second, tiny reader of page tables, to count what a walk must have found.

It shares no code with the walker and no description of the format: what ends a path is
written down here once more (SDM vol. 3A 4.5, tables 4-14 to 4-20). Each table is read
once; along with it go the number of paths to it and the sum of the linear addresses at
which they arrive, so that counts are exact however often a table is shared.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from ptlive.arrays import U64, Bool, Memory

P, PS, XD = 1, 1 << 7, 1 << 63
FRAME, ENTRIES = 1 << 12, 512
ADDRESS = (1 << 52) - FRAME
WRAP = 1 << 64


@dataclass(frozen=True)
class Machine:
    """What decides which entries end a path; maxphyaddr: 52 if it is not known."""

    levels: int
    maxphyaddr: int
    nxe: bool

    def shift(self, lvl: int) -> int:
        """Return the lowest bit of a level's index in an address."""
        return 9 * lvl + 3

    def refers(self, lvl: int, entries: U64) -> Bool:
        """Tell which entries refer to a table of the level below, if there is one there."""
        if lvl == 1:
            return np.zeros(entries.shape, dtype=np.bool_)
        # Reserved in an entry that refers to a table: address bits from MAXPHYADDR on, XD
        # without NXE. Bit 7 makes a page of it, or is reserved above the page sizes.
        wrong = ADDRESS & -(1 << self.maxphyaddr) | PS | (0 if self.nxe else XD)
        refers: Bool = entries & np.uint64(wrong | P) == np.uint64(P)
        return refers


@dataclass(frozen=True)
class Count:
    """The entries of one level that end paths.

    paths: how many paths end there; first: the sum of the linear addresses at which
    their spans begin, modulo 2**64
    """

    lvl: int
    paths: int
    first: int


def count(memory: Memory, machine: Machine, root: int) -> list[Count]:
    """Count the ends of all paths from a root table, from the top level downwards."""
    top = machine.shift(machine.levels + 1)
    # The upper half's addresses are sign-extended: the same as entries 256 to 511 of a
    # root whose span begins 2**64 - 2**top.
    tables: dict[int, tuple[int, int]] = {root: (1, 0)}
    counts = []
    for lvl in range(machine.levels, 0, -1):
        step = 1 << machine.shift(lvl)
        below: dict[int, tuple[int, int]] = {}
        ends = Count(lvl, 0, 0)
        data, _ = memory.read(np.array(list(tables), dtype=np.uint64), FRAME)
        words = data.view("<u8").astype(np.uint64, copy=False)
        down = _down(memory, machine, lvl, words)
        for (paths, first), entries, leads in zip(tables.values(), words, down, strict=True):
            index = np.arange(ENTRIES)
            starts = index * step
            if lvl == machine.levels:
                starts = np.where(index < ENTRIES // 2, starts, starts - (1 << top))
            here = starts[~leads]
            ends = Count(
                lvl,
                ends.paths + paths * here.size,
                (ends.first + first * here.size + paths * int(here.sum())) % WRAP,
            )
            for start, entry in zip(starts[leads].tolist(), entries[leads].tolist(), strict=True):
                others = below.get(entry & ADDRESS, (0, 0))
                child = others[0] + paths, (others[1] + first + paths * start) % WRAP
                below[entry & ADDRESS] = child
        counts.append(ends)
        tables = below
        if not tables:
            break
    return counts


def sample(memory: Memory, machine: Machine, root: int, wanted: int, seed: int) -> U64:
    """Return random addresses, uint64[wanted], in pages that the tables map, or nearly.

    On each level every present entry of the table reached is as likely, so that what is
    rare is found among a million alike.
    """
    random = np.random.default_rng(seed)
    table = np.full(wanted, root, dtype=np.uint64)
    va = np.zeros(wanted, dtype=np.uint64)
    on = np.ones(wanted, dtype=np.bool_)
    for lvl in range(machine.levels, 0, -1):
        distinct, which = np.unique(table[on], return_inverse=True)
        if not distinct.size:
            break
        data, _ = memory.read(distinct, FRAME)
        words = data.view("<u8").astype(np.uint64, copy=False)[which.reshape(-1)]
        present = words & np.uint64(P) != 0
        chosen = (random.random(words.shape) * (1 + present)).argmax(axis=1)
        va[on] += chosen.astype(np.uint64) << np.uint64(machine.shift(lvl))
        entry = words[np.arange(chosen.size), chosen]
        leads = _down(memory, machine, lvl, entry)
        table[on] = entry & np.uint64(ADDRESS)
        on[np.flatnonzero(on)[~leads]] = False
    shift = np.uint64(64 - machine.shift(machine.levels + 1))
    signed = (va << shift).view(np.int64) >> shift.view(np.int64)
    found: U64 = signed.view(np.uint64)
    return found


def _down(memory: Memory, machine: Machine, lvl: int, entries: U64) -> Bool:
    """Tell which entries lead to a table that lies in some memory."""
    refers = machine.refers(lvl, entries)
    table = entries[refers] & np.uint64(ADDRESS)
    distinct, which = np.unique(table, return_inverse=True)
    refers[refers] = memory.read(distinct, FRAME)[1][which.reshape(-1)]
    return refers
