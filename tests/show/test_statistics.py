"""Statistics in text and in JSON."""

from __future__ import annotations

from ptlive.analysis.statistics.leaves import Cell, Count, Counted
from ptlive.analysis.statistics.tables import Tables
from ptlive.paging.formats.x86_64 import make_levels
from ptlive.show import statistics as show
from ptlive.show.statistics import Statistics

TARGETS = ("nothing", "RAM")
WRITE = 1 << 1
FOUND = Statistics(
    make_levels(4),
    Counted(
        {
            Cell(12, 0, 1, accessed=True, dirty=False): (32, 65_536),
            Cell(21, WRITE, 0, accessed=False, dirty=False): (1, 1),
        },
        {},
    ),
    frames=4096 + (2 << 20),
    tables=[
        Tables(2, 2, 8192, 1024, 256, 1, 0, 0, 1, 5, 0),
        Tables(1, 3, 12_288, 1536, 600, 0, 1, 1, 0, 3, 1),
    ],
    areas={"": Count(1, 1, 2 << 20), "the\x1barea": Count(32, 65_536, 1 << 28, 65_536, 0)},
)


def test_statistics_to_the_letter() -> None:
    assert list(show.lines(FOUND, TARGETS)) == [
        "                  leaf entries  reached  bytes  accessed  dirty",
        "pages of 4K                 32   65,536   256M    100.0%   0.0%",
        "pages of 2M                  1        1   2.0M      0.0%   0.0%",
        "r---                        32   65,536   256M    100.0%   0.0%",
        "rw--                         1        1   2.0M      0.0%   0.0%",
        "in nothing                   1        1   2.0M      0.0%   0.0%",
        "in RAM                      32   65,536   256M    100.0%   0.0%",
        "in no known area             1        1   2.0M      0.0%   0.0%",
        "the\\x1barea                 32   65,536   256M    100.0%   0.0%",
        "all                         33   65,537   258M    100.0%   0.0%",
        "2.0M of different frames are mapped",
        "",
        "tables   number  memory  entries used  empty  one entry  ful"
        "l  shared  reached  as one page",
        "of PDEs       2    8.0K         25.0%      1          0     "
        "0       1        5            0",
        "of PTEs       3   12.0K         39.1%      0          1     "
        "1       0        3            1",
        "20.0K of tables for 258M of addresses; 33.4% of their entries are used, "
        "4.0K is of empty tables",
        "1 table of PTEs, 4.0K, could be a page of 2M instead",
    ]


def test_json_has_the_same_exactly() -> None:
    value = show.as_json(FOUND, TARGETS)
    assert value["leaves"] == {
        "entries": 33,
        "reached": 65_537,
        "bytes": (65_536 << 12) + (1 << 21),
        "accessed": 65_536,
        "dirty": 0,
    }
    assert [row["size"] for row in value["by_size"]] == ["4K", "2M"]
    assert value["by_rights"][1]["rights"] == {"write": True, "execute": False, "user": False}
    assert [row["area"] for row in value["by_area"]] == [None, "the\x1barea"]
    assert value["tables"][1]["level"] == 1
    assert value["tables"][1]["mergeable"] == 1
