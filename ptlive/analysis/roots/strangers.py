"""Roots in no relation to a known one: a hypervisor's, a firmware's, forgotten ones.

Nothing but consistency speaks for them, so all of it is asked for: every table that they
refer to is one, down to the last level, some page of theirs is RAM, and they are not
themselves what another one has below it. What a table of a lower level, taken for a root,
has at the end of its paths are the contents of pages taken for tables, which fail that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ptlive.analysis.roots import halves
from ptlive.analysis.roots.candidates import Candidates, groups, pairs
from ptlive.analysis.roots.count import count
from ptlive.analysis.roots.judge import Below, Facts
from ptlive.analysis.roots.scan import sound
from ptlive.arrays import pieces, portions

if TYPE_CHECKING:
    from ptlive.analysis.roots.frames import Frames
    from ptlive.arrays import U64, Bool, Index, Memory
    from ptlive.paging.format import Format

# So many are walked, of those that nothing refers to.
MOST_WALKED = 1 << 10


def strangers(
    fmt: Format, memory: Memory, frames: Frames, addresses: U64
) -> tuple[list[Facts], list[str]]:
    """Examine frames that look like root tables; return what is left, and what was cut off."""
    told = []
    chosen = _with_sound_tables(fmt, memory, frames, addresses)
    chosen = chosen[~_referred_to(fmt, memory, frames, chosen)]
    if chosen.size > MOST_WALKED:
        told.append(
            f"{chosen.size:,} tables that nothing refers to look like roots: "
            f"the first {MOST_WALKED:,} were walked"
        )
        chosen = chosen[:MOST_WALKED]
    counts = count(fmt, memory, frames, chosen, None)
    is_one = counts.known & (counts.in_ram > 0) & (counts.bad <= counts.leaves)
    # One that another's walk met is a table of that one; one that maps itself meets itself.
    is_one &= ~np.isin(chosen, counts.visited) | _maps_itself(fmt, memory, frames, chosen)
    rows = np.flatnonzero(is_one)
    data, _ = memory.read(chosen[rows], frames.size)
    some = Candidates(fmt, chosen[rows], halves.entries(fmt, data))
    found = pairs(some) if rows.size else {}
    partner = found | {few: many for many, few in found.items()}
    group = groups(some.upper)
    family = np.bincount(group, minlength=1)[group] if rows.size else group
    # To refer to themselves is nothing that tables have in common.
    level = fmt.level(fmt.top)
    family = np.where(level.table_address(some.upper).any(axis=1), family, 0)
    result = []
    for at, row in enumerate(rows.tolist()):
        other = partner.get(at)
        result.append(
            Facts(
                root=int(chosen[row]),
                below=Below(*(int(getattr(counts, name)[row]) for name in Below._fields)),
                partner=None if other is None else int(some.address[other]),
                partner_sure=False,
                entrance=at in found.values(),
                family=int(family[at]),
                upper=int(some.upper_used[at]),
                lower=int(some.lower_used[at]),
            )
        )
    return result, told


def _with_sound_tables(fmt: Format, memory: Memory, frames: Frames, addresses: U64) -> U64:
    """Return the tables of which each entry refers to a table that may be one."""
    # Of each frame of RAM: not yet asked for, sound as a table of the second level, or not.
    sound_of = np.zeros(frames.count, dtype=np.int8)
    kept = [np.zeros(0, dtype=np.uint64)]
    for here in portions(addresses, frames.size):
        data, valid = memory.read(here, frames.size)
        entry = halves.entries(fmt, data)
        row, below = _tables_of(fmt, frames, entry)
        asked = np.zeros(frames.count, dtype=np.bool_)  # np.unique takes longer than all else
        asked[below[below >= 0]] = True
        wanted = np.flatnonzero(asked & (sound_of == 0))
        sound_of[wanted] = np.where(_sound(fmt, memory, frames, wanted), 1, -1)
        good = valid.copy()
        good[row[(below < 0) | (sound_of[below] < 0)]] = False
        kept.append(here[good])
    return np.concatenate(kept)


def _referred_to(fmt: Format, memory: Memory, frames: Frames, addresses: U64) -> Bool:
    """Tell which of these tables another one of them refers to."""
    number = frames.number(addresses)
    referred, done = np.zeros(frames.count, dtype=np.bool_), 0
    for data, _ in pieces(memory, addresses, frames.size):
        row, below = _tables_of(fmt, frames, halves.entries(fmt, data))
        own = number[done : done + len(data)][row]
        referred[below[(below != own) & (below >= 0)]] = True
        done += len(data)
    told: Bool = referred[number]
    return told


def _maps_itself(fmt: Format, memory: Memory, frames: Frames, addresses: U64) -> Bool:
    """Tell which tables refer to themselves."""
    number = frames.number(addresses)
    found = np.zeros(addresses.size, dtype=np.bool_)
    done = 0
    for data, _ in pieces(memory, addresses, frames.size):
        row, below = _tables_of(fmt, frames, halves.entries(fmt, data))
        found[done + row[below == number[done + row]]] = True
        done += len(data)
    return found


def _tables_of(fmt: Format, frames: Frames, entry: U64) -> tuple[Index, Index]:
    """Return of each present entry the row it is in, and the frame of its table."""
    row, column = np.nonzero(fmt.present(entry))
    address = fmt.level(fmt.top).table_address(entry[row, column])
    return row, frames.number(address)


def _sound(fmt: Format, memory: Memory, frames: Frames, numbers: Index) -> Bool:
    """Tell which frames hold nothing that a table of the second level would not."""
    good, done = np.zeros(numbers.size, dtype=np.bool_), 0
    level = fmt.level(fmt.top - 1)
    for data, valid in pieces(memory, frames.addresses[numbers], frames.size):
        entry = data.view(level.entry).astype(np.uint64, copy=False)
        good[done : done + len(data)] = sound(fmt, frames, fmt.top - 1, entry).all(axis=1) & valid
        done += len(data)
    return good
