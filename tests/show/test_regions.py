"""Regions in text and in JSON, to the letter."""

from __future__ import annotations

import json

import numpy as np

from ptlive.analysis.regions import Regions, regions
from ptlive.arrays import u64
from ptlive.paging.formats.x86_64 import make_levels
from ptlive.paging.walk import walk
from ptlive.show import regions as show
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
