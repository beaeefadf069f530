"""Regions in text and in JSON, to the letter."""

from __future__ import annotations

import json

import numpy as np

from ptlive.analysis.areas import Area
from ptlive.analysis.regions.build import Regions, regions
from ptlive.arrays import u64
from ptlive.paging.formats.x86_64 import make_levels
from ptlive.paging.walk import walk
from ptlive.show import regions as show
from tests.analysis.regions.naive import alike, alternating, espfix
from tests.paging.plain_ram import FRAME, PlainRam
from tests.paging.tables import PS, PWU, RW, XD, P

TARGETS = ("nothing", "RAM")


def found() -> Regions:
    ram = PlainRam(8 * FRAME)
    for n in range(3):
        for slot in (0, 511):
            ram.write(n * FRAME + 8 * slot, (n + 1) * FRAME | PWU)
    ram.write(3 * FRAME, 0x5000 | PWU | 1 << 3)
    ram.write(3 * FRAME + 8, 0x7000 | PWU | 1 << 3)
    ram.write(3 * FRAME + 8 * 511, 0x5000 | P | RW | XD | 2 << 59)
    ram.write(2 * FRAME + 8, 0x20_0000 | PWU | PS)
    graph = walk(make_levels(4), ram, u64(0))
    return regions(graph, lambda pa, _: (pa < 0x20_0000).astype(np.uint8))


def test_regions_to_the_letter() -> None:
    lines = list(show.lines(found(), TARGETS))
    cells = [line.split() for line in lines]
    assert lines[0] == (
        "start               last                size  pages   rights  attributes  "
        "in       physical"
    )
    assert lines[1] == (
        "0x0000000000000000  0x0000000000001fff    8K  2 x 4K  rwxu    PWT         RAM      "
        "0x5000 ..."
    )
    assert lines[2] == (
        "0x00000000001ff000  0x00000000001fffff    4K  1 x 4K  rw--    PK=2        RAM      0x5000"
    )
    assert lines[3] == (
        "0x0000000000200000  0x00000000003fffff    2M  1 x 2M  rwxu                "
        "nothing  0x200000"
    )
    assert cells[-1][:3] == ["0xfffffffffffff000", "0xffffffffffffffff", "4K"]


def test_no_regions_are_a_heading() -> None:
    ram = PlainRam(FRAME)
    empty = regions(walk(make_levels(4), ram, u64(0)), lambda pa, _: pa.astype(np.uint8))
    assert len(list(show.lines(empty, TARGETS))) == 1
    assert list(show.as_json(empty, TARGETS)) == []


def test_json_has_the_keys_of_its_schema() -> None:
    value = list(map(json.loads, show.as_json(found(), TARGETS)))
    keys = ["va", "last_va", "pa", "contiguous", "pages", "rights", "attributes", "target", "area"]
    keys += ["times", "stride"]
    assert all(list(region) == keys for region in value)
    assert value[0] == {
        "va": "0x0000000000000000",
        "last_va": "0x0000000000001fff",
        "pa": "0x5000",
        "contiguous": False,
        "pages": {"4K": 2},
        "rights": {"write": True, "execute": True, "user": True},
        "attributes": {"PWT": 1, "PCD": 0, "PAT": 0, "G": 0, "PK": 0},
        "target": "RAM",
        "area": None,
        "times": 1,
        "stride": None,
    }
    assert value[1]["rights"] == {"write": True, "execute": False, "user": False}
    assert value[1]["attributes"]["PK"] == 2
    assert value[2]["target"] == "nothing"
    assert value[-1]["last_va"] == "0xffffffffffffffff"


AREAS = (Area(0x1FF000, 0x7FFF_FFFF_FFFF, "user", "the\x1b lower half"),)


def test_areas_stand_above_their_regions() -> None:
    lines = "".join(show.text(found(), TARGETS, AREAS)).splitlines()
    assert lines[1] == "in no known area: 1 region"
    assert lines[2].startswith("0x0000000000000000  ")
    assert lines[3].startswith("user: ")
    assert lines[3].endswith(" regions in 0x00000000001ff000..0x00007fffffffffff")
    told = "".join(show.text(found(), TARGETS, AREAS, verbose=True)).splitlines()
    assert told[3].endswith("; the\\x1b lower half")
    areas = [json.loads(row)["area"] for row in show.as_json(found(), TARGETS, AREAS)]
    assert areas[:3] == [None, "user", "user"]


def test_what_repeats_says_how_often_and_how_far_apart() -> None:
    made = espfix()
    made.map(0x40_0000, 0x7000 | PWU)
    graph = walk(made.fmt, made.ram, made.roots)
    folded = regions(graph, lambda pa, _: pa.astype(np.uint8) * np.uint8(0), fold=True)
    lines = list(show.lines(folded, TARGETS))
    assert lines[0].endswith("  physical  repeats")
    assert lines[1].endswith("  nothing  0x7000")
    assert " ".join(lines[2].split()) == (
        "0xffffff0000000000 0xffffff0000000fff 4K 65536 x 4K rwx- nothing 0x1000 x65536 every 64K"
    )
    plain, repeating = map(json.loads, show.as_json(folded, TARGETS))
    assert (plain["times"], plain["stride"]) == (1, None)
    assert (repeating["times"], repeating["stride"]) == (65536, "0x10000")
    assert repeating["pages"] == {"4K": 65536}


def test_several_ways_to_repeat_are_told_from_the_inside_outwards() -> None:
    assert show.repeats(((256, 0x2000), (3, 1 << 30))) == "x256 every 8K, x3 every 1G"
    assert show.repeats(((31, 0),)) == "x31 at uneven distances"
    assert show.repeats(()) == ""
    ram = alternating(list(range(0, 512, 2)))
    graph = walk(make_levels(4), ram, u64(0))
    one = json.loads(next(iter(show.as_json(regions(graph, alike, fold=True), TARGETS))))
    assert (one["times"], one["stride"]) == (128 * 256 * 256, None)
    assert one["repeats"] == [
        {"times": 256, "stride": "0x400000"},
        {"times": 256, "stride": "0x80000000"},
        {"times": 128, "stride": "0x10000000000"},
    ]
