"""One address in text and in JSON, to the letter."""

from __future__ import annotations

import json

import numpy as np
import pytest

from ptlive.access_kind import ACCESS_KINDS
from ptlive.analysis.translation import Translation, describe
from ptlive.arrays import u64
from ptlive.paging.access import Controls
from ptlive.paging.formats.x86_64 import make_levels
from ptlive.paging.translate import translate
from ptlive.show import translation as show
from tests.paging.plain_ram import FRAME, PlainRam
from tests.paging.tables import PWU, RW, A, D, P

FMT = make_levels(5, maxphyaddr=40)
VA = 1 << 48 | 2 << 39 | 3 << 30 | 4 << 21 | 5 << 12 | 0x678
SLOTS = (1, 2, 3, 4, 5)


def told(*kinds: str, va: int = VA, pke: int = 0, **entries: int) -> Translation:
    ram = PlainRam(6 * FRAME)
    for n, slot in enumerate(SLOTS[:-1]):
        ram.write(n * FRAME + 8 * slot, (n + 1) * FRAME | PWU | A)
    ram.write(4 * FRAME + 8 * SLOTS[-1], 0x5000 | P | RW | A | D | 1 << 8 | 1 << 59)
    for name, value in entries.items():
        n = 5 - int(name[1:])
        ram.write(n * FRAME + 8 * SLOTS[n], value)
    found = translate(FMT, ram, u64(0), u64(va))
    return describe(
        found,
        0,
        Controls(smep=True, pke=bool(pke), pkru=None),
        [ACCESS_KINDS[kind] for kind in kinds],
        lambda pa, _: np.ones(pa.size, dtype=np.uint8),
        ("nothing", "RAM"),
    )


def text(found: Translation) -> str:
    return "\n".join([show.headline(found), *show.lines(FMT, found)]) + "\n"


def test_a_translation_to_the_letter() -> None:
    assert text(told("supervisor-write", "user-read")) == (
        "0x00010100c0805678 -> 0x5678 (4K page, RAM)\n"
        "  level  SDM    Linux  index  table   entry at  entry               kind   bits\n"
        "  5      PML5E  pgd        1  0x0     0x8       0x0000000000001027  table"
        "  P R/W U/S A\n"
        "  4      PML4E  p4d        2  0x1000  0x1010    0x0000000000002027  table"
        "  P R/W U/S A\n"
        "  3      PDPTE  pud        3  0x2000  0x2018    0x0000000000003027  table"
        "  P R/W U/S A\n"
        "  2      PDE    pmd        4  0x3000  0x3020    0x0000000000004027  table"
        "  P R/W U/S A\n"
        "  1      PTE    pte        5  0x4000  0x4028    0x0800000000005163  leaf "
        "  P R/W A D G PK=1\n"
        "  rights rwx-: user denied by the PTE (level 1)\n"
        "  supervisor write: allowed\n"
        "  user read: #PF(0x5: P U/S) at 0x10100c0805678: "
        "user-mode access is denied by the PTE (level 1)\n"
    )


@pytest.mark.parametrize(
    ("entries", "why"),
    [
        ({"l4": 0}, "the PML4E (level 4) is not present"),
        ({"l4": 0xABC0}, "the PML4E (level 4) is not present (it holds 0xabc0)"),
        ({"l5": 0x1000 | PWU | 1 << 7}, "the PML5E (level 5) has reserved bit 7 set"),
        (
            {"l1": 0x5000 | P | 1 << 40 | 1 << 51},
            "the PTE (level 1) has reserved bits 40, 51 set",
        ),
        (
            {"l3": 0x77_7777_7000 | P},
            "the PDPTE (level 3) refers to a table that lies in no RAM and no ROM",
        ),
    ],
)
def test_why_there_is_no_translation(entries: dict[str, int], why: str) -> None:
    found = told(**entries)
    assert show.headline(found) == f"0x00010100c0805678 -> no translation: {why}"
    assert not any("rights" in line for line in show.lines(FMT, found))


def test_an_address_that_is_not_canonical_has_no_path() -> None:
    assert text(told("user-read", va=1 << 56)) == (
        "0x0100000000000000 -> no translation: the address is not canonical\n"
        "  user read: #GP(0x0): the address is not canonical\n"
    )


def test_an_open_outcome_says_so() -> None:
    found = told("user-read", pke=1, l1=0x5000 | PWU | 3 << 59)
    assert list(show.lines(FMT, found))[-1] == (
        "  user read: cannot be told: protection key 3 decides, "
        "and PKRU is not known (pkru tells it)"
    )


KEYS = {
    *("va", "pa", "page_size", "rights", "decided_by", "target", "fault", "path"),
    "accesses",
}
STEP = {
    *("level", "name", "table", "index", "entry_pa", "entry", "kind", "bits"),
    "reserved_bits_set",
}
FAULT = {"vector", "error_code", "cr2", "level", "reason"}


def test_json_has_the_keys_of_its_schema() -> None:
    value = show.as_json(told("user-read", "supervisor-read"))
    assert value.keys() == KEYS
    assert value["va"] == "0x00010100c0805678"
    assert (value["pa"], value["page_size"], value["target"]) == ("0x5678", "4K", "RAM")
    assert value["rights"] == {"write": True, "user": False, "execute": True}
    assert value["decided_by"] == {"write": None, "user": 1, "execute": None}
    assert value["fault"].keys() == FAULT
    assert value["fault"] == value["accesses"]["user-read"]
    assert (value["fault"]["vector"], value["fault"]["error_code"]) == (14, "0x5")
    assert value["fault"]["cr2"] == "0x10100c0805678"
    assert value["accesses"]["supervisor-read"] is None
    assert all(step.keys() == STEP for step in value["path"])
    assert value["path"][0]["name"] == {"spec": "PML5E", "linux": "pgd"}
    for step in value["path"]:
        for key in ("table", "entry_pa", "entry"):
            assert step[key].startswith("0x")
    assert json.loads(json.dumps(value)) == value


def test_json_without_a_translation_has_nulls() -> None:
    value = show.as_json(told("user-read", l4=0))
    assert value.keys() == KEYS
    names = ("pa", "page_size", "target", "rights", "decided_by")
    assert [value[name] for name in names] == [None] * 5
    assert value["path"][-1]["kind"] == "absent"
    open_ = show.as_json(told("user-read", l3=0x77_7777_7000 | P))["fault"]
    assert (open_["vector"], open_["error_code"], open_["cr2"]) == (None, None, None)
