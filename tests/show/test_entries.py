"""Entries on their own."""

from __future__ import annotations

import pytest

from ptlive.paging.formats.x86_64 import make_levels
from ptlive.show import entries as show
from tests.paging.tables import PS, PWU, A, D, P

FMT = make_levels(5, maxphyaddr=46)


def text(lvl: int, entry: int) -> list[str]:
    return list(show.entry_lines(FMT, lvl, entry))


def test_a_leaf_to_the_letter() -> None:
    assert text(1, 0x1234_5000 | PWU | A | D | 1 << 63 | 7 << 59) == [
        "0xb800000012345067 as a PTE (pte, level 1): leaf",
        "  maps the 4K page at 0x12345000",
        "  P    = 1",
        "  R/W  = 1",
        "  U/S  = 1",
        "  PWT  = 0",
        "  PCD  = 0",
        "  A    = 1",
        "  D    = 1",
        "  PAT  = 0",
        "  G    = 0",
        "  PK   = 7",
        "  XD   = 1",
    ]


def test_a_table_entry_has_no_dirty_flag_and_no_key() -> None:
    lines = text(3, 0x1000 | PWU | A | D | 1 << 8 | 7 << 59)
    assert lines[:2] == [
        "0x3800000000001167 as a PDPTE (pud, level 3): table",
        "  refers to the PDE table at 0x1000",
    ]
    names = {line.split()[0] for line in lines[2:]}
    assert names == {"P", "R/W", "U/S", "PWT", "PCD", "A", "PS", "XD"}


@pytest.mark.parametrize(("lvl", "size", "pa"), [(2, "2M", 1 << 21), (3, "1G", 1 << 30)])
def test_pat_of_a_large_page_is_no_address(lvl: int, size: str, pa: int) -> None:
    lines = text(lvl, pa | PWU | PS | 1 << 12)
    assert f"  maps the {size} page at {pa:#x}" in lines
    assert "  PAT  = 1" in lines


def test_absent_entries_belong_to_software() -> None:
    assert text(1, 0) == ["0x0000000000000000 as a PTE (pte, level 1): absent"]
    assert text(4, 0xABC0) == [
        "0x000000000000abc0 as a PML4E (p4d, level 4): absent",
        "  not present: the other bits belong to software",
    ]


def test_reserved_bits_are_told_one_by_one() -> None:
    lines = text(5, 0x1000 | PWU | PS | 1 << 51)
    assert lines[0].endswith("(pgd, level 5): malformed")
    assert lines[-2:] == [
        "  bit 7 is reserved and set: an access gets #PF with RSVD",
        "  bit 51 is reserved and set: an access gets #PF with RSVD",
    ]


def test_the_root_of_four_levels_is_linuxs_pgd() -> None:
    (line,) = show.entry_lines(make_levels(4), 4, 0)
    assert line.endswith("PML4E (pgd, level 4): absent")


def test_a_table_to_the_letter() -> None:
    rows = [(0, 0x2000 | PWU | A), (511, 0x1000 | P | 1 << 51)]
    assert list(show.table_lines(FMT, 4, 0x7000, rows)) == [
        "index  at      entry               kind       refers to  bits",
        "    0  0x7000  0x0000000000002027  table      0x2000     P R/W U/S A",
        "  511  0x7ff8  0x0008000000001001  malformed  0x1000     P reserved:51",
    ]


def test_json_of_a_table_has_its_keys() -> None:
    value = show.table_json(FMT, 2, 0x7000, [(1, 0x20_0000 | PWU | PS), (2, 0)])
    assert list(value) == ["table", "level", "entries"]
    leaf, absent = value["entries"]
    assert (
        list(leaf)
        == list(absent)
        == [
            *("index", "entry_pa", "level", "name", "entry", "kind", "refers_to"),
            *("page_size", "bits", "reserved_bits_set"),
        ]
    )
    assert (leaf["entry_pa"], leaf["kind"], leaf["refers_to"]) == ("0x7008", "leaf", "0x200000")
    assert leaf["page_size"] == "2M"
    assert (absent["kind"], absent["refers_to"], absent["bits"]) == ("absent", None, {})
