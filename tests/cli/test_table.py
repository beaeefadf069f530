"""`ptlive table` on a simulated guest: one table, and addresses that are none."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.paging.plain_ram import FRAME
from tests.simulated_guest import FRAMES

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.cli.conftest import Done

pytestmark = pytest.mark.usefixtures("guest")
AT = ("--gdb", "x:1")


def test_the_root_is_the_default_level(ptlive: Callable[..., Done]) -> None:
    done = ptlive("table", *AT, "0")
    lines = done.out.splitlines()
    assert (done.status, lines[0]) == (0, "PML4E table (pgd, level 4) at 0x0")
    assert [line.split()[0] for line in lines[2:5]] == ["0", "5", "511"]
    assert lines[-1] == "509 of 512 entries are zero"


def test_all_entries_may_be_shown(ptlive: Callable[..., Done]) -> None:
    done = ptlive("table", *AT, "0", "--all")
    assert len(done.out.splitlines()) == 2 + 512


def test_an_empty_table_is_said_to_be_empty(ptlive: Callable[..., Done]) -> None:
    last = (FRAMES - 2) * FRAME
    done = ptlive("table", *AT, hex(last), "--level", "1")
    assert done.out.splitlines()[-1] == "512 of 512 entries are zero"


def test_json_has_the_keys_of_its_schema(ptlive: Callable[..., Done]) -> None:
    (root,) = json.loads(ptlive("table", *AT, "0", "--json").out)["roots"]
    assert list(root["result"]) == ["table", "level", "entries"]
    assert [entry["index"] for entry in root["result"]["entries"]] == [0, 5, 511]


@pytest.mark.parametrize("level", ["0", "5", "-1", "99"])
def test_a_level_out_of_range_is_refused(refused: Callable[..., str], level: str) -> None:
    said = refused("table", *AT, "0", "--level", level)
    assert said == f"x86-64-4level has the levels 1 to 4, not {level}"


@pytest.mark.parametrize("address", ["1", "8", "0xfff", "0x1008", "0xffffffffffffffff"])
def test_an_unaligned_table_is_refused(refused: Callable[..., str], address: str) -> None:
    said = refused("table", *AT, address)
    assert said == f"{int(address, 0):#x} is not aligned to a table of 4096 bytes"


@pytest.mark.parametrize("address", [1 << 21, 0x77_7777_7000, 1 << 52, (1 << 64) - FRAME])
def test_a_table_outside_ram_is_refused(refused: Callable[..., str], address: int) -> None:
    said = refused("table", *AT, hex(address))
    assert said == f"the table {address:#x} lies in no RAM and no ROM of the guest"
