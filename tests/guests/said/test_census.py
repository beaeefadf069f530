"""The census' lines: strict about each, unmoved by what stands between them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ptlive.errors import PtliveError
from ptlive.guests.said.census import Census, Mapping, Process, read_census

BEGIN = "mapper: census begin pid=148\n"
INIT = (
    "mapper: process pid=1 kind=user threads=1 mm=0xff3362b1c1048580 root=0x0000000001e2c000"
    " name=a (strange) na;me;\n"
)
AT = "mapper: at pid=1 va=0x0000000000400000 pfn=0x0000000001fcb4\n"
TEXT = (
    "mapper: mapping pid=1 va=0x0000000000400000 last=0x0000000000400fff prot=r--p present=1"
    " swapped=0 weighted=0x000000000001fcb4 name=/bin/busybox;\n"
)
NONE = (
    "mapper: mapping pid=1 va=0x00007f0000000000 last=0x00007f0000003fff prot=---p present=2"
    " swapped=1 weighted=0xffffffffffffffff name=;\n"
)
VVAR = (
    "mapper: mapping pid=1 va=0x00007f3925333000 last=0x00007f3925336fff prot=r--p present=0"
    " swapped=0 weighted=0x0000000000000000 name=[vvar];\n"
)
THREAD = (
    "mapper: process pid=2 kind=kernel threads=1 mm=0x0000000000000000 root=0x0000000000000000"
    " name=kthreadd;\n"
)
SELF = (
    "mapper: process pid=148 kind=user threads=1 mm=0xff3362b1c1048000 root=0x0000000001e3a000"
    " name=mapper;\n"
)
END = "mapper: census end lines=9\n"
RUN = [BEGIN, INIT, AT, TEXT, NONE, VVAR, THREAD, SELF, END]

MAPPINGS = [
    Mapping(1, 0x400000, 0x400FFF, "r--p", 1, 0, 0x1FCB4, "/bin/busybox"),
    Mapping(1, 0x7F0000000000, 0x7F0000003FFF, "---p", 2, 1, (1 << 64) - 1, ""),
    Mapping(1, 0x7F3925333000, 0x7F3925336FFF, "r--p", 0, 0, 0, "[vvar]"),
]
FIRST = Process(
    1,
    "user",
    1,
    0xFF3362B1C1048580,
    0x1E2C000,
    "a (strange) na;me",
    MAPPINGS,
    [(0x400000, 0x1FCB4)],
)
EXPECTED = Census(
    148,
    [
        FIRST,
        Process(2, "kernel", 1, 0, 0, "kthreadd"),
        Process(148, "user", 1, 0xFF3362B1C1048000, 0x1E3A000, "mapper"),
    ],
)


def test_every_field_arrives() -> None:
    assert read_census("".join(RUN)) == EXPECTED


def test_who_counts_is_no_user_that_is_still_there() -> None:
    assert read_census("".join(RUN)).users == [FIRST]


def test_sums_over_a_process() -> None:
    assert (FIRST.present, FIRST.swapped) == (3, 1)


def test_which_mappings_the_mmu_has_and_pagemap_tells() -> None:
    assert [one.mapped for one in MAPPINGS] == [True, False, True]
    assert [one.told for one in MAPPINGS] == [True, True, False]


def test_of_two_runs_the_last_one_counts() -> None:
    older = [line.replace("pid=1 ", "pid=3 ") for line in RUN]
    assert read_census("".join([*older, *RUN, BEGIN, INIT])) == EXPECTED


def test_lines_that_were_cut_or_did_not_come_are_counted() -> None:
    whole = list(RUN)
    del whole[2]
    whole[3] = NONE[:60] + "\n"
    found = read_census("".join(whole))
    assert found.lost == 2
    assert [len(one.mappings) for one in found.processes] == [2, 0, 0]


def test_a_line_about_an_unknown_process_is_lost() -> None:
    stray = AT.replace("pid=1", "pid=9")
    found = read_census("".join([BEGIN, INIT, stray, "mapper: census end lines=4\n"]))
    assert (found.lost, len(found.processes)) == (1, 1)


@pytest.mark.parametrize("log", ["", "".join(RUN[:-1]), "".join(RUN[1:])])
def test_without_a_finished_census_there_is_none(log: str) -> None:
    with pytest.raises(PtliveError, match="did not finish its census"):
        read_census(log)


@given(st.lists(st.sampled_from([*RUN, "x\n", "mapper: ", "mapper: at pid=1\n"]), max_size=20))
def test_whatever_order_lines_come_in_nothing_breaks(lines: list[str]) -> None:
    try:
        found = read_census("".join(lines))
    except PtliveError:
        return
    assert found.lost >= 0


@given(st.text(max_size=200))
def test_any_text_is_read_or_refused(text: str) -> None:
    with pytest.raises(PtliveError):
        read_census(text)
