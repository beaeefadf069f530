"""`ptlive diff` on a simulated guest and snapshots of it; and on a Linux that is changed."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from tests.cli.conftest import VA
from tests.guests.prompt import at_the_prompt
from tests.paging.plain_ram import FRAME
from tests.paging.tables import PWU, RW, A, P
from tests.simulated_guest import DATA

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from ptlive.target.running import Guest as RunningGuest
    from tests.cli.conftest import Done
    from tests.simulated_guest import Guest

AT = ("--gdb", "x:1")


@pytest.fixture
def states(ptlive: Callable[..., Done], guest: Guest, tmp_path: Path) -> tuple[str, str]:
    """Two snapshots of the simulated guest, between which some pages were changed."""
    files = (str(tmp_path / "a.snap"), str(tmp_path / "b.snap"))
    assert ptlive("snapshot", files[0], *AT).status == 0
    leaf = guest.map(VA + 8 * FRAME, (DATA + 8) * FRAME, PWU)  # added; its table is there
    entry = leaf - 8 * 8  # of VA
    guest.ram.write(entry, (DATA + 4) * FRAME | P | RW | A)  # moved, D cleared
    guest.ram.write(entry + 8, guest.ram.value(entry + 8) & ~RW)  # a right
    guest.ram.write(entry + 3 * 8, 0)  # was malformed
    assert ptlive("snapshot", files[1], *AT).status == 0
    return files


def differences(done: Done) -> list[dict[str, Any]]:
    (root,) = json.loads(done.out)["roots"]
    found: list[dict[str, Any]] = root["result"]["differences"]
    return found


def test_what_was_changed_is_told_with_old_and_new(
    ptlive: Callable[..., Done], states: tuple[str, str]
) -> None:
    done = ptlive("diff", *states)
    assert (done.status, done.err) == (1, "")
    head, other, titles, *rows, summary = done.out.splitlines()
    assert head == f"--- {states[0]}: root 0x0 (cr3), x86-64-4level"
    assert other == f"+++ {states[1]}: root 0x0 (cr3), x86-64-4level"
    assert titles.split()[:3] == ["start", "last", "size"]
    assert [row.split()[:2] for row in rows] == [
        ["~", f"{VA:#018x}"],
        ["~", f"{VA + FRAME:#018x}"],
        ["!", f"{VA + 3 * FRAME:#018x}"],
        ["+", f"{VA + 8 * FRAME:#018x}"],
    ]
    moved, right, _, added = rows
    assert f"{DATA * FRAME:#x} -> {(DATA + 4) * FRAME:#x}" in moved
    assert moved.endswith("moved, D cleared")
    assert "rwxu -> r-xu" in right
    assert right.endswith("rights")
    assert added.endswith("added")
    assert summary.split("; ")[0] == (
        "4 regions: added 4K (1 x 4K), moved 4K (1 x 4K), rights 4K (1 x 4K), ad 4K (1 x 4K), "
        "fault 4K (1 x 4K)"
    )


def test_json_names_both_sides(ptlive: Callable[..., Done], states: tuple[str, str]) -> None:
    done = ptlive("diff", *states, "--json", "--only", "moved,added")
    assert done.status == 1
    value = json.loads(done.out)
    assert value["schema"] == "ptlive.diff/1"
    assert [value[side]["guest"] for side in "ab"] == list(states)
    (root,) = value["roots"]
    assert root["a"] == root["b"] == {"root": "0x0", "format": "x86-64-4level", "origin": "cr3"}
    assert root["result"]["counts"] == {
        "added": {"pages": {"4K": 1}, "bytes": 4096},
        "moved": {"pages": {"4K": 1}, "bytes": 4096},
    }
    moved, added = root["result"]["differences"]
    assert moved["kinds"] == ["moved"]
    assert moved["marks"] == {}
    assert (moved["a"]["pa"], moved["b"]["pa"]) == (hex(DATA * FRAME), hex((DATA + 4) * FRAME))
    assert added["a"] is None
    assert added["b"]["rights"] == {"write": True, "execute": True, "user": True}
    assert (added["va"], added["b"]["page_size"]) == (f"{VA + 8 * FRAME:#018x}", "4K")


def test_equal_states_are_no_difference(
    ptlive: Callable[..., Done], states: tuple[str, str]
) -> None:
    for arguments in ((states[0], states[0]), (states[1], *AT)):
        done = ptlive("diff", *arguments)
        assert done.status == 0
        assert done.out.splitlines()[-1].startswith("no difference; ")
    assert ptlive("diff", states[0], *AT).status == 1


def test_ranges_and_kinds_narrow_it_down(
    ptlive: Callable[..., Done], states: tuple[str, str]
) -> None:
    def kinds(*options: str) -> list[list[str]]:
        return [row["kinds"] for row in differences(ptlive("diff", *states, "--json", *options))]

    assert kinds(hex(VA), f"{VA:#x}..{VA + FRAME:#x}") == [["moved", "ad"], ["rights"]]
    assert kinds("--ignore", "ad,fault", "--ignore", "ad,moved") == [["rights"], ["added"]]
    assert kinds("--only", "ad") == [["ad"]]
    assert ptlive("diff", *states, hex(VA + 2 * FRAME)).status == 0


def test_two_roots_of_one_guest(ptlive: Callable[..., Done], guest: Guest) -> None:
    other = guest.used * FRAME
    guest.used += 1
    guest.ram.data[other : other + FRAME] = guest.ram.data[:FRAME]
    at = ("diff", "--root", "cr3", "--root", hex(other), *AT)
    same = ptlive(*at)
    assert (same.status, same.out.splitlines()[-1]) == (
        0,
        "no difference; 2 pairs of tables compared",
    )
    index = VA >> 39
    guest.ram.write(other + 8 * index, 0)
    done = ptlive(*at)
    assert done.status == 1
    assert done.out.splitlines()[1] == f"+++ x:1: root {other:#x} ({other:#x}), x86-64-4level"
    assert "removed 8K (2 x 4K)" in done.out


def test_several_roots_are_matched_by_address(
    ptlive: Callable[..., Done], guest: Guest, states: tuple[str, str]
) -> None:
    other = guest.used * FRAME
    one = ptlive("diff", *states, "--root", "cr3", "--root", "0x0", "--json")
    assert len(json.loads(one.out)["roots"]) == 1
    guest.ram.data[other : other + FRAME] = guest.ram.data[:FRAME]
    done = ptlive("diff", states[1], *AT, "--root", hex(other))
    assert done.status == 2  # the file has no such table


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "give two files, or a file to compare with the guest, or --root twice"),
        (("nowhere",), "'nowhere' is no file, and no range of addresses"),
        (("A", "B", "A"), "two files are compared, and these are 3"),
        (("A", "B", "0x9..0x1"), "'0x9..0x1' is no file, and no range of addresses"),
        (("A", "--from", "B"), "the files that are compared are arguments: leave out --from"),
        (("A", "--only", "ad", "--ignore", "ad"), "--ignore leaves none of the changes"),
        (("A", "--only", "colour"), "'colour' is none of added, removed, moved, rights"),
        (("A", "B", "0x800000000000"), "no address in these ranges is canonical"),
    ],
)
def test_what_cannot_be_is_one_sentence(
    refused: Callable[..., str], states: tuple[str, str], arguments: tuple[str, ...], words: str
) -> None:
    named = [{"A": states[0], "B": states[1]}.get(word, word) for word in arguments]
    at = () if "B" in arguments else AT
    assert words in refused("diff", *named, *at)


@pytest.mark.qemu
def test_what_a_linux_does_to_a_process_is_told_exactly(
    ptlive: Callable[..., Done], linux_guest: RunningGuest, tmp_path: Path
) -> None:
    """Linux takes the right to write from pages of a process, until it writes next.

    That is what 4 in /proc/PID/clear_refs does, to see which pages are written to by their
    soft-dirty bits (Documentation/admin-guide/mm/soft-dirty.rst; bit 11 of an entry,
    arch/x86/include/asm/pgtable_types.h).
    """
    at, file = ("--guest", linux_guest.name), str(tmp_path / "before")
    said = at_the_prompt(
        linux_guest,
        "mapper scattered=300,ro=4,park=sleep >/tmp/told & "
        "while ! grep -q parked /tmp/told; do sleep 1; done; grep -E 'scattered|=ro' /tmp/told",
    )
    pages = re.findall(r"page kind=(\w+) pid=(\d+) va=(\w+) .* pfn=(\w+)", said)
    first = next(page for page in pages if page[0] == "scattered")
    read_only = next(page for page in pages if page[0] == "ro")
    try:
        root = root_of(ptlive, at, first[2], int(first[3], 16) * FRAME)
        assert ptlive("snapshot", file, "--root", root, *at).status == 0
        assert ptlive("diff", file, "--root", root, *at).status == 0
        at_the_prompt(linux_guest, f"echo 4 > /proc/{first[1]}/clear_refs")
        found = differences(ptlive("diff", file, "--root", root, *at, "--json"))
    finally:
        at_the_prompt(linux_guest, f"kill {first[1]}; rm /tmp/told")
    scattered = max(found, key=lambda row: row["times"])
    assert int(scattered["va"], 16) == int(first[2], 16)
    assert (scattered["times"], scattered["stride"]) == (300, hex(8 * FRAME))
    assert scattered["pages"] == {"4K": 300}
    assert scattered["kinds"] == ["rights", "software"]
    assert [scattered[side]["rights"]["write"] for side in "ab"] == [True, False]
    assert scattered["a"]["pa"] == scattered["b"]["pa"] == hex(int(first[3], 16) * FRAME)
    assert scattered["software"] == {"a": hex(1 << 11), "b": "0x0"}
    (kept,) = (row for row in found if row["va"] == f"{int(read_only[2], 16):#018x}")
    assert (kept["kinds"], kept["pages"]) == (["software"], {"4K": 4})
    assert all(int(row["last_va"], 16) < 1 << 56 for row in found), "nothing of the kernel's"


def root_of(ptlive: Callable[..., Done], at: tuple[str, ...], va: str, pa: int) -> str:
    """Return the root of the process that has this page."""
    for one in json.loads(ptlive("roots", *at, "--json").out)["roots"]:
        done = ptlive("translate", va, "--root", one["root"], *at, "--json")
        (found,) = json.loads(done.out)["roots"][0]["result"]["translations"]
        if found["pa"] == hex(pa):
            return str(one["root"])
    raise AssertionError("no root has the page")
