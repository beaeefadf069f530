"""The article on the two ways: it is what the script would write, of the sources that are there."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from ptlive.errors import PtliveError
from scripts.measure_thesis import counts, page, sources
from scripts.measure_thesis.build import GCC, compile_way
from scripts.measure_thesis.leaf_loop import patched
from scripts.measure_thesis.objects import Calls
from scripts.measure_thesis.sources import PAGETABLES, Tree
from scripts.measure_thesis.special import KINDS, places
from tests.pagetables.machine import make
from tests.pagetables.operations import operations
from tests.pagetables.trial import NEW, OLD, trial

if TYPE_CHECKING:
    from pathlib import Path

LOOP = "loop 2002\n"
# Why what needs it is skipped; the extra `test` has it.
WITHOUT = "lizard is not installed (ptlive[test])"


@pytest.fixture(scope="module")
def figures() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(page.FIGURES.read_text())
    return found


def test_the_page_is_what_its_figures_make(figures: dict[str, Any]) -> None:
    text = page.PAGE.read_text()
    assert page.filled(text, figures) == text, "run scripts/thesis"
    assert set(re.findall(r"<!-- thesis: (\w+) -->", text)) == set(page.BLOCKS)


def test_the_figures_are_those_of_the_sources(figures: dict[str, Any]) -> None:
    assert figures["sources"] == sources.digest(), "run scripts/thesis: guest/pagetables changed"


def test_what_was_painted_is_within_the_bound(figures: dict[str, Any]) -> None:
    for by_levels in figures["counts"].values():
        for one in by_levels.values():
            assert all(one["stack"][op] <= one["bound"][op] for op in sources.OPERATIONS)


def test_an_unknown_block_is_told() -> None:
    with pytest.raises(PtliveError, match="'nonsense'"):
        page.filled("<!-- thesis: nonsense -->\n<!-- end -->", {})


def test_lines_without_comments(tmp_path: Path) -> None:
    file = tmp_path / "a.c"
    file.write_text("/* one\n * two */\n\nint a; /* with */\n#define B 1\n\t/* x */ int c;\n")
    assert sources.code_lines(file) == 3


def test_counts_are_read() -> None:
    said = LOOP + "row remap length 8 1 12 8657 296\ndone\n"
    assert counts.read(said) == [counts.Count("remap", "length", 8, 1, 12, 8657, 296)]


@pytest.mark.parametrize("said", ["loop 2003\ndone\n", LOOP, "menu: stopped\n", "\n", ""])
def test_a_counter_that_is_not_exact_counts_nothing(said: str) -> None:
    with pytest.raises(PtliveError, match="no exact counter"):
        counts.read(said)


GRAPH = r"""
node: { title: "pt_op" label: "pt_op\na.c:1:1\n32 bytes (static)" }
node: { title: "pt_walk" label: "pt_walk\na.c:2:1\n100 bytes (dynamic,bounded)" }
node: { title: "__indirect_call" label: "Indirect Call Placeholder" shape : ellipse }
node: { title: "/x/op.c:step" label: "step\n/x/op.c:3:1\n16 bytes (static)" }
edge: { sourcename: "pt_op" targetname: "pt_walk" label: "a.c:5:1" }
edge: { sourcename: "pt_walk" targetname: "pt_walk" label: "a.c:6:1" }
edge: { sourcename: "pt_walk" targetname: "__indirect_call" label: "a.c:7:1" }
"""


def test_the_bound_counts_the_recursion_once_a_level(tmp_path: Path) -> None:
    graph = tmp_path / "a.ci"
    graph.write_text(GRAPH)
    calls = Calls([graph])
    assert calls.deepest("pt_op", 5, "op") == 32 + 5 * 100 + 16
    assert calls.deepest("pt_op", 3, "op") == 32 + 3 * 100 + 16


@pytest.mark.parametrize(("way", "recursive"), [("old", []), ("new", ["pt_walk"])])
def test_one_function_of_the_new_way_calls_itself(
    tmp_path: Path, way: str, recursive: list[str]
) -> None:
    compile_way(Tree(PAGETABLES, 5), way, GCC, tmp_path)
    assert Calls(tmp_path.glob("*.ci")).recursive() == recursive


@pytest.mark.parametrize(("levels", "folded"), [(3, {"p4d", "pud"}), (4, {"p4d"}), (5, set())])
def test_what_is_folded_is_found_in_the_old_way(levels: int, folded: set[str]) -> None:
    pytest.importorskip("lizard", reason=WITHOUT)
    found = places(Tree(PAGETABLES, levels), "old")
    once = {place.text.split("_")[1] for place in found if "runs once" in place.kind}
    assert once == folded
    assert {place.kind for place in found} <= set(KINDS)
    stand_ins = {place.file for place in found if place.kind.startswith("stand-ins")}
    assert stand_ins == {f"old/pgtable_no{level}.h" for level in folded}


def test_no_level_is_special_in_the_new_way() -> None:
    pytest.importorskip("lizard", reason=WITHOUT)
    found = [place for n in (3, 4, 5) for place in places(Tree(PAGETABLES, n), "new")]
    assert {place.text.split("(")[0].split()[-1] for place in found} == {"pt_root"}


def test_the_loop_for_the_last_level_does_what_the_old_way_does(tmp_path: Path) -> None:
    made = [
        make(tmp_path / "old", 5, f"{tmp_path}/old/5/{OLD}") / OLD,
        make(tmp_path / "new", 5, f"{tmp_path}/new/5/{NEW}", source=patched(tmp_path)) / NEW,
    ]
    trial(made, operations(21, 5, 120), walk_every=10)
