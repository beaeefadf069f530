"""Entries made of others, held against the entry format of the manual, one integer at a time.

SDM volume 3A, tables 4-15 to 4-20: PS and, in a page of 4K, PAT are bit 7; PAT is bit 12 of
larger pages; addresses end at bit 51; bits 11:9 and 58:52 are ignored; 62:59 are the key.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ptlive.arrays import u64
from ptlive.errors import PtliveError
from ptlive.paging.formats import x86_64
from ptlive.paging.new_entries import resized, table_entry, with_page, with_rights, with_table
from tests.paging.mock_format import BASE, EXECUTE, LEAF, LOCKED, MOCK, TRACE, USER, leaf
from tests.paging.tables import PS, PWU, RW, US, XD, P

FIVE = x86_64.make_levels(5)
SHIFTS = {1: 12, 2: 21, 3: 30}
LARGE_PAT = 1 << 12
# Of a leaf: P, R/W, U/S, PWT, PCD, A, D, G, three ignored, seven more, key, XD.
FLAGS = P | 0x7E | 0xF00 | 0x7F << 52 | 0xF << 59 | XD


def page_of(lvl: int, flags: int, pat: int, pa: int) -> int:
    """Return the entry of a page, as the manual has it."""
    if lvl == 1:
        return flags | pat << 7 | pa
    return flags | PS | pat << 12 | pa


def frames(lvl: int) -> st.SearchStrategy[int]:
    return st.integers(0, (1 << (52 - SHIFTS[lvl])) - 1).map(lambda n: n << SHIFTS[lvl])


flags_of_pages = st.integers(0, (1 << 64) - 1).map(lambda bits: bits & FLAGS | P)
pats = st.integers(0, 1)


@given(st.sampled_from([1, 2, 3]), flags_of_pages, pats, st.data())
def test_a_page_moves_and_keeps_its_flags(
    lvl: int, flags: int, pat: int, data: st.DataObject
) -> None:
    old, new = data.draw(frames(lvl)), data.draw(frames(lvl))
    made = with_page(FIVE, lvl, u64(page_of(lvl, flags, pat, old)), u64(new))
    assert made.dtype == np.uint64
    assert made.tolist() == [page_of(lvl, flags, pat, new)]


@given(st.sampled_from([(3, 2), (3, 1), (2, 1), (1, 2)]), flags_of_pages, pats, st.data())
def test_of_another_size_a_page_has_its_flags_where_that_size_has_them(
    sizes: tuple[int, int], flags: int, pat: int, data: st.DataObject
) -> None:
    lvl, to = sizes
    entry = page_of(lvl, flags, pat, data.draw(frames(lvl)))
    assert resized(FIVE, lvl, to, u64(entry)).tolist() == [page_of(to, flags, pat, 0)]


@pytest.mark.parametrize(
    ("lvl", "pa"),
    [(1, 0x1800), (2, 0x1000), (3, 1 << 29), (1, 1 << 52), (2, (1 << 64) - (1 << 21))],
)
def test_an_address_that_cannot_be_written_is_refused(lvl: int, pa: int) -> None:
    with pytest.raises(PtliveError, match=f"{pa:#x} cannot stand in a"):
        with_page(FIVE, lvl, u64(page_of(lvl, PWU, 0, 0)), u64(pa))


@pytest.mark.parametrize("lvl", [2, 3, 4, 5])
def test_a_new_table_denies_nothing(lvl: int) -> None:
    assert table_entry(FIVE, lvl) == PWU
    made = with_table(FIVE, lvl, u64(PWU | XD), u64(0xF_FFFF_FFFF_F000))
    assert made.tolist() == [PWU | XD | 0xF_FFFF_FFFF_F000]


def test_no_base_page_refers_to_a_table() -> None:
    with pytest.raises(PtliveError, match="refers to a table"):
        table_entry(FIVE, 1)


@given(st.sampled_from([1, 2, 3]), flags_of_pages, st.data())
def test_rights_are_granted_and_denied_by_polarity(
    lvl: int, flags: int, data: st.DataObject
) -> None:
    entry = page_of(lvl, flags, 0, data.draw(frames(lvl)))
    some = st.sets(st.sampled_from([RW, US, XD]))
    grant = data.draw(some)
    deny = data.draw(some) - grant
    expected = entry
    for bit in (RW, US):
        expected |= bit if bit in grant else 0
        expected &= ~bit if bit in deny else ~0
    expected &= ~XD if XD in grant else ~0  # it takes a right away
    expected |= XD if XD in deny else 0
    assert with_rights(FIVE, lvl, u64(entry), sum(grant), sum(deny)).tolist() == [expected]


def test_without_nxe_no_page_can_deny_execution() -> None:
    plain = x86_64.make_levels(4, nxe=False)
    with pytest.raises(PtliveError, match="would map no page"):
        with_rights(plain, 1, u64(PWU), 0, XD)


def test_many_entries_are_made_at_once() -> None:
    entry = np.arange(512, dtype=np.uint64) << np.uint64(12) | np.uint64(PWU)
    pa = np.arange(512, dtype=np.uint64)[::-1] << np.uint64(12)
    assert with_page(FIVE, 1, entry, pa).tolist() == [n << 12 | PWU for n in range(511, -1, -1)]


def test_a_format_of_other_bits_needs_no_line_of_its_own() -> None:
    page = leaf(5, USER | EXECUTE)
    moved = with_page(MOCK, 1, u64(page), u64(BASE + (9 << 40)))
    assert moved.tolist() == [9 << 12 | USER | EXECUTE | LEAF]
    # LOCKED takes write away, and USER grants.
    changed = with_rights(MOCK, 1, u64(page), 0, LOCKED)
    assert changed.tolist() == [5 << 12 | USER | EXECUTE | LOCKED | LEAF]
    with pytest.raises(PtliveError, match="would map no page"):
        with_rights(MOCK, 1, u64(page), TRACE, USER)  # traces and executes what nobody uses
    assert table_entry(MOCK, 2) & 3 == 1
