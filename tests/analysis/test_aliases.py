"""By which addresses an entry can be written: every mapping of it, by whatever page and root."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ptlive.analysis.aliases import Alias, aliases
from ptlive.arrays import u64
from ptlive.paging.formats.x86_64 import make_levels
from ptlive.paging.walk import walk
from tests.paging.plain_ram import FRAME, PlainRam
from tests.paging.tables import PS, PWU, RW, P

if TYPE_CHECKING:
    from ptlive.arrays import U64
    from ptlive.paging.graph import Graph

FMT = make_levels(4, maxphyaddr=40)
ENTRY = 3 * FRAME + 0x128  # of the lowest table
SELF = 7 << 12  # the address at which the lowest table maps itself
DIRECT = 1 << 47 | 0xFFFF << 48  # where all is mapped by a 2M page


def ram() -> PlainRam:
    """A root at 0, and another at 5: they share what is below entry 256."""
    made = PlainRam(8 * FRAME)
    for root in (0, 5 * FRAME):
        made.write(root + 8 * 256, 4 * FRAME | PWU)
    made.write(8 * 0, 1 * FRAME | PWU)
    made.write(1 * FRAME, 2 * FRAME | PWU)
    made.write(2 * FRAME, 3 * FRAME | PWU)
    made.write(3 * FRAME + 8 * 7, 3 * FRAME | P)  # the table itself, read-only
    made.write(4 * FRAME, 6 * FRAME | PWU)
    made.write(6 * FRAME, PS | P | RW)
    return made


def graph(memory: PlainRam, *roots: int) -> Graph:
    return walk(FMT, memory, np.array([[root] for root in roots], dtype=np.uint64))


def listed(memory: PlainRam, entries: U64, *roots: int) -> list[tuple[Alias, ...]]:
    return [one.listed for one in aliases(graph(memory, *roots), entries, 8, 16)]


def test_every_mapping_of_an_entry_with_whether_it_may_be_written() -> None:
    assert listed(ram(), u64(ENTRY), 0) == [
        (Alias(SELF + 0x128, writable=False), Alias(DIRECT + ENTRY, writable=True))
    ]


def test_entries_are_told_in_the_order_in_which_they_were_asked() -> None:
    found = listed(ram(), u64(4 * FRAME, ENTRY, 0), 0)
    assert [one[-1].va - DIRECT for one in found] == [4 * FRAME, ENTRY, 0]


def test_what_several_roots_have_in_common_is_told_once() -> None:
    both = aliases(graph(ram(), 0, 5 * FRAME), u64(ENTRY), 8, 16)
    assert both == aliases(graph(ram(), 0), u64(ENTRY), 8, 16)


def test_another_root_may_write_where_the_first_may_not() -> None:
    made = ram()
    # The second root has the whole path of the first, but for a table of its own that writes.
    made.write(5 * FRAME, 7 * FRAME | PWU)
    made.write(7 * FRAME, 2 * FRAME | PWU)
    assert not listed(made, u64(ENTRY), 0)[0][0].writable
    made.write(3 * FRAME + 8 * 7, 3 * FRAME | PWU)
    made.write(1 * FRAME, 2 * FRAME | P)
    assert not listed(made, u64(ENTRY), 0)[0][0].writable
    assert listed(made, u64(ENTRY), 0, 5 * FRAME)[0][0] == Alias(SELF + 0x128, writable=True)


def test_what_nothing_maps_has_no_alias() -> None:
    assert aliases(graph(ram(), 0), u64(0x4000_0000), 8, 16) == [((), 0)]


def test_of_many_aliases_as_many_are_listed_as_are_wanted_and_all_counted() -> None:
    made = ram()
    for index in range(8, 40):
        made.write(3 * FRAME + 8 * index, 3 * FRAME | PWU)
    (found,) = aliases(graph(made, 0), u64(ENTRY), 8, 4)
    assert (len(found.listed), found.number) == (4, 34)
