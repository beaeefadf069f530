"""`ptlive map` on a simulated guest."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.cli.conftest import VA
from tests.paging.plain_ram import FRAME
from tests.paging.tables import PWU
from tests.simulated_guest import DATA

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.cli.conftest import Done
    from tests.simulated_guest import Guest

pytestmark = pytest.mark.usefixtures("guest")
AT = ("--gdb", "x:1")


def test_regions_bad_entries_and_a_summary(ptlive: Callable[..., Done]) -> None:
    done = ptlive("map", *AT, "0x70000000..0x70ffffff", "0x28000000000..0x2ffffffffff")
    assert (done.status, done.err) == (0, "")
    lines = done.out.splitlines()
    assert lines[0].startswith("start  ")
    assert lines[1].split()[:3] == ["0x0000000070001000", "0x0000000070001fff", "4K"]
    assert "  rwx-  " in lines[1]
    assert lines[2].split()[:3] == ["0x0000000070002000", "0x0000000070002fff", "4K"]
    assert lines[3].startswith("malformed: 0x0000000070004000..0x0000000070004fff, PTE (level 1)")
    assert lines[3].endswith("reserved bit 51 set")
    assert lines[4].startswith("unreadable: 0x0000028000000000..0x000002ffffffffff, PML4E")
    assert lines[5] == "2 regions, 2 leaf entries reached 2 times, 4 tables, x86-64-4level"
    assert len(lines) == 6


def test_json_has_the_keys_of_its_schema(ptlive: Callable[..., Done]) -> None:
    (root,) = json.loads(ptlive("map", *AT, "--json").out)["roots"]
    result = root["result"]
    assert list(result) == ["tables", "leaves", "reached", "regions", "bad_entries"]
    assert result["leaves"] == 8
    assert len(result["bad_entries"]) == 2


def test_a_single_address_is_a_range(ptlive: Callable[..., Done]) -> None:
    done = ptlive("map", *AT, "0x70001234")
    assert done.out.splitlines()[-1].startswith("1 region, 1 leaf entry reached 1 time,")


def test_frames_that_jump_part_regions_when_asked(
    ptlive: Callable[..., Done], guest: Guest
) -> None:
    guest.map(VA + 2 * FRAME, (DATA + 7) * FRAME, PWU)
    where = ("0x70002000..0x70003fff",)

    def starts(*options: str) -> list[tuple[str, bool]]:
        value = json.loads(ptlive("map", *AT, *where, "--json", *options).out)
        regions = value["roots"][0]["result"]["regions"]
        return [(region["va"], region["contiguous"]) for region in regions]

    assert starts() == [("0x0000000070002000", False)]
    assert starts("--split", "pa") == [
        ("0x0000000070002000", True),
        ("0x0000000070003000", True),
    ]


@pytest.mark.parametrize("where", ["0x800000000000", "0x800000000000..0xffff7fffffffffff"])
def test_a_range_without_a_canonical_address_is_refused(
    refused: Callable[..., str], where: str
) -> None:
    sentence = "no address in these ranges is canonical in x86-64-4level"
    assert refused("map", *AT, where) == sentence
    if ".." in where:  # a single address can be asked: it is #GP
        assert refused("verify", "--oracle", "stepped", *AT, where) == sentence
