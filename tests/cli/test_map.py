"""`ptlive map` on a simulated guest."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest

from tests.cli.conftest import VA
from tests.paging.plain_ram import FRAME
from tests.paging.tables import PWU, XD
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


def regions_of(ptlive: Callable[..., Done], *options: str) -> list[str]:
    """Return where the regions begin that are printed with these options."""
    done = ptlive("map", *AT, *options)
    assert (done.status, done.err) == (0, ""), done
    return [line.split()[0] for line in done.out.splitlines() if line.startswith("0x")]


@pytest.mark.parametrize(
    ("options", "found"),
    [
        (["--rights", "u"], [1]),
        (["--rights", "-u"], [0]),
        (["--rights", "w+x-u"], [0]),
        (["--rights", "wx", "--rights", "-u"], [0]),
        (["--size", "4K"], [0, 1]),
        (["--size", "2M", "--size", "1G"], []),
        (["--kind", "RAM"], [0, 1]),
        (["--kind", "device", "--kind", "rom"], []),
        (["--pa", f"{DATA * FRAME:#x}"], [0]),
        (["--pa", f"{DATA * FRAME:#x}..{(DATA + 1) * FRAME:#x}"], [0, 1]),
        (["--attr", "PK=0"], [0, 1]),
        (["--key", "3"], []),
        (["--attr", "G"], []),
        (["--attr", "-G,-PCD"], [0, 1]),
    ],
)
def test_only_what_is_wanted_is_printed(
    ptlive: Callable[..., Done], options: list[str], found: list[int]
) -> None:
    where = "0x70000000..0x70ffffff"
    assert regions_of(ptlive, where, *options) == [f"{VA + n * FRAME:#018x}" for n in found]
    last = ptlive("map", *AT, where, *options).out.splitlines()[-1]
    less = 2 - len(found)
    words = {0: "", 1: "; filtered out: 1 leaf entry", 2: "; filtered out: 2 leaf entries"}
    assert last.endswith(f"x86-64-4level{words[less]}")


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--rights", "q"), "--rights q: the letters of x86-64-4level are rwxu, + and -"),
        (("--rights", "w-w"), "--rights: w cannot be both granted and denied"),
        (("--rights", "-r"), "--rights -r: the letters of x86-64-4level are rwxu, + and -"),
        (("--attr", "PK=x"), "--attr PK=x: 'x' is no number"),
        (("--attr", "-G=1"), "--attr -G=1: either -NAME or NAME=VALUE"),
        (("--key", "16"), "PK is at most 15, and never 16"),
        (("--size", "8K"), "x86-64-4level has no pages of 8K, but 4K, 2M, 1G"),
        (
            ("--area", "user"),
            "--area needs a system that is known, and this one is not (--profile)",
        ),
        (("--depth", "2"), "--depth is of --tree (see ptlive map --help)"),
    ],
)
def test_what_cannot_be_asked_is_said(
    refused: Callable[..., str], options: tuple[str, ...], sentence: str
) -> None:
    assert refused("map", *AT, *options) == sentence


def test_what_repeats_is_one_line_or_each(ptlive: Callable[..., Done], guest: Guest) -> None:
    for slot in range(0, 40, 8):
        guest.map(VA + (16 + slot) * FRAME, (DATA + 2) * FRAME, PWU)
    where = f"{VA + 16 * FRAME:#x}..{VA + 100 * FRAME:#x}"
    folded = ptlive("map", *AT, where).out.splitlines()
    assert folded[1].endswith("x5 every 32K")
    assert folded[2].startswith("1 region (5 unfolded), 5 leaf entries reached 5 times")
    assert len(regions_of(ptlive, where)) == 1
    assert len(regions_of(ptlive, where, "--no-fold")) == 5


def test_the_tree_shows_levels_and_as_deep_as_asked(ptlive: Callable[..., Done]) -> None:
    where = "0x70000000..0x70ffffff"
    lines = ptlive("map", *AT, where, "--tree", "--depth", "4").out.splitlines()
    assert [line.split()[:2] for line in lines[:6]] == [
        ["PML4E", "0"],
        ["PDPTE", "1"],
        ["PDE", "384"],
        ["PTE", "1"],
        ["PTE", "2"],
        ["PTE", "4"],
    ]
    assert lines[2].endswith(", 2 pages")
    assert lines[4].endswith(f"1 x 4K  rwxu  RAM {(DATA + 1) * FRAME:#x}")
    assert "  malformed: " in lines[5]
    assert lines[6].startswith("malformed: 0x0000000070004000")
    shorter = ptlive("map", *AT, where, "--tree").out.splitlines()
    assert [line.split()[0] for line in shorter[:3]] == ["PML4E", "PDPTE", "PDE"]
    (root,) = json.loads(ptlive("map", *AT, where, "--tree", "--json").out)["roots"]
    assert [run["depth"] for run in root["result"]["tree"]] == [0, 1, 2]
    assert root["result"]["tree"][2]["cut"] is True


def test_what_is_not_present_is_listed_when_asked(
    ptlive: Callable[..., Done], guest: Guest
) -> None:
    guest.map(VA + 8 * FRAME, 0x7700, 0)
    guest.map(VA + 9 * FRAME, 0x7700, 0)
    out = ptlive("map", *AT, "--absent", "0x70000000..0x70ffffff").out
    assert (
        "0x0000000070009000..0x000000007000afff  not present: 2 PTEs, first 0x0000000000007760"
    ) in out.splitlines()


def test_the_kernels_half_of_an_isolation_pair_names_the_users(
    ptlive: Callable[..., Done], guest: Guest
) -> None:
    kernel, user = (DATA + 20) * FRAME, (DATA + 21) * FRAME
    ram = guest.ram
    ram.table(user)[:1] = ram.table(0)[:1]
    ram.table(kernel)[:1] = ram.table(0)[:1] | np.uint64(XD)
    text = f"{kernel:#x} is the kernel's root of an isolation pair: user mode runs on {user:#x}"
    done = ptlive("map", *AT, "--root", hex(kernel))
    assert done.status == 0
    assert text in done.err
    told = json.loads(ptlive("map", *AT, "--root", hex(kernel), "--json").out)["notes"]
    assert any(note["code"] == "isolation" and text in note["text"] for note in told)
    # Who looks at the user's, at both, or at a root without another, is not told.
    for roots in ([hex(user)], [hex(kernel), hex(user)], ["cr3"]):
        done = ptlive("map", *AT, *(word for root in roots for word in ("--root", root)))
        assert "isolation pair" not in done.err
