"""The lines of `info tlb` held against leaves: agreement, each difference, and quirks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from ptlive.analysis.report import Report
from ptlive.arrays import u64
from ptlive.errors import PtliveError
from ptlive.oracle.info_tlb import parse
from ptlive.paging.formats import x86_64
from ptlive.paging.translate import translate
from ptlive.paging.walk import walk
from ptlive.space import open_space
from ptlive.target.attach import attach
from ptlive.verify.info_tlb import ORACLE, RIGHTS, addresses, compare
from ptlive.verify.run import Plan, verify
from tests.paging.plain_ram import FRAME, PlainRam

if TYPE_CHECKING:
    from ptlive.analysis.report import Check
    from ptlive.paging.format import Format
    from ptlive.target.running import Guest

P, W, U, A, D, PS, G, XD = 1, 2, 4, 1 << 5, 1 << 6, 1 << 7, 1 << 8, 1 << 63
# As QEMU prints these tables: without PAT, with the leaf's own flags, through reserved bits.
LINES = {
    0x0000: "0000000000000000: 0000000000005000 X--DA--UW",
    0x1000: "0000000000001000: 0000000000006000 -G-----U-",
    0x2000: "0000000000002000: 0000000000007000 ---------",
    0x200000: "0000000000200000: 0000000000400000 --P----UW",
    0x40000000: "0000000040000000: 0000000080000000 X-P------",
    0x80000000: "0000000080000000: 0000000000009000 --------W",
    -(1 << 47): "ffff800000000000: 0000000000005000 X--DA--UW",
}
BAD_TABLE = 0x80000000


def tables(maxphyaddr: int = 40) -> tuple[PlainRam, Format]:
    memory = PlainRam(16 * FRAME)
    full = P | W | U
    for (frame, index), entry in {
        (0, 0): FRAME | full,
        (0, 256): FRAME | full | XD,  # the same pages once more; of that its lines know nothing
        (1, 0): 2 * FRAME | full,
        (1, 1): 2 << 30 | P | PS | XD,
        (1, 2): 10 * FRAME | full | 1 << 45,
        (2, 0): 3 * FRAME | P,
        (2, 1): 4 << 20 | full | PS,
        (3, 0): 5 * FRAME | full | A | D | XD,
        (3, 1): 6 * FRAME | P | U | G | PS,  # PAT
        (3, 2): 7 * FRAME | P,
    }.items():
        memory.write(frame * FRAME + 8 * index, entry)
    return memory, x86_64.make_levels(4, maxphyaddr=maxphyaddr)


def compared(changes: dict[int, str | None] | None = None, at: list[int] | None = None) -> Report:
    """Compare with the lines, some of them changed or left out."""
    memory, fmt = tables()
    root = np.zeros(1, dtype=np.uint64)
    chosen = {**LINES, **(changes or {})}
    lines = parse("\n".join(line for line in chosen.values() if line))
    va = u64(*(one % (1 << 64) for one in at or [*LINES, 0x3000, 5 << 39, 1 << 60]))
    report = Report(1, 1, 1, 1, "7.2")
    compare(report, translate(fmt, memory, root, va), lines, " --root vcpu:1")
    return report


def quirk_names(report: Report) -> set[str]:
    return {quirk.name for quirk in report.quirks}


def check(report: Report, aspect: str) -> Check:
    return report.check(ORACLE, "info tlb", aspect)


def test_agreement_is_exact_and_says_what_it_cannot_know() -> None:
    report = compared()
    assert report.disagreements == []
    assert (check(report, "frame").agreed, check(report, "frame").disagreed) == (9, 0)
    assert dict(check(report, "frame").unchecked) == {"quirk info-tlb-ignores-reserved": 1}
    assert (check(report, "flags").agreed, check(report, "flags").disagreed) == (6, 0)
    assert dict(check(report, "fault").unchecked) == {RIGHTS: 10}
    assert quirk_names(report) == {"info-tlb-ignores-reserved"}


def test_an_address_inside_a_page_is_of_its_line() -> None:
    inside = [0xFFF, 0x1008, 0x3FFFFF, 0x7FFFFFFF, BAD_TABLE + 8, 0x400000, 0x3008]
    report = compared(at=inside)
    assert report.disagreements == []
    assert check(report, "flags").agreed == 4
    assert check(report, "frame").agreed == 6


@pytest.mark.parametrize(
    ("va", "line", "aspect", "predicted", "observed"),
    [
        (0x1000, None, "frame", "page at 0x6000", "no line"),
        (0x40000000, None, "frame", "page at 0x80000000", "no line"),
        (
            0x1000,
            "0000000000001000: 0000000000007000 -G-----U-",
            "frame",
            "page at 0x6000",
            "page at 0x7000",
        ),
        (
            0x3000,
            "0000000000003000: 0000000000008000 -------U-",
            "frame",
            "no page",
            "page at 0x8000",
        ),
        (
            0x200000,
            "0000000000200000: 0000000000400000 -------UW",  # of 4K
            "frame",
            "page at 0x400000",
            "no line",
        ),
        *(
            (0x1000, f"0000000000001000: 0000000000006000 {letters}", "flags", "-G-----U-", letters)
            for letters in ("XG-----U-", "-------U-", "-G----TU-", "-G---C-U-", "-G--A--U-")
        ),
        *(
            (0x1000, f"0000000000001000: 0000000000006000 {letters}", "flags", "-G-----U-", letters)
            for letters in ("-G-D---U-", "-G-------", "-G-----UW")
        ),
    ],
)
def test_each_difference_is_one_disagreement(
    va: int, line: str | None, aspect: str, predicted: str, observed: str
) -> None:
    report = compared({va: line})
    (one,) = report.disagreements
    assert (one.va, one.aspect, one.predicted, one.observed) == (va, aspect, predicted, observed)
    assert one.reproduce == f"ptlive verify {va:#x} --oracle info-tlb --root vcpu:1"
    assert report.disagreed == check(report, aspect).disagreed == 1


def test_a_quirk_alone_is_an_answer() -> None:
    assert compared(at=[BAD_TABLE]).never_checked == []
    assert compared(at=[0x3000]).never_checked == []


def test_of_an_address_of_52_bits_50_are_shown() -> None:
    memory, fmt = tables(maxphyaddr=52)
    memory.write(3 * FRAME, 1 << 50 | 5 * FRAME | P | W | U)
    found = translate(fmt, memory, np.zeros(1, dtype=np.uint64), u64(0))
    for pa, explained in ((5 * FRAME, True), (6 * FRAME, False), (1 << 49 | 5 * FRAME, False)):
        report = Report(1, 1, 1, 1, "7.2")
        compare(report, found, parse(f"{0:016x}: {pa:016x} -------UW"), "")
        assert quirk_names(report) == ({"info-tlb-50-bits"} if explained else set())
        assert len(report.disagreements) == (not explained)


def test_asked_are_all_leaves_and_all_lines_or_those_in_ranges() -> None:
    memory, fmt = tables()
    root = np.zeros((1, 1), dtype=np.uint64)
    lines = parse("\n".join([*LINES.values(), "0000123400000000: 0000000000001000 ---------"]))
    every = addresses(walk(fmt, memory, root), lines, None).tolist()
    lower = {0, 0x1000, 0x2000, 0x200000, 0x40000000}
    upper = {va + 0xFFFF800000000000 for va in lower}
    assert set(every) == lower | upper | {BAD_TABLE, 0x123400000000}
    ranges = u64(0x1000, 0x123400000000), u64(0x1FFF, 0x123400000FFF)
    some = addresses(walk(fmt, memory, root, ranges), lines, ranges)
    assert some.tolist() == [0x1000, 0x123400000000]


@pytest.mark.qemu
@pytest.mark.parametrize("name", ["menu_guest_5", "menu_guest_4", "linux_guest"])
def test_qemu_prints_what_the_walk_finds(name: str, request: pytest.FixtureRequest) -> None:
    guest: Guest = request.getfixturevalue(name)
    with attach(guest.gdb) as target:
        space = open_space(target.cpus[0], target.memory, target.ram_map)
        report = verify(target, space, Plan(oracles=("info-tlb",), guest=guest))
        with pytest.raises(PtliveError, match="--qmp"):
            verify(target, space, Plan(oracles=("info-tlb",)))
    assert report.disagreements == []
    assert check(report, "frame").agreed >= report.reached > 1000
    assert check(report, "flags").agreed == report.reached
    reserved = {"info-tlb-ignores-reserved"} if name.startswith("menu") else set()
    assert quirk_names(report) == reserved
