"""Operations: visitors whose new entries are collected, and written only afterwards."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ptlive.arrays import u64
from ptlive.errors import PtliveError
from ptlive.paging.operations import Protect, changes
from ptlive.paging.walk import walk
from tests.paging import listing
from tests.paging.builder import Builder
from tests.paging.mock_format import BASE, ENTRY, LOCKED, MOCK, RIGHTS, USER, grouped, leaf, table
from tests.paging.plain_ram import PlainRam
from tests.paging.tables import PS, PWU, RW, US, XD, Case, P, cases
from tests.reference.sdm import translate

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ptlive.arrays import U8, U64
    from ptlive.paging.graph import Entries, Write
    from ptlive.paging.walk import PtPtr

TOP = 0xFFFF_FFFF_8000_0000
EVERYTHING = (0, (1 << 64) - 1)


@dataclass
class Unmap:
    """Clear whole entries on the way up, tables included, as an unmap does."""

    def enter(self, tables: PtPtr, entries: Entries, kinds: U8) -> None:
        """Change nothing on the way down."""

    def leave(self, tables: PtPtr, entries: Entries) -> U64:
        return np.where(entries.whole, np.uint64(0), entries.value)


def protect(
    built: Builder, va: int, last_va: int, grant: Sequence[str] = (), deny: Sequence[str] = ()
) -> list[Write]:
    operation = Protect(built.fmt, grant, deny)
    return changes(built.fmt, built.ram, built.roots, va, last_va, operation)


def rows(built: Builder) -> list[listing.Row]:
    return listing.leaves(built.fmt, walk(built.fmt, built.ram, built.roots))


@pytest.mark.parametrize("levels", [4, 5])
def test_protect_changes_exactly_the_leaves_in_range(levels: int) -> None:
    built = Builder(levels)
    for page in range(16):
        built.map(TOP + (page << 12), 0x5000_0000 | page << 12 | PWU)
    built.map(TOP + (1 << 30), 0x4000_0000 | PWU | PS, level=3)
    before = rows(built)
    image = built.ram.data.copy()
    writes = protect(built, TOP + 0x4000, TOP + 0x7FFF, deny=["write", "execute"])
    assert (built.ram.data == image).all()  # nothing is written by the walk
    built.ram.apply(writes)
    after = rows(built)
    for page, (old, new) in enumerate(zip(before, after, strict=True)):
        if 4 <= page < 8:
            assert new == (*old[:5], old[5] & ~RW | XD, False, True, False)
        else:
            assert new == old
    assert (built.ram.data != image).sum() == 4 * 2  # of each entry a low and a high byte


def test_protect_grants_and_denies_by_polarity() -> None:
    built = Builder()
    place = built.map(TOP, 0x5000_0000 | P | XD)
    built.ram.apply(protect(built, TOP, TOP + 4095, grant=["write", "user", "execute"]))
    assert built.ram.value(place) == 0x5000_0000 | PWU
    assert protect(built, TOP, TOP + 4095, grant=["write", "user", "execute"]) == []


def test_a_range_of_nothing_changes_nothing() -> None:
    built = Builder()
    built.map(TOP, 0x5000_0000 | PWU)
    assert protect(built, TOP + 0x1000, TOP + 0x1FFF, deny=["write"]) == []
    gap = (1 << 60, (1 << 60) + 4095)  # not canonical
    assert protect(built, *gap, deny=["write"]) == []


@pytest.mark.parametrize(
    ("va", "last_va"),
    [(TOP, TOP + 4095), (TOP + 1, TOP + (1 << 21) - 1), (TOP - 4096, TOP + (1 << 21) - 2)],
)
def test_a_large_page_that_is_partly_in_range_is_refused(va: int, last_va: int) -> None:
    built = Builder()
    built.map(TOP, 0x4000_0000 | PWU | PS, level=2)
    with pytest.raises(PtliveError, match="only partly in the range"):
        protect(built, va, last_va, deny=["write"])
    assert len(protect(built, TOP, TOP + (1 << 21) - 1, deny=["write"])) == 1


def shared() -> tuple[Builder, int]:
    """Build one page table that two addresses reach: TOP and TOP + 1G; return it too.

    PDPTE 510 --> PDE 0 --+
                          +--> PTE 0..511
    PDPTE 511 --> PDE 0 --+
    """
    built = Builder()
    built.map(TOP, 0x5000_0000 | PWU)
    for page in range(512):
        built.map(TOP + (page << 12), 0x5000_0000 | page << 12 | PWU)
    page_table = built.free - 4096
    built.map(TOP + (1 << 30), page_table | PWU, level=2)
    return built, page_table


def test_a_table_shared_with_addresses_outside_is_refused_and_they_are_named() -> None:
    built, _ = shared()
    with pytest.raises(PtliveError, match="also reached from outside") as refusal:
        protect(built, TOP, TOP + 4095, deny=["write"])
    assert f"{TOP + (1 << 30):#x}..{TOP + (1 << 30) + 4095:#x} (level 1)" in str(refusal.value)


def test_a_table_shared_within_the_range_is_changed_once() -> None:
    built, _ = shared()
    writes = protect(built, TOP, TOP + (2 << 30) - 1, deny=["write"])
    assert sum(write.address.size for write in writes) == 512
    built.ram.apply(writes)
    assert not any(row[6] for row in rows(built))


def test_a_shared_table_whose_paths_are_each_partly_in_range_is_refused() -> None:
    # Both paths reach the table within the range, but the first its upper half, the second
    # its lower half: each half is also reached by the other path, from outside the range.
    built = Builder()
    middle = 1 << 20
    for page in range(512):
        built.map(TOP + (page << 12), 0x5000_0000 | page << 12 | PWU)
    built.map(TOP + (1 << 21), (built.free - 4096) | PWU, level=2)  # the next 2M, same table
    with pytest.raises(PtliveError, match="also reached from outside"):
        protect(built, TOP + middle, TOP + (1 << 21) + middle - 1, deny=["write"])


def test_a_shared_table_of_different_rights_is_changed_once() -> None:
    built, page_table = shared()
    built.map(TOP + (1 << 30), page_table | P | XD, level=2)  # supervisor, no fetch
    writes = protect(built, TOP, TOP + (2 << 30) - 1, deny=["write"])
    addresses = [address for write in writes for address in write.address.tolist()]
    assert len(addresses) == len(set(addresses)) == 512


@settings(max_examples=30)
@given(cases(), st.data())
def test_protect_shows_exactly_its_change_or_is_refused(case: Case, data: st.DataObject) -> None:
    ends = st.sampled_from([row[:2] for row in case.leaves] or [EVERYTHING])
    first, last = data.draw(ends), data.draw(ends)
    va, last_va = min(first[0], last[0]), max(first[1], last[1])
    in_range = listing.touching(case.leaves, va, last_va)
    wanted = {row[4] for row in in_range if row[5] & RW or not row[5] & US}
    image = case.ram.data.copy()
    operation = Protect(case.fmt, grant=["user"], deny=["write"])
    try:
        writes = changes(case.fmt, case.ram, case.roots, va, last_va, operation)
    except PtliveError:
        assert wanted & entries_outside(case, va, last_va)
        return
    finally:
        assert (case.ram.data == image).all()
    assert not wanted & entries_outside(case, va, last_va)
    case.ram.apply(writes)
    graph = walk(case.fmt, case.ram, case.roots, (u64(va), u64(last_va)))
    assert [row[:3] for row in listing.leaves(case.fmt, graph)] == [row[:3] for row in in_range]
    for row in listing.leaves(case.fmt, graph):
        assert not row[5] & RW
        assert row[5] & US


def entries_outside(case: Case, va: int, last_va: int) -> set[int]:
    """Return the entries on the paths of all addresses outside of a range."""
    found = set()
    tables = set()
    slots = [(*row[:3], row[4]) for row in case.leaves] + [row[:4] for row in case.holes]
    for at, _, level, entry_pa in slots:
        if not va <= at <= last_va:
            found.add(entry_pa)
            tables.add((level, at >> (12 + 9 * level) << (12 + 9 * level), at))
    # What slots of one table have in common is looked up once.
    above = {(level, base): at for level, base, at in tables}
    for at in above.values():
        walked = translate(case.machine, case.ram.qword, case.root, at)
        found |= {step.entry_pa for step in walked.path}
    return found


def test_unmap_of_a_whole_subtree_clears_its_root_entry() -> None:
    built = Builder(4)
    for page in range(3):
        built.map(0x4000_0000 + (page << 12), 0x5000_0000 | PWU)
    built.map(TOP, 0x6000_0000 | PWU)
    writes = changes(built.fmt, built.ram, built.roots, 0, (1 << 39) - 1, Unmap())
    # From the leaves up, and the root's entry of the lower half too.
    assert [write.lvl for write in writes] == [1, 2, 3, 4]
    built.ram.apply(writes)
    assert [row[:2] for row in rows(built)] == [(TOP, TOP + 4095)]


def test_unmap_leaves_entries_that_are_partly_in_range() -> None:
    built = Builder(4)
    for page in range(3):
        built.map(0x4000_0000 + (page << 12), 0x5000_0000 | PWU)
    writes = changes(built.fmt, built.ram, built.roots, 0x4000_0000, 0x4000_1FFF, Unmap())
    assert [write.lvl for write in writes] == [1]
    built.ram.apply(writes)
    assert [row[0] for row in rows(built)] == [0x4000_2000]


def mock_pages(entries: list[int]) -> PlainRam:
    """Build tables of the mock format down to base pages at address 0."""
    ram = PlainRam(256 << 10, BASE)
    tables = BASE + 0x10000
    for n, place in enumerate((BASE, tables, tables + 0x1000)):
        ram.write(place, table(tables + n * 0x1000), ENTRY)
    ram.table(tables + 0x2000, len(entries), ENTRY)[:] = entries
    return ram


def test_protect_on_a_format_whose_leaves_are_groups_and_rights_inverted() -> None:
    ram = mock_pages([*[grouped(2, 14)] * 4, leaf(3), leaf(4)])
    roots = u64(BASE, BASE + 0x8000)
    operation = Protect(MOCK, deny=["write", "user"])
    # All entries of a group change, or an address would have the rights of its neighbour.
    writes = changes(MOCK, ram, roots, 0, 0x4FFF, operation)
    ram.apply(writes, ENTRY)
    shown = listing.leaves(MOCK, walk(MOCK, ram, roots.reshape(1, 2)), RIGHTS)
    assert [(row[0], row[1], *row[6:8]) for row in shown] == [
        (0, 0x3FFF, False, False),
        (0x4000, 0x4FFF, False, False),
        (0x5000, 0x5FFF, True, True),
    ]
    changed = ram.table(BASE + 0x12000, 6, ENTRY).tolist()
    assert changed == [
        *[grouped(2, 14, LOCKED)] * 4,
        leaf(3, LOCKED),
        leaf(4, USER),
    ]


def test_a_group_that_is_partly_in_range_is_refused() -> None:
    ram = mock_pages([grouped(2, 14)] * 4)
    for va, last_va in ((0x1000, 0x3FFF), (0, 0x2FFF), (0x1000, 0x1FFF)):
        with pytest.raises(PtliveError, match="only partly in the range"):
            changes(MOCK, ram, u64(BASE, BASE + 0x8000), va, last_va, Protect(MOCK, deny=["user"]))


def test_a_visitor_cannot_change_entries_in_place() -> None:
    class InPlace(Unmap):
        def leave(self, tables: PtPtr, entries: Entries) -> U64:
            entries.value[:] = 0
            return entries.value

    built = Builder()
    built.map(TOP, 0x5000_0000 | PWU)
    with pytest.raises(ValueError, match="read-only"):
        changes(built.fmt, built.ram, built.roots, *EVERYTHING, InPlace())
