"""Roots as lines and as JSON."""

from __future__ import annotations

from ptlive.analysis.roots.find import FoundRoot
from ptlive.analysis.roots.judge import Below
from ptlive.show import roots as show

BELOW = Below(leaves=3, bytes=3 << 12, user=3, in_ram=2, bad=0, junk=1, tables=4)
ONE = FoundRoot(
    number=7,
    root=0x12000,
    kind="process",
    confidence=0.95,
    evidence=("this", "that"),
    below=BELOW,
    vcpus=(1, 2),
    partner=0x13000,
    copies=(0x20000,),
    upper=54,
    lower=1,
)


def test_a_line_for_each_root() -> None:
    header, line = show.lines([ONE])
    assert header.split()[0] == "#"
    assert line.split() == [
        "#7",
        "0x12000",
        "process",
        "0.95",
        "high",
        "3",
        "12K",
        "4",
        "0x13000",
        "this;",
        "that",
    ]


def test_what_was_not_counted_is_not_zero() -> None:
    unknown = FoundRoot(**{**vars(ONE), "below": None, "partner": None})
    _, line = show.lines([unknown])
    assert line.split()[5:9] == ["?", "?", "?", "-"]
    assert show.as_json(unknown)["lower"] is None


def test_json_has_all_of_it() -> None:
    assert show.as_json(ONE) == {
        "number": 7,
        "kind": "process",
        "confidence": 0.95,
        "evidence": ["this", "that"],
        "vcpus": [1, 2],
        "partner": "0x13000",
        "copies": ["0x20000"],
        "entries": {"lower": 1, "upper": 54},
        "lower": {
            "leaves": 3,
            "bytes": 12288,
            "user": 3,
            "in_ram": 2,
            "bad": 0,
            "junk": 1,
            "tables": 4,
        },
    }


def test_a_line_for_each_vcpu() -> None:
    row = {
        "vcpu": 1,
        "cr3": "0x12005",
        "root": "0x12000",
        "pcid": 5,
        "flags": ["a", "b"],
        "half": "user",
        "format": "4-level paging",
        "state": "halted",
    }
    off = row | {"vcpu": 2, "root": None, "pcid": None, "flags": [], "half": None}
    _, first, second = show.vcpu_lines([row, off])
    assert first.split() == [
        "1",
        "0x12005",
        "0x12000",
        "5",
        "a,",
        "b",
        "user",
        "4-level",
        "paging",
        "halted",
    ]
    assert second.split() == ["2", "0x12005", "-", "-", "-", "-", "4-level", "paging", "halted"]
