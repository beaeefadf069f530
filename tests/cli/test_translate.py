"""`ptlive translate` on a simulated guest: addresses, exit codes, accesses."""

from __future__ import annotations

import io
import json
import sys
from typing import TYPE_CHECKING

import pytest

from ptlive.access_kind import ACCESS_KINDS

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.cli.conftest import Done
    from tests.simulated_guest import Guest

pytestmark = pytest.mark.usefixtures("guest")
AT = ("--gdb", "x:1")
MAPPED, USER, ABSENT, NON_CANONICAL = "0x70001000", "0x70002000", "0x70003000", "0x800000000000"


def test_what_is_mapped_and_what_is_not(ptlive: Callable[..., Done]) -> None:
    done = ptlive("translate", *AT, MAPPED, ABSENT)
    assert (done.status, done.err) == (0, "")
    assert "0x0000000070001000 -> 0x16000 (4K page, RAM)" in done.out
    assert "0x0000000070003000 -> no translation: the PTE (level 1) is not present" in done.out


def test_how_to_ask_why_an_entry_is_not_present(ptlive: Callable[..., Done], guest: Guest) -> None:
    guest.map(int(ABSENT, 16), 0, 0x3E0)
    done = ptlive("translate", *AT, ABSENT)
    assert "is not present (it holds 0x3e0)" in done.out
    assert done.err.startswith("ptlive: note: --profile auto says why")
    assert ptlive("translate", *AT, ABSENT, "--profile", "linux").err == ""


@pytest.mark.parametrize(
    ("addresses", "status"),
    [([MAPPED], 0), ([MAPPED, USER], 0), ([ABSENT], 1), ([MAPPED, ABSENT], 1)],
)
def test_check_finds_an_address_without_translation(
    ptlive: Callable[..., Done], addresses: list[str], status: int
) -> None:
    assert ptlive("translate", *AT, *addresses, "--check").status == status
    assert ptlive("translate", *AT, *addresses, "--check", "--json").status == status


@pytest.mark.parametrize("options", [[], ["--check"], ["--json"]])
def test_a_non_canonical_address_is_named_with_status_2(
    ptlive: Callable[..., Done], options: list[str]
) -> None:
    done = ptlive("translate", *AT, MAPPED, NON_CANONICAL, *options)
    assert done.status == 2
    assert done.err == "ptlive: 0x800000000000 is not canonical in x86-64-4level\n"
    # What can be told is told all the same.
    assert "0x0000000070001000" in done.out


def test_addresses_come_from_standard_input(
    ptlive: Callable[..., Done], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{MAPPED}\n  {USER}\t1879056384\n\n"))
    value = json.loads(ptlive("translate", *AT, "-", "--json").out)
    (root,) = value["roots"]
    found = [one["va"] for one in root["result"]["translations"]]
    assert found == ["0x0000000070001000", "0x0000000070002000", "0x0000000070002000"]


@pytest.mark.parametrize("text", ["", "\n \t\n"])
def test_empty_standard_input_is_refused(
    refused: Callable[..., str], monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(text))
    assert refused("translate", *AT, "-") == "no addresses on standard input"


def test_nonsense_on_standard_input_is_named(
    refused: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{MAPPED}\nzz\x1b[2J\n"))
    assert "is no number" in refused("translate", *AT, "-")


def test_accesses_are_those_asked_for_once_each(ptlive: Callable[..., Done]) -> None:
    def accesses(*options: str) -> list[str]:
        value = json.loads(ptlive("translate", *AT, MAPPED, "--json", *options).out)
        return list(value["roots"][0]["result"]["translations"][0]["accesses"])

    assert accesses() == ["supervisor-read"]
    assert accesses("--access", "user-read") == ["user-read"]
    twice = ("--access", "user-write", "--access", "user-read", "--access", "user-write")
    assert accesses(*twice) == ["user-write", "user-read"]
    assert accesses("--access", "all") == list(ACCESS_KINDS)


def test_an_access_over_a_page_end_tells_the_second_page(ptlive: Callable[..., Done]) -> None:
    done = ptlive("translate", *AT, "0x70002ff9", "--length", "8", "--access", "user-read")
    assert "user read: #PF(0x4: U/S) at 0x70003000: the PTE (level 1) is not present" in done.out
    done = ptlive("translate", *AT, "0x70002ff8", "--length", "8", "--access", "user-read")
    assert "user read: allowed" in done.out


def test_a_root_outside_ram_is_refused(refused: Callable[..., str]) -> None:
    sentence = "the root table 0x7777777000 lies in no RAM and no ROM of the guest"
    assert refused("translate", *AT, "0", "--root", "0x7777777000") == sentence
    assert refused("map", *AT, "--root", "0x7777777000") == sentence


def test_the_guests_pkru_may_be_given(ptlive: Callable[..., Done], guest: Guest) -> None:
    guest.registers_now["cr4"] |= 1 << 22
    unknown = ptlive("translate", *AT, USER, "--access", "user-read").out
    assert "user read: cannot be told: protection key 0 decides, and PKRU is not known" in unknown
    known = ptlive("translate", *AT, USER, "--access", "user-read", "--pkru", "1").out
    assert "#PF(0x25: P U/S PK)" in known
    assert (
        "user read: allowed"
        in ptlive("translate", *AT, USER, "--access", "user-read", "--pkru", "0").out
    )
