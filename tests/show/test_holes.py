"""Entries that are wrong, listed up to a limit, and what is beyond it counted."""

from __future__ import annotations

import pytest

from ptlive.arrays import u64
from ptlive.paging.formats.x86_64 import make_levels
from ptlive.paging.walk import walk
from ptlive.show import holes as show
from tests.paging.plain_ram import FRAME, PlainRam
from tests.paging.tables import PS, PWU, P


def wrong(count: int, entry: int) -> list[str]:
    ram = PlainRam(4 * FRAME)
    ram.write(8 * 511, FRAME | PWU)
    for slot in range(count):
        ram.write(FRAME + 8 * slot, entry)
    return list(show.bad_lines(walk(make_levels(4, maxphyaddr=40), ram, u64(0))))


def test_absent_entries_are_not_wrong() -> None:
    assert wrong(0, 0) == []
    assert wrong(3, 0xABC0) == []


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        (
            PWU | PS | 1 << 13,
            "malformed: 0xffffff8000000000..0xffffff803fffffff, PDPTE (level 3) at 0x1000: "
            "0x0000000000002087, reserved bit 13 set",
        ),
        (
            P | 1 << 40 | 1 << 51,
            "malformed: 0xffffff8000000000..0xffffff803fffffff, PDPTE (level 3) at 0x1000: "
            "0x0008010000000001, reserved bits 40, 51 set",
        ),
        (
            0x7777_7000 | P,
            "unreadable: 0xffffff8000000000..0xffffff803fffffff, PDPTE (level 3) at 0x1000: "
            "0x0000000077777001, its table 0x77777000 lies in no RAM and no ROM",
        ),
    ],
)
def test_each_is_told_in_one_line(entry: int, reason: str) -> None:
    assert wrong(1, entry) == [reason]


def test_more_than_a_screenful_is_counted() -> None:
    lines = wrong(500, 0x7777_7000 | P)
    assert len(lines) == show.SHOWN + 1
    assert lines[-1] == "... 480 more malformed or unreadable entries"


def test_json_is_limited_too_and_has_its_keys() -> None:
    ram = PlainRam(4 * FRAME)
    for slot in range(300):
        ram.write(8 * slot, 0x7777_7000 | P)
    found = show.bad_entries(walk(make_levels(5), ram, u64(0)), 100)
    assert len(found) == 100
    keys = ["va", "last_va", "level", "name", "entry_pa", "entry", "kind", "reason"]
    assert list(found[0]) == keys
    assert found[0]["name"] == {"spec": "PML5E", "linux": "pgd"}
    assert found[0]["kind"] == "unreadable"
