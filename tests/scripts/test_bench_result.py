"""What is kept of a run: ratios by name, of the right guest, null where nothing was measured."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING

import pytest
from rich.console import Console

from ptlive.errors import PtliveError
from ptlive.guests.mapper import parse_order
from scripts.benchmark import plot, table
from scripts.benchmark.commands import Command
from scripts.benchmark.ours import DECODED, Verified
from scripts.benchmark.point import Point
from scripts.benchmark.result import PAIRS, as_json
from scripts.benchmark.shapes import FULL, SHAPES, USUAL, shape
from scripts.benchmark.timing import Spread, Times

if TYPE_CHECKING:
    from pathlib import Path

MACHINE = {"CPU": "some", "cores": "2", "kernel": "6", "QEMU": "7", "Python": "3", "numpy": "2"}
MACHINE["date"] = "today"


def point(name: str, leaves: int, **seconds: float) -> Point:
    """Return a point with two turns, the second twice as slow for all."""
    named = {key.replace("_", " "): value for key, value in seconds.items()}
    turns = [named, {key: 2 * value for key, value in named.items()}]
    return Point(shape(name), leaves, leaves // 64, (), Times(turns))


def test_ratios_are_those_of_the_largest_judged_guest() -> None:
    points = [
        point("mixed", 110_000, plain_C=1, **{f"shared{DECODED}": 3}),
        point(
            "dense",
            1_000_000,
            shared=40,
            plain_C=10,
            raw_transfer=2,
            **{f"shared{DECODED}": 20, f"stub{DECODED}": 4},
        ),
        point("sparse", 2_000_000, shared=1, plain_C=1),
        point("dense", 99_999, shared=1, plain_C=1),
    ]
    points[1].verified = Verified(6_000_000, 4.0, 0)
    found = as_json(points, MACHINE, 12.34)
    assert json.loads(json.dumps(found)) == found
    assert set(found["ratios"]) == set(PAIRS)
    taken = {"value": 2.0, "min": 2.0, "max": 2.0, "leaves": 1_000_000, "shape": "dense"}
    assert found["ratios"]["shared_vs_c"] == taken
    assert found["ratios"]["stub_vs_raw_transfer"] == taken
    assert found["ratios"]["shared_with_addresses_vs_c"]["value"] == 4.0
    nothing = {"value": None, "leaves": 1_000_000, "shape": "dense"}
    assert found["ratios"]["shared_vs_gdb_pt_dump"] == nothing
    assert found["verify_probes_per_second"] == 1_500_000
    assert "dense, 1,000,000 leaves" in found["comment"]
    assert [one["leaves"] for one in found["points"]] == [110_000, 1_000_000, 2_000_000, 99_999]
    assert found["points"][0]["ratios"]["shared_vs_c"]["value"] == 3.0


def test_of_small_guests_no_ratio_is_kept_by_name() -> None:
    found = as_json([point("mixed", 99_999, shared=1, plain_C=1)], MACHINE, 1)
    assert {ratio["value"] for ratio in found["ratios"].values()} == {None}
    assert found["verify_probes_per_second"] is None
    assert "none was measured" in found["comment"]


def printed(*points: Point) -> str:
    console = Console(width=160, file=io.StringIO(), record=True)
    for one in points:
        for part in table.point(one):
            console.print(part)
    for part in table.summary(points):
        console.print(part)
    return console.export_text()


def test_the_table_tells_ratios_and_what_was_left_out() -> None:
    one = point("dense", 1_000_000, plain_C=0.01, shared=0.025, stub=0.2, raw_transfer=0.18)
    one.walks.skipped["qmp"] = "no QMP is known"
    one.without = ("without thp: no room",)
    one.commands = [Command("ptlive map", Spread(1.5, 1, 2, 3), 66_000_000, 33_000_000)]
    text = printed(one)
    assert "dense, 1,000,000 leaves" in text
    assert "2.5 (2.5..2.5)" in text
    assert "1.1 (1.1..1.1)" in text
    assert "not measured: qmp: no QMP is known" in text
    assert "without thp: no room" in text
    assert "66 MB (2.0 x the leaves' arrays)" in text
    assert "not measured" in text.partition("shared_vs_gdb_pt_dump")[2].partition("\n")[0]


def test_a_picture_is_drawn(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="the extra bench is not installed")
    points = [
        point("stock", 10_000, plain_C=1e-4, shared=1e-3, info_tlb=2e-2),
        point("dense", 1_000_000, plain_C=1e-2, shared=3e-2, info_tlb=2),
        point("lonely", 100_000, plain_C=0.1, shared=0.3),
    ]
    for suffix, magic, few in ((".png", b"\x89PNG", 3), (".svg", b"<?xml", 2), (".png", b"", 1)):
        file = tmp_path / f"cost{suffix}"
        plot.check(file)
        plot.draw(points[-few:], "a machine", file)
        assert file.read_bytes().startswith(magic)
        assert file.stat().st_size > 10_000


def test_names_beside_lines_are_moved_as_little_as_needed() -> None:
    assert plot.spread_out([1.0, 5.0, 9.0], 2.0) == [1.0, 5.0, 9.0]
    assert plot.spread_out([5.0, 5.0, 20.0], 2.0) == [4.0, 6.0, 20.0]
    assert plot.spread_out([4.0, 5.0, 5.5, 6.0], 1.0) == pytest.approx([3.625, 4.625, 5.625, 6.625])
    assert plot.spread_out([], 1.0) == []


def test_a_picture_of_another_kind_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PtliveError, match=r"cost.doc is no picture: the name ends in .png"):
        plot.check(tmp_path / "cost.doc")


@pytest.mark.parametrize("name", list(SHAPES))
def test_each_shape_can_be_ordered_and_fits(name: str) -> None:
    made = SHAPES[name]
    if made.order:
        order = parse_order(made.ordered(None))
        assert max(order.memory, made.memory or 0) <= 4 << 30


def test_the_points_of_a_run_are_shapes_that_there_are() -> None:
    assert {name for name, _ in (*FULL, *USUAL)} <= set(SHAPES)
    assert {name for name, _ in FULL} == set(SHAPES)
    with pytest.raises(PtliveError, match="there is no shape 'round': there are stock, "):
        shape("round")
