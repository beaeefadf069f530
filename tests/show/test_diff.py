"""Differences in words: signs, old and new values, repetitions, colours."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from rich.console import Console

from ptlive.analysis.diff.compare import Diff, diff
from ptlive.paging.walk import walk
from ptlive.show import diff as show
from tests.paging.builder import Builder
from tests.paging.plain_ram import FRAME
from tests.paging.tables import PS, PWU, RW, A, D, G

if TYPE_CHECKING:
    from ptlive.arrays import U8, U64

TARGETS = ("nothing", "RAM")


def in_ram(pa: U64, size_bits: U64) -> U8:
    return np.ones(pa.size, dtype=np.uint8)


def compared(old: dict[int, int], new: dict[int, int], level: int = 1) -> Diff:
    """Compare two address spaces that have these entries of a level, and pages elsewhere."""
    graphs = []
    for entries in (old, new):
        builder = Builder(4)
        for va, entry in entries.items():
            builder.map(va, entry, level=level if entry & PS else 1)
        graphs.append(walk(builder.fmt, builder.ram, builder.roots))
    return diff(graphs[0], graphs[1], in_ram, in_ram, fold=True)


def lines(found: Diff) -> list[list[str]]:
    rows = list(show.lines(found, TARGETS, [None] * len(found)))
    return [row.split() for row in rows]


def test_a_row_shows_old_and_new_values_where_they_differ() -> None:
    found = compared({0x1000: 0x5000 | PWU | A}, {0x1000: 0x6000 | (PWU ^ RW) | G | D})
    _, row = lines(found)
    assert row[:4] == ["~", "0x0000000000001000", "0x0000000000001fff", "4K"]
    assert " ".join(row[4:]) == (
        "1 x 4K rwxu -> r-xu - -> G RAM 0x5000 -> 0x6000 moved, rights, attributes, A cleared D set"
    )


def test_a_page_is_split_and_collapsed() -> None:
    large = {2 << 20: 2 << 20 | PWU | PS}
    small = {(2 << 20) + n * FRAME: (2 << 20) + n * FRAME | PWU for n in range(512) if n != 5}
    split, back = compared(large, small, 2), compared(small, large, 2)
    told = [" ".join(row) for row in lines(split)[1:]]
    assert told[0].endswith("split from 2M")
    assert told[1].endswith("removed, of a 2M page")
    assert "collapsed to 2M" in " ".join(lines(back)[1])
    assert show.summary(split).startswith("3 regions: removed 4K (1 x 4K), size 2044K (511 x 4K); ")
    first = next(show.as_json(split, TARGETS, ["user"] * 3))
    assert (first["a"]["page_size"], first["b"]["page_size"], first["area"]) == ("2M", "4K", "user")


def test_what_repeats_says_how_often_and_up_to_where() -> None:
    new = {n * 2 * FRAME: 0x5000 | PWU | 1 << 9 | 1 << 52 for n in range(6)}
    old = dict.fromkeys(new, 0x5000 | PWU)
    found = compared(old, new)
    _, row = lines(found)
    assert " ".join(row).endswith("software bits 9 52, 6 times every 8K up to 0x000000000000afff")
    assert show.counts(found) == {"software": {"pages": {"4K": 6}, "bytes": 6 * FRAME}}


@pytest.mark.parametrize("terminal", [True, False])
def test_there_are_colours_on_a_terminal_only(
    monkeypatch: pytest.MonkeyPatch, terminal: bool
) -> None:
    console = Console(force_terminal=terminal, width=200, record=True, color_system="standard")
    monkeypatch.setattr(show, "stdout", lambda: console)
    monkeypatch.setattr("ptlive.show.terminal.stdout", lambda: console)
    with console.capture() as captured:
        show.print_diff(iter(["   start", "+  1", "-  2", "~  3"]))
    assert ("\x1b[32m+  1" in captured.get()) == terminal
    assert ("\x1b[" in captured.get()) == terminal
