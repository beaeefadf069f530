"""`ptlive map` and `ptlive stats` of a Linux guest: areas, and sums that agree."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from ptlive.target.running import Guest
    from tests.cli.conftest import Done


@pytest.mark.qemu
def test_no_region_spans_two_areas_and_their_sums_are_those_of_stats(
    ptlive: Callable[..., Done], linux_guest: Guest
) -> None:
    at = ("--gdb", linux_guest.gdb, "--qmp", linux_guest.qmp)

    def result(command: str, *options: str) -> dict[str, Any]:
        done = ptlive(command, *at, "--json", *options)
        assert done.status == 0, done.err
        found: dict[str, Any] = json.loads(done.out)["roots"][0]["result"]
        return found

    whole = result("map")
    areas = {
        one["name"]: (int(one["va"], 16), int(one["last_va"], 16))
        for one in whole["profile"]["areas"]
        if one["name"] != "fixmap"  # there are two of that name, around the vsyscall page
    }
    assert {"user", "direct map", "kernel text"} <= set(areas)
    pages: dict[str | None, int] = {}
    for region in whole["regions"]:
        va, last_va = int(region["va"], 16), int(region["last_va"], 16)
        for name, (first, last) in areas.items():
            inside = first <= va and last_va <= last
            outside = last_va < first or va > last
            assert inside == (region["area"] == name)
            assert inside or outside
        pages[region["area"]] = pages.get(region["area"], 0) + sum(region["pages"].values())
    assert sum(pages.values()) == whole["reached"]
    # The guest runs between the two commands, but its kernel maps what it did.
    kernel = ("direct map", "kernel text", "vmemmap", "cpu entry area")
    counted = {row["area"]: row["reached"] for row in result("stats")["by_area"]}
    assert {name: counted[name] for name in kernel} == {name: pages[name] for name in kernel}
    only = result("map", "--area", "direct-map")
    assert {region["area"] for region in only["regions"]} == {"direct map"}
    assert only["reached"] == pages["direct map"]
