"""`ptlive stats` on a simulated guest."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.cli.conftest import VA
from tests.paging.plain_ram import FRAME
from tests.paging.tables import PWU, RW, A, P
from tests.simulated_guest import DATA

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.cli.conftest import Done
    from tests.simulated_guest import Guest

AT = ("--gdb", "x:1")
WHERE = "0x70000000..0x70ffffff"


def result(ptlive: Callable[..., Done], *options: str) -> dict[str, Any]:
    value = json.loads(ptlive("stats", *AT, "--json", *options).out)
    found: dict[str, Any] = value["roots"][0]["result"]
    return found


def test_leaves_are_counted_by_size_right_and_what_they_lie_in(
    ptlive: Callable[..., Done], guest: Guest
) -> None:
    entry = guest.map(VA + 5 * FRAME, (DATA + 1) * FRAME, P | RW)
    guest.ram.write(entry, (DATA + 1) * FRAME | P | RW | A)
    found = result(ptlive, WHERE)
    expected = {"entries": 3, "reached": 3, "bytes": 3 * FRAME, "accessed": 3, "dirty": 2}
    assert found["leaves"] == expected
    assert found["by_size"] == [{"size": "4K", **expected}]
    assert found["by_target"] == [{"target": "RAM", **expected}]
    rows = {tuple(row["rights"].values()): row["entries"] for row in found["by_rights"]}
    assert rows == {(True, True, False): 2, (True, True, True): 1}
    assert found["frame_bytes"] == 2 * FRAME
    levels = {row["level"]: row for row in found["tables"]}
    assert [levels[n]["tables"] for n in (4, 3, 2, 1)] == [1, 1, 1, 1]
    # Two pages, one more, and one that is malformed.
    assert (levels[1]["used"], levels[1]["entries"], levels[1]["bytes"]) == (4, 512, FRAME)


def test_text_has_the_same_in_two_tables(ptlive: Callable[..., Done], guest: Guest) -> None:
    for n in range(4):
        guest.map(VA + (16 + n) * FRAME, (DATA + 2) * FRAME, PWU)
    done = ptlive("stats", *AT, WHERE)
    assert (done.status, done.err) == (0, "")
    lines = done.out.splitlines()
    assert lines[0].split() == ["leaf", "entries", "reached", "bytes", "accessed", "dirty"]
    assert ["pages", "of", "4K", "6", "6", "24.0K", "100.0%", "100.0%"] in [
        x.split() for x in lines
    ]
    assert "12.0K of different frames are mapped" in lines
    assert any(line.startswith("of PTEs  ") for line in lines)
    assert lines[-1].startswith("16.0K of tables for 24.0K of addresses; ")


@pytest.mark.usefixtures("guest")
def test_a_filter_leaves_out(ptlive: Callable[..., Done]) -> None:
    assert result(ptlive, WHERE, "--rights", "u")["leaves"]["entries"] == 1
    assert result(ptlive, WHERE, "--kind", "device")["leaves"]["entries"] == 0
    # The tables are as full as before.
    assert result(ptlive, WHERE, "--kind", "rom")["tables"] == result(ptlive, WHERE)["tables"]


@pytest.mark.usefixtures("guest")
def test_several_roots_are_told_alone_and_together(ptlive: Callable[..., Done]) -> None:
    roots = ("--root", "cr3", "--root", "vcpu:1")
    value = json.loads(ptlive("stats", *AT, "--json", *roots).out)
    one, two = (root["result"] for root in value["roots"])
    assert one == two
    (together,) = value["total"]
    assert together["result"]["leaves"]["entries"] == one["leaves"]["entries"]
    assert together["result"]["leaves"]["reached"] == 2 * one["leaves"]["reached"]
    assert together["result"]["frame_bytes"] == one["frame_bytes"]
    text = ptlive("stats", *AT, *roots).out
    assert text.count("root 0x0") == 2
    assert "all roots of x86-64-4level together" in text
