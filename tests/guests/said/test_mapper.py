"""The witness's lines: strict about each, unmoved by what stands between them."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ptlive.errors import PtliveError
from ptlive.guests.said.mapper import Page, Sum, Witness, read_witness

BEGIN = "mapper: begin pid=86\n"
PKRU = "mapper: pkru value=0x55555e44\n"
WITHOUT = "mapper: without high: user addresses end at 2^47 (no five levels)\n"
PAGE = (
    "mapper: page kind=thp pid=86 va=0x00007f1caee01000 size=2M prot=rw- touched=w key=3"
    " is=P-FX- pfn=0x00000000003001\n"
)
GONE = (
    "mapper: page kind=swap pid=86 va=0x00007f1cb0132000 size=4K prot=r-x touched=r key=0"
    " is=-S--D pfn=0x00000000004020\n"
)
SUM = (
    "mapper: sum kind=thp pid=86 va=0x00007f1caee00000 step=0x0000000000200000 pages=4 present=3"
    " weighted=0xffffffffffffffff\n"
)
PARKED = "mapper: parked pid=86 how=spin lines=7\n"
RUN = [BEGIN, PKRU, WITHOUT, PAGE, GONE, SUM, PARKED]

EXPECTED = Witness(
    pid=86,
    pkru=0x55555E44,
    park="spin",
    pages=[
        Page(
            kind="thp",
            pid=86,
            va=0x7F1CAEE01000,
            size=2 << 20,
            prot="rw-",
            touched="w",
            key=3,
            present=True,
            swapped=False,
            file_or_shared=True,
            exclusive=True,
            soft_dirty=False,
            pfn=0x3001,
        ),
        Page(
            kind="swap",
            pid=86,
            va=0x7F1CB0132000,
            size=4096,
            prot="r-x",
            touched="r",
            key=0,
            present=False,
            swapped=True,
            file_or_shared=False,
            exclusive=False,
            soft_dirty=True,
            pfn=0x4020,
        ),
    ],
    sums=[Sum("thp", 86, 0x7F1CAEE00000, 2 << 20, 4, 3, (1 << 64) - 1)],
    without=["high: user addresses end at 2^47 (no five levels)"],
    lost=0,
)


def test_every_line_is_read() -> None:
    assert read_witness("".join(RUN)) == EXPECTED
    assert EXPECTED.pages[0].size_name == "2M"


def test_lines_end_as_a_terminal_ends_them() -> None:
    assert read_witness("".join(RUN).replace("\n", "\r\n")) == EXPECTED


def test_lines_of_others_between_them_do_not_matter() -> None:
    other = "[    3.14] systemd: page kind=thp\nguest# \n"
    assert read_witness(other + other.join(RUN) + "linux: levels=5\n") == EXPECTED
    assert read_witness("guest# " + "".join(RUN)) == EXPECTED


@pytest.mark.parametrize("at", [5, 40, 90, len(PAGE) - 9, len(PAGE) - 2])
def test_a_line_that_a_message_cuts_is_lost_and_counted(at: int) -> None:
    cut = PAGE[:at] + "[    3.141592] e1000: link is up\n" + PAGE[at:]
    found = read_witness("".join([*RUN[:3], cut, *RUN[4:]]))
    assert found.lost == 1
    assert found.pages == EXPECTED.pages[1:]


def test_the_last_finished_run_counts() -> None:
    second = [line.replace("pid=86", "pid=99") for line in RUN]
    assert read_witness("".join(RUN + second)).pid == 99
    assert read_witness("".join(RUN + second[:-1])).pid == 86


@pytest.mark.parametrize("log", ["", "linux: levels=5\n", "".join(RUN[:-1]), PAGE, PARKED])
def test_a_log_without_a_finished_run_is_refused(log: str) -> None:
    with pytest.raises(PtliveError, match="the guest's log has no witness: start it with --map"):
        read_witness(log)


def test_a_run_that_failed_says_so() -> None:
    with pytest.raises(PtliveError, match="mapper failed: the process that maps has died"):
        read_witness(BEGIN + PAGE + "mapper: failed: the process that maps has died\n")


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("size=2M", "size=3M"),
        ("key=3", "key=333"),
        ("key=3", "key=٣"),
        ("prot=rw-", "prot=wr-"),
        ("touched=w", "touched=x"),
        ("is=P-FX-", "is=P-FX"),
        ("pfn=0x00000000003001", "pfn=0x3001"),
        ("pfn=0x00000000003001", "pfn=0x000000000030011"),
        ("va=0x0000", "va=0x000"),
        ("pid=86", "pid=" + "8" * 5000),
        ("kind=thp", "kind=\x1b[31m"),
    ],
)
def test_a_line_that_is_not_exactly_one_is_none(right: str, wrong: str) -> None:
    assert right in PAGE
    found = read_witness("".join([*RUN[:3], PAGE.replace(right, wrong), *RUN[4:]]))
    assert (found.lost, found.pages) == (1, EXPECTED.pages[1:])


@given(st.lists(st.one_of(st.sampled_from([*RUN, "mapper: ", "\n"]), st.text(max_size=40))))
@example([BEGIN, "mapper: parked pid=1 how=spin lines=" + "9" * 5000 + "\n"])
@example([BEGIN, "mapper: without " + "x" * 100000 + "\n", PARKED])
def test_nothing_that_a_guest_prints_makes_it_fail_otherwise(parts: list[str]) -> None:
    try:
        found = read_witness("".join(parts))
    except PtliveError:
        return
    assert found.lost >= 0
    assert len(found.pages) <= len(parts)
