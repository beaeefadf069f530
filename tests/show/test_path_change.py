"""What changed on a path, to the letter."""

from __future__ import annotations

import pytest

from ptlive.analysis.path_change import path_change
from ptlive.analysis.translation import describe
from ptlive.arrays import u64
from ptlive.paging.access import Controls
from ptlive.paging.formats import pae
from ptlive.paging.translate import translate
from ptlive.show.path_change import entry_line, reach_line
from tests.analysis.test_path_change import FMT, LEAF, PATH, PK, found
from tests.paging.plain_ram import FRAME, PlainRam
from tests.paging.tables import PS, PWU, RW, XD, A, D, P

PAGE = "0x0000008080604678 -> 0x7678 (4K page, RAM) rwxu"


def told(before: dict[str, int], after: dict[str, int]) -> list[str]:
    change = path_change(FMT, found(**before), found(**after))
    return [*map(entry_line, change.entries), reach_line(change)]


def test_an_entry_that_becomes_read_only() -> None:
    assert told({}, {"l1": LEAF & ~RW & ~D | XD | 2 * PK}) == [
        "PTE (level 1, pte) at 0x3020: 0x0000000000007067 -> 0x9000000000007025:"
        " R/W cleared, D cleared, PK 0 -> 2, XD set",
        "0x0000008080604678 -> 0x7678 (4K page, RAM) r--u; before: 0x7678 (4K page, RAM) rwxu",
    ]


def test_a_page_that_is_unmapped() -> None:
    assert told({}, {"l1": 0}) == [
        "PTE (level 1, pte) at 0x3020: 0x0000000000007067 -> 0x0000000000000000:"
        " leaf -> not present",
        "0x0000008080604678 -> no translation: the PTE (level 1) is not present;"
        " before: 0x7678 (4K page, RAM) rwxu",
    ]


def test_a_table_that_is_linked_in() -> None:
    assert told({"l2": 0}, {"l2": PATH[2]}) == [
        "PDE (level 2, pmd) at 0x2018: 0x0000000000000000 -> 0x0000000000003027:"
        " not present -> table P R/W U/S A",
        f"{PAGE}; before: no translation: the PDE (level 2) is not present",
    ]


def test_marks_change_nothing_of_the_translation() -> None:
    assert told({"l1": LEAF & ~A & ~D, "l4": PATH[4] & ~A}, {}) == [
        "PML4E (level 4, pgd) at 0x8: 0x0000000000001007 -> 0x0000000000001027: A set",
        "PTE (level 1, pte) at 0x3020: 0x0000000000007007 -> 0x0000000000007067: A set, D set",
        f"{PAGE}, as before",
    ]


@pytest.mark.parametrize(
    ("before", "after", "what"),
    [
        ({}, {"l1": 0x6000 | PWU | A | D}, "address 0x7000 -> 0x6000"),
        ({}, {"l1": LEAF | 1 << 9 | 1 << 58}, "bit 9 set, bit 58 set"),
        ({"l2": 0x200000 | PS | PWU}, {}, "leaf -> table P R/W U/S A"),
        ({}, {"l3": PATH[3] | 1 << 45}, "table -> malformed P R/W U/S A reserved:45"),
        ({"l1": 0x1000}, {"l1": 0x2000}, "not present, as before"),
        (
            {"l2": 5 << 12 | P},
            {"l2": PATH[2]},
            "R/W set, U/S set, A set, address 0x5000 -> 0x3000",
        ),
    ],
)
def test_in_words(before: dict[str, int], after: dict[str, int], what: str) -> None:
    line, _ = told(before, after)
    assert line.split(": ", 2)[2] == what


def test_an_address_has_the_digits_of_its_format() -> None:
    fmt, va = pae.make(), 0x12345678
    ram = PlainRam(16 * FRAME)
    ram.write(0, FRAME | P)
    ram.write(FRAME + 8 * (va >> 21), 2 * FRAME | PWU)
    seen = []
    for entry in (0, 0x7000 | PWU):
        ram.write(2 * FRAME + 8 * (va >> 12 & 511), entry)
        translations = translate(fmt, ram, u64(0), u64(va))
        seen.append(
            describe(translations, 0, Controls(), [], lambda pa, _: pa.astype("u1") * 0, ("RAM",))
        )
    assert reach_line(path_change(fmt, *seen)) == (
        "0x12345678 -> 0x7678 (4K page, RAM) rwxu; "
        "before: no translation: the PTE (level 1) is not present"
    )
