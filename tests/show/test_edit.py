"""An edit in words and as JSON: runs of entries, new tables, what was asked and what was not."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from rich.text import Text

from ptlive.analysis.edit import Edit
from ptlive.analysis.edit_frames import Frames
from ptlive.analysis.report import Report
from ptlive.show import edit as show
from ptlive.show.json import print_json
from tests.paging.plain_ram import FRAME
from tests.paging.tables import PS, P, machine
from tests.simulated_guest import DATA, Guest

if TYPE_CHECKING:
    from collections.abc import Callable

VA = 0x7000_0000
FREE = (DATA + 8) * FRAME
TARGETS = ("nothing", "RAM", "ROM", "device", "mixed")
PAGE = P | 2  # and A and D, which the guest's tables have


def outcome(do: Callable[[Edit], None], va: int = VA, pages: int = 4, **more: Any) -> show.Outcome:
    """Return what comes of an edit of five pages of 4K and one of 2M."""
    guest = Guest(machine())
    for page in range(5):
        guest.map(VA + page * FRAME, (DATA + page) * FRAME, PAGE)
    guest.map(VA + (4 << 20), 0, PAGE | PS, level=2)
    space = guest.space()
    frames = Frames([(FREE, FREE + 4 * FRAME - 1)])
    one = Edit(space.format, space.memory, space.root, va, va + pages * FRAME - 1, frames)
    do(one)
    before, after = space.regions(one.before()), space.regions(one.graph())
    return show.Outcome(one, one.changed(), one.tables(), before, after, [], **more)


def said(done: show.Outcome) -> list[str]:
    found = (one.plain if isinstance(one, Text) else one for one in show.lines(done, TARGETS))
    return [" ".join(line.split()) for line in found]


def report(disagreed: int = 0) -> Report:
    one = Report(1, 1, 7, 1, "7.2")
    check = one.check("twin", "TCG", "fault")
    check.agreed, check.disagreed = 8 - disagreed, disagreed
    return one


def test_neighbours_that_change_alike_are_one_line() -> None:
    done = outcome(lambda edit: edit.unmap())
    table = done.changed[0].address[0] & ~np.uint64(0xFFF)
    first = int(table) + 8 * (VA >> 12 & 511)
    index = VA >> 12 & 511
    assert said(done)[1] == (
        f"PTE {index}..{index + 3} {int(table):#x} {first:#x} {DATA * FRAME | 0x63:#x}... "
        "leaf P R/W A D 0x0 absent"
    )
    assert said(done)[-2:] == [
        "other address spaces may have the same tables: "
        f"ptlive find {int(table):#x} --all-roots tells",
        "4 entries would change; nothing was written (--write does it)",
    ]


def test_what_changes_otherwise_is_another_line() -> None:
    def do(edit: Edit) -> None:
        edit.unmap()
        edit.memory.write(edit.changed()[0].address[1:2], np.array([1], dtype=np.uint64), "<u8")

    rows = [line for line in said(outcome(do)) if line.startswith("PTE")]
    assert [row.split()[1].count("..") for row in rows] == [0, 0, 1]
    assert rows[1].endswith("0x1 leaf P")


def test_a_new_table_is_told_with_what_stands_there() -> None:
    done = outcome(lambda edit: edit.unmap(), VA + (4 << 20))
    lines = said(done)
    assert f"new PTE table at {FREE:#x}: 508 entries of 512 present" in lines
    assert lines[-1].startswith("1 entry, 1 new table would change")
    (table,) = show.as_json(done, "unmap", TARGETS)["new_tables"]
    assert table["table"] == hex(FREE)
    assert [one["index"] for one in table["entries"]] == [*range(4, 512)]
    assert table["entries"][0] == {"index": 4, "entry": hex(4 * FRAME | 0x63)}


def test_before_and_after_are_regions_of_the_range() -> None:
    lines = said(outcome(lambda edit: edit.unmap()))
    at = lines.index("before")
    assert lines[at + 2].startswith(f"{VA:#018x} {VA + 4 * FRAME - 1:#018x} 16K 4 x 4K rwx-")
    assert lines[lines.index("after") + 1] == "nothing mapped"


def test_where_nothing_would_change_nothing_else_is_told() -> None:
    (line,) = said(outcome(lambda edit: edit.unmap(), VA + (1 << 30)))
    assert line.startswith("nothing would change")


def test_many_lines_are_cut_and_counted() -> None:
    done = outcome(lambda edit: edit.unmap())
    (one,) = done.changed
    count = show.SHOWN + 3
    apart = replace(  # no two are neighbours
        done,
        changed=[
            one._replace(
                address=np.arange(count, dtype=np.uint64) * np.uint64(16),
                old=np.zeros(count, dtype=np.uint64),
                new=np.full(count, 0x63, dtype=np.uint64),
            )
        ],
    )
    lines = said(apart)
    assert "... 3 more lines of entries (--json has all)" in lines
    assert len(show.as_json(apart, "unmap", TARGETS)["changes"]) == count


@pytest.mark.parametrize(
    ("more", "line", "bad"),
    [
        ({"mmu": report()}, "what the MMU of a copy answers", False),
        ({"mmu": report(1)}, "what the MMU of a copy answers", True),
        ({"mmu_why": "no"}, "not verified by the MMU of a copy: no", False),
        ({"executed_why": "\x1b[2J"}, "not verified by the guest's MMU: \\x1b[2J", False),
        ({"dangers": ["it would lose \x1b[2J"]}, None, True),
    ],
)
def test_who_answered_is_told_and_what_is_to_be_looked_at(
    more: dict[str, Any], line: str | None, bad: bool
) -> None:
    done = replace(outcome(lambda edit: edit.unmap()), **more)
    lines = said(done)
    assert line is None or line in lines
    assert done.bad == bad
    assert not any("\x1b" in one for one in lines)


def test_what_is_written_tells_how_to_undo_it() -> None:
    file = Path("un\x1bdo.json")
    flushed = show.Flushed(done=False, text="TLB not flushed: why")
    done = outcome(lambda edit: edit.unmap(), undo=file, flushed=flushed, executed=report())
    *_, tlb, last = said(replace(done, dangers=["it would lose its stack"]))
    assert tlb == "TLB not flushed: why"
    assert last.startswith("4 entries written; to undo it: ptlive edit undo un")
    assert "\x1b" not in last
    assert not replace(done, dangers=["asked for"]).bad
    assert replace(done, executed=report(1)).bad


def test_json_has_each_entry_as_it_was_and_becomes(capsys: pytest.CaptureFixture[str]) -> None:
    flushed = show.Flushed(done=True, text="flushed")
    done = outcome(lambda edit: edit.unmap(), undo=Path("u.json"), flushed=flushed)
    print_json(show.as_json(done, "unmap", TARGETS))
    found = json.loads(capsys.readouterr().out)
    assert (found["va"], found["last_va"]) == ("0x0000000070000000", "0x0000000070003fff")
    assert (found["written"], found["undo"]) == (True, "u.json")
    assert found["tlb"] == {"flushed": True, "text": "flushed"}
    assert (found["mmu"], found["executed"]) == (None, None)
    assert [one["index"] for one in found["changes"]] == [(VA >> 12 & 511) + n for n in range(4)]
    for page, one in enumerate(found["changes"]):
        assert one["name"] == {"spec": "PTE", "linux": "pte"}
        assert int(one["entry_pa"], 16) == int(one["table"], 16) + 8 * one["index"]
        assert int(one["old"]["entry"], 16) == (DATA + page) * FRAME | 0x63
        assert one["old"]["kind"] == "leaf"
        assert (int(one["new"]["entry"], 16), one["new"]["kind"]) == (0, "absent")
