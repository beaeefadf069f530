"""What the menu guest says about itself: read from hand-made bytes, and from the guest."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from ptlive.access_kind import ACCESS_KINDS
from ptlive.errors import PtliveError
from ptlive.guests import menu
from ptlive.guests.said import menu as said
from ptlive.guests.said.menu import MAGIC, Menu, read_menu
from ptlive.target.attach import attach
from tests.paging.plain_ram import PlainRam

if TYPE_CHECKING:
    from ptlive.target.running import Guest

RESULT_AT, MENU_AT = 0x1008, 0x1FF0  # the menu begins at the end of a page
LINE_BYTES = 64 + 8 * 3 + 4 * 2 + 64 + 16 * 16


def line(name: bytes, va: int, first: tuple[int, int, int]) -> bytes:
    """Encode a line as guest/menu/menu.h lays it out."""
    answers = [first] + [(0xFF, 0, 0)] * 7 + [(14, n, 0) for n in range(8)]
    data = struct.pack("<64sQQQII64s", name, va, 0x5000, 0x6067, 1, 0, b"because")
    data += b"".join(struct.pack("<B3xIQ", *answer) for answer in answers)
    assert len(data) == LINE_BYTES
    return data


def guest(monkeypatch: pytest.MonkeyPatch, *lines: bytes, magic: int = MAGIC) -> PlainRam:
    ram = PlainRam(0x8000)
    head = struct.pack("<6I", magic, 5, len(lines), 9, 3, 4)
    for at, data in ((RESULT_AT, head), (MENU_AT, b"".join(lines))):
        ram.data[at : at + len(data)] = np.frombuffer(data, np.uint8)
    symbols = {"menu_result": RESULT_AT, "menu": MENU_AT}
    monkeypatch.setattr(said, "symbol", lambda _elf, name: symbols[name])
    return ram


def test_lines_are_read_as_the_guest_lays_them_out(monkeypatch: pytest.MonkeyPatch) -> None:
    top = (1 << 64) - 8
    ram = guest(
        monkeypatch, line(b"first", top, (0, 0, 0x7008)), line(b"n\xff" * 32, 8, (13, 0, 0))
    )
    found = read_menu(Path("unused"), ram)
    assert (found.levels, found.differences, len(found.lines)) == (5, 3, 2)
    first, second = found.lines
    assert (first.name, first.va, first.entry_pa, first.entry) == ("first", top, 0x5000, 0x6067)
    assert (first.level, first.why) == (1, "because")
    answers = list(first.expected.values())
    assert list(first.expected) == list(ACCESS_KINDS.values())
    assert (answers[0].vector, answers[0].frame, answers[0].asked) == (0, 0x7008, True)
    assert not any(answer.asked for answer in answers[1:])
    assert [answer.error_code for answer in first.observed.values()] == list(range(8))
    assert second.name == "n\ufffd" * 32
    assert second.expected[ACCESS_KINDS["supervisor-read"]].vector == 13


@pytest.mark.parametrize("magic", [0, 1, MAGIC + 1])
def test_a_guest_that_is_not_parked_is_refused(monkeypatch: pytest.MonkeyPatch, magic: int) -> None:
    ram = guest(monkeypatch, line(b"x", 0, (0, 0, 0)), magic=magic)
    with pytest.raises(PtliveError, match="the menu guest is not parked"):
        read_menu(Path("unused"), ram)


def test_a_menu_that_cannot_be_read_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    guest(monkeypatch)
    with pytest.raises(PtliveError, match="memory at 0x1008 cannot be read"):
        read_menu(Path("unused"), PlainRam(0x1000))


def read(guest: Guest) -> Menu:
    with attach(guest.gdb) as target:
        return read_menu(menu.ELF, target.memory)


@pytest.mark.qemu
@pytest.mark.parametrize("levels", [4, 5])
def test_the_guest_describes_itself(levels: int, request: pytest.FixtureRequest) -> None:
    found = read(request.getfixturevalue(f"menu_guest_{levels}"))
    assert (found.levels, found.differences) == (levels, 0)
    assert len(found.lines) >= 60
    assert len({one.name for one in found.lines}) == len(found.lines)
    for one in found.lines:
        canonical = one.expected[ACCESS_KINDS["supervisor-read"]].vector != 13
        assert (1 <= one.level <= levels) if canonical else one.level == 0
        assert one.name.isprintable()
        assert one.name != ""
        # Whatever is not asked has its reason.
        assert all(answer.asked for answer in one.expected.values()) or one.why
        for kind, expected in one.expected.items():
            assert expected.vector in (0, 13, 14, said.NOT_ASKED), (one.name, kind)
            if expected.vector != 14:
                assert expected.error_code == 0 or not expected.asked
        # The probe's 8 bytes lie in one page.
        assert one.va % 4096 <= 4096 - 8


@pytest.mark.qemu
def test_the_guest_asks_of_everything_the_issue_names(menu_guest_5: Guest) -> None:
    lines = read(menu_guest_5).lines
    text = "\n".join(one.name for one in lines)
    words = ["R/W=0", "U/S=0", "XD=1", " G", "PWT", "PCD", "PAT", "A=0", "D=0", "key 1"]
    words += ["2M user", "1G user", "alias", "recursive", "shared", "outside RAM", "APIC"]
    for entry in ("PTE", "PDE", "PDPTE", "PML4E", "PML5E"):
        words += [f"{entry} zero", f"{entry} P=0", f"{entry} bit 51", f"{entry} bit MAXPHYADDR"]
    words += ["2M bit 13", "1G bit 29", "PML4E PS=1", "PML5E PS=1"]
    assert [word for word in words if word not in text] == []
    vas = [one.va for one in lines]
    half = 1 << 56
    assert {one.level for one in lines} >= {1, 2, 3, 4, 5}
    for first in (0, half - 4096, (1 << 64) - half, (1 << 64) - 4096):
        assert any(first <= va < first + 4096 for va in vas), f"nothing in the page {first:#x}"
    assert any((1 << 47) <= va < half for va in vas)
    assert any((1 << 64) - half <= va < (1 << 64) - (1 << 47) for va in vas)


@pytest.mark.qemu
def test_the_entries_are_where_it_says(menu_guest_5: Guest) -> None:
    with attach(menu_guest_5.gdb) as target:
        lines = read_menu(menu.ELF, target.memory).lines
        there = [one for one in lines if one.entry_pa]
        at = np.array([one.entry_pa for one in there], dtype=np.uint64)
        data, valid = target.memory.read(at, 8)
    assert valid.all()
    entries = data.view("<u8").reshape(-1).tolist()
    flags = 0x60  # A and D may have been set since
    assert [entry & ~flags for entry in entries] == [one.entry & ~flags for one in there]
