"""A profile in text and for JSON, on a small Linux made of tables."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from ptlive.analysis.absent.counts import absent_counts
from ptlive.analysis.areas import Area
from ptlive.analysis.systems import detect
from ptlive.analysis.translation import describe
from ptlive.arrays import u64
from ptlive.paging.access import Controls
from ptlive.paging.translate import translate
from ptlive.show import areas as show
from tests.analysis.linux.made import MODULES, MadeLinux

if TYPE_CHECKING:
    from ptlive.analysis.profile import Profile

SWAPPED, AT = 0x07FF_FFFF_FFFB_FE0A, 0x7000_0000
CONTROLS = Controls(wp=True, smep=False, smap=False, nxe=True, pke=False, pkru=0)


@pytest.fixture(scope="module")
def made() -> MadeLinux:
    made = MadeLinux(5)
    made.map(AT, SWAPPED)
    return made


@pytest.fixture(scope="module")
def profile(made: MadeLinux) -> Profile:
    found = detect(made.walk(), made.build.ram, made.ends)
    assert found is not None
    return found


def test_each_area_is_a_line_with_its_evidence(profile: Profile) -> None:
    lines = list(show.area_lines(profile))
    assert len(lines) == 1 + len(profile.areas)
    (line,) = (line for line in lines if line.split()[3:5] == ["direct", "map"])
    assert line.split()[:3] == ["0xff11000000000000", "0xff1100ffffffffff", "1T"]
    assert "VA-PA = 0xff11000000000000" in line


def test_parts_stand_below_the_areas(profile: Profile) -> None:
    named = replace(profile, parts=(Area(MODULES, MODULES + 4, "text", "_text.._etext"),))
    assert list(show.area_lines(named))[-1].startswith("  0xffffffffc0000000")


def test_nothing_of_a_file_or_a_guest_steers_the_terminal(profile: Profile) -> None:
    evil = Area(0, 1, "a\x1b[31m", "b\r")
    named = replace(profile, areas=(evil,), parts=(evil,), evidence=("c\x1b",))
    said = "\n".join([*show.area_lines(named), *show.evidence_lines(named)])
    assert "\x1b" not in said
    assert "\r" not in said


def test_json_is_plain(profile: Profile) -> None:
    value = json.loads(json.dumps(show.profile_json(profile)))
    assert value["name"] == "linux"
    assert value["areas"][0]["va"] == "0x0000000000000000"
    assert show.profile_json(None) is None


def test_what_is_not_present_is_told_with_an_example(made: MadeLinux, profile: Profile) -> None:
    counts = absent_counts(made.walk(), profile)
    lines = list(show.absent_lines(made.build.fmt, profile, counts))
    assert len(lines) == 2
    assert lines[1].split()[:4] == ["user", "pte", "(1)", "1"]
    # The column before the example has the reason, which is not told again.
    assert re.search(r" swapped out +0x[0-9a-f]{16} area 0, page 0x200, soft-dirty, ex", lines[1])
    more = list(show.absent_lines(made.build.fmt, profile, counts, zeros=True))
    assert len(more) == 1 + len(counts)
    (value,) = (one for one in show.absent_json(made.build.fmt, profile, counts) if one["values"])
    assert value["values"] == {"type": 0, "offset": 512}
    assert (value["area"], value["level"], value["entries"]) == ("user", 1, 1)


def test_nothing_but_zeros_has_no_lines(made: MadeLinux, profile: Profile) -> None:
    assert list(show.absent_lines(made.build.fmt, profile, [])) == []


def test_an_address_is_named(made: MadeLinux, profile: Profile) -> None:
    named = replace(profile, name_of=lambda va: "probe+0x8" if va > MODULES else None)
    va = u64(AT, MODULES + 0x5008, 0xFF20_0000_0000_0000)
    found = translate(made.build.fmt, made.build.ram, made.build.roots, va)
    swapped, module, nowhere = (
        describe(found, row, CONTROLS, [], lambda pa, bits: np.zeros(pa.size, np.uint8), ("RAM",))
        for row in range(3)
    )
    assert list(show.naming_lines(named, swapped)) == [
        "  in user",
        "  not present: swapped out: area 0, page 0x200, soft-dirty, exclusive",
    ]
    assert list(show.naming_lines(named, module)) == ["  in modules, probe+0x8"]
    assert list(show.naming_lines(named, nowhere)) == ["  not present: never mapped"]
    assert show.naming(named, nowhere)["area"] is None
