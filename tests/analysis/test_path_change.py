"""What is said to have changed on a path: only places that are on both, and every bit of them."""

from __future__ import annotations

import pytest

from ptlive.analysis.path_change import FieldChange, path_change
from ptlive.analysis.translation import Translation, describe
from ptlive.arrays import u64
from ptlive.paging.access import Controls
from ptlive.paging.format import Kind
from ptlive.paging.formats.x86_64 import make_levels
from ptlive.paging.translate import translate
from tests.paging.plain_ram import FRAME, PlainRam
from tests.paging.tables import PS, PWU, RW, US, XD, A, D, P

FMT = make_levels(4, maxphyaddr=40)
PK = 1 << 59  # protection key 1
VA = 1 << 39 | 2 << 30 | 3 << 21 | 4 << 12 | 0x678
TABLE, LEAF = PWU | A, 0x7000 | PWU | A | D
PATH = {4: 1 * FRAME | TABLE, 3: 2 * FRAME | TABLE, 2: 3 * FRAME | TABLE, 1: LEAF}
SLOTS = {4: 1, 3: 2, 2: 3, 1: 4}


def found(**entries: int) -> Translation:
    """Translate VA with some entries of the path replaced: l4=..., l1=..."""
    ram = PlainRam(16 * FRAME)
    for lvl, entry in PATH.items():
        ram.write((4 - lvl) * FRAME + 8 * SLOTS[lvl], entries.get(f"l{lvl}", entry))
    # Another table of the lowest level, whose entry is another page.
    ram.write(5 * FRAME + 8 * SLOTS[1], 0x9000 | P)
    translations = translate(FMT, ram, u64(0), u64(VA))
    return describe(translations, 0, Controls(), [], lambda pa, _: pa.astype("u1") * 0, ("RAM",))


def test_nothing_changed() -> None:
    assert path_change(FMT, found(), found()).entries == ()


def test_bits_that_have_names_are_told_by_them() -> None:
    (entry,) = path_change(FMT, found(), found(l1=LEAF & ~RW & ~D | XD | 3 * PK)).entries
    assert (entry.after.lvl, entry.after.entry_pa) == (1, 3 * FRAME + 8 * 4)
    assert entry.fields == (
        FieldChange("R/W", 1, 1, 0),
        FieldChange("D", 1, 1, 0),
        FieldChange("PK", 4, 0, 3),
        FieldChange("XD", 1, 0, 1),
    )
    assert (entry.address, entry.others) == (None, ())
    assert not entry.marks_only


def test_what_software_keeps_in_an_entry_is_told_by_number() -> None:
    # Bits 9 and 52 mean nothing to the MMU; nor does bit 8 (G of a page) in a table's entry.
    (entry,) = path_change(FMT, found(), found(l2=PATH[2] | 1 << 8 | 1 << 9 | 1 << 52)).entries
    assert (entry.address, entry.fields, entry.others) == (None, (), (8, 9, 52))


def test_another_page() -> None:
    (entry,) = path_change(FMT, found(), found(l1=0x6000 | PWU | A | D)).entries
    assert (entry.address, entry.fields, entry.others) == ((0x7000, 0x6000), (), ())


def test_below_another_table_is_another_path() -> None:
    change = path_change(FMT, found(), found(l2=5 * FRAME | TABLE))
    assert [entry.after.lvl for entry in change.entries] == [2]
    assert change.entries[0].address == (3 * FRAME, 5 * FRAME)
    assert (change.before.pa, change.after.pa) == (0x7678, 0x9678)


def test_entries_above_and_below_in_one_table_each() -> None:
    change = path_change(FMT, found(), found(l3=PATH[3] & ~US, l1=LEAF & ~A))
    assert [entry.after.lvl for entry in change.entries] == [3, 1]


@pytest.mark.parametrize(
    ("lvl", "entry", "kind"),
    [
        (1, 0, Kind.ABSENT),
        (1, LEAF & ~P, Kind.ABSENT),
        (2, 0x200000 | PS | PWU, Kind.LEAF),
        (3, PATH[3] | 1 << 45, Kind.MALFORMED),
        (2, 0x3_0000_0000 | PWU, Kind.UNREADABLE),
    ],
)
def test_of_what_is_another_kind_now_no_bits_are_compared(lvl: int, entry: int, kind: Kind) -> None:
    (change,) = path_change(FMT, found(), found(**{f"l{lvl}": entry})).entries
    assert change.after.kind is kind
    assert (change.address, change.fields, change.others) == (None, (), ())
    assert not change.marks_only


def test_what_is_still_not_present_may_hold_something_else() -> None:
    change = path_change(FMT, found(l1=0x1000), found(l1=0x2000))
    assert [(entry.before.entry, entry.after.entry) for entry in change.entries] == [
        (0x1000, 0x2000)
    ]
    assert not change.marks_only


@pytest.mark.parametrize(
    ("entries", "marks_only"),
    [
        ({"l1": LEAF & ~A}, True),
        ({"l1": LEAF & ~A & ~D, "l3": PATH[3] & ~A}, True),
        ({"l1": LEAF & ~A & ~RW}, False),
        ({"l1": LEAF & ~A | 1 << 9}, False),
        ({"l1": (LEAF & ~A) + 0x1000}, False),
        ({"l1": LEAF & ~A, "l3": PATH[3] & ~US}, False),
    ],
)
def test_whether_it_was_but_the_mmus_marks(entries: dict[str, int], marks_only: bool) -> None:
    assert path_change(FMT, found(), found(**entries)).marks_only is marks_only
