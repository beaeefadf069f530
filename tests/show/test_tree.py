"""The tree in text and in JSON, to the letter."""

from __future__ import annotations

from ptlive.analysis.tree import Tree
from ptlive.arrays import u64
from ptlive.paging.formats.x86_64 import make_levels
from ptlive.paging.walk import walk
from ptlive.show import tree as show
from tests.analysis.regions.naive import alike
from tests.paging.plain_ram import FRAME, PlainRam
from tests.paging.tables import PS, PWU, RAM_SIZE, P

TARGETS = ("RAM",)


def made() -> Tree:
    ram = PlainRam(RAM_SIZE)
    ram.write(8 * 3, FRAME | PWU)
    for slot in range(4):
        ram.write(FRAME + 8 * slot, 2 * FRAME | PWU)
    ram.write(2 * FRAME, 1 << 30 | PWU | PS)
    ram.write(2 * FRAME + 8, 2 << 30 | P | PS | 1 << 3)
    ram.write(2 * FRAME + 16, 3 * FRAME | PWU | 1 << 51)
    return Tree(walk(make_levels(4, maxphyaddr=40), ram, u64(0)), alike)


def test_the_tree_to_the_letter() -> None:
    lines = list(show.lines(make_levels(4), made().runs(), TARGETS))
    assert lines == [
        "PML4E 3         0x0000018000000000..0x000001ffffffffff  table 0x1000, 8 pages",
        "  PDPTE 0..3      0x0000018000000000..0x00000180ffffffff  table 0x2000 x4, 8 pages, "
        "reached by 4 paths",
        "    PDE 0         0x0000018000000000..0x00000180001fffff  1 x 2M  rwxu  RAM 0x40000000",
        "    PDE 1         0x0000018000200000..0x00000180003fffff  1 x 2M  r-x-  PWT  "
        "RAM 0x80000000",
        "    PDE 2         0x0000018000400000..0x00000180005fffff  malformed: 0x3000",
    ]


def test_json_says_what_is_below_what_by_depth() -> None:
    rows = list(show.as_json(make_levels(4), made().runs(), TARGETS))
    assert [row["depth"] for row in rows] == [0, 1, 2, 2, 2]
    assert [row["kind"] for row in rows] == ["table", "table", "leaf", "leaf", "malformed"]
    assert rows[1]["paths"] == 4
    assert rows[2]["size"] == "2M"
    assert rows[2]["rights"] == {"write": True, "execute": True, "user": True}
