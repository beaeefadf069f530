"""The article on the two ways: it is what the script would write, of the sources that are there."""

from __future__ import annotations

import json
import re
import shutil
from typing import TYPE_CHECKING, Any

import pytest

from ptlive.errors import PtliveError
from scripts.measure_thesis import counts, page, sources
from scripts.measure_thesis.build import GCC, compile_way
from scripts.measure_thesis.experiments import EXPERIMENTS, patched
from scripts.measure_thesis.objects import Calls, measured
from scripts.measure_thesis.repetition import repeated
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


def test_what_the_prose_says_in_words_is_so(figures: dict[str, Any]) -> None:
    text = " ".join(page.PAGE.read_text().split())
    old, new = (figures["counts"][way]["5"] for way in sources.WAYS)
    loop, copies = ({"rows": one["rows"]} for one in figures["experiments"])

    def each(counted: dict[str, Any]) -> list[float]:
        found = {row[0]: row[5] for row in counted["rows"] if row[1:3] == ["length", 4096]}
        return [found[operation] / 4096 for operation in sources.OPERATIONS]

    def times(above: list[float], below: list[float]) -> list[float]:
        return [a / b for a, b in zip(above, below, strict=True)]

    assert "five to nine times the instructions for each 4K page" in text
    more = times(each(new), each(old))
    assert (round(min(more)), round(max(more))) == (5, 9)
    assert "five to seven times the stack" in text
    stack = times(*([one["stack"][op] for op in sources.OPERATIONS] for one in (new, old)))
    assert (round(min(stack)), round(max(stack))) == (5, 7)
    assert "takes away half to three quarters of what the new way has above the old" in text
    gone = [(n - x) / (n - o) for n, x, o in zip(each(new), each(loop), each(old), strict=True)]
    assert (round(min(gone), 1), round(max(gone) * 4)) == (0.5, 3)
    assert "about twice the old way's (of remap five times)" in text
    left = dict(zip(sources.OPERATIONS, times(each(loop), each(old)), strict=True))
    assert {round(by) for op, by in left.items() if op != "remap"} == {2}
    assert round(left["remap"]) == 5
    assert "the cascades' instructions for unmap and protect, and less than twice theirs" in text
    with_copies = dict(zip(sources.OPERATIONS, times(each(copies), each(old)), strict=True))
    assert max(with_copies["unmap"], with_copies["protect"]) < 1.05
    assert max(with_copies.values()) < 2
    assert "Then it takes twice their code bytes" in text
    code = {
        way: sum(part["bytes"] for part in figures["objects"][way]["5"].values())
        for way in sources.WAYS
    }
    assert round(figures["experiments"][-1]["bytes"] / code["old"], 1) == 2.1
    assert "less than half" in text
    assert code["new"] * 2 < code["old"]
    assert "a ninth of a kernel's 16 KB" in text
    assert round((16 << 10) / max(new["bound"].values())) == 9


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
node: { title: "/x/count.c:count_leaf" label: "count_leaf\n/x/count.c:8:1\n24 bytes (static)" }
node: { title: "/x/count.c:count_words" label: "count_words\n/x/count.c:9:1\n999 bytes (static)" }
node: { title: "bug" label: "bug\na.c:10:1\n8 bytes (static)" }
node: { title: "say" label: "say\na.c:11:1\n500 bytes (static)" }
edge: { sourcename: "pt_op" targetname: "bug" label: "a.c:5:2" }
edge: { sourcename: "bug" targetname: "say" label: "a.c:10:2" }
"""


def test_the_bound_counts_the_recursion_once_a_level(tmp_path: Path) -> None:
    graph = tmp_path / "a.ci"
    graph.write_text(GRAPH)
    calls = Calls([graph])
    assert calls.deepest("pt_op", 5, "op") == 32 + 5 * 100 + 16
    assert calls.deepest("pt_op", 3, "op") == 32 + 3 * 100 + 16
    # A walk's caller looks itself; what else its file has is not called by pointer.
    assert calls.deepest("pt_op", 3, "walk") == 32 + 3 * 100 + 24
    assert calls.deepest("bug", 3, "op") == 8


def test_code_is_as_long_wherever_it_lies(tmp_path: Path) -> None:
    far = tmp_path / ("far" * 20)
    shutil.copytree(PAGETABLES, far, ignore=shutil.ignore_patterns("build"))
    here, there = (
        measured(Tree(folder, 5), "new", GCC, tmp_path / name)
        for folder, name in ((PAGETABLES, "here"), (far, "there"))
    )
    assert here == there


OLD_LINES = """
static int zap_pud_range(pud_t *pud)
{
	/* one */
	pud_clear(pud, PUD_SIZE);
	return 0;
}

static int zap_pmd_range(pmd_t *pmd)
{
	pmd_clear(pmd, PMD_SIZE);
	zap_huge(pmd);
	return 0;
}
"""


def test_what_is_said_of_two_levels_is_counted_once(tmp_path: Path) -> None:
    pytest.importorskip("lizard", reason=WITHOUT)
    for name in ("old/a.c", *(f"old/{operation}.c" for operation in sources.OPERATIONS)):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(OLD_LINES if name == "old/a.c" else "")
    assert repeated(Tree(tmp_path, 5), "old") == 5


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


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_an_experiment_does_what_the_old_way_does(tmp_path: Path, name: str) -> None:
    source = patched(name, tmp_path)
    made = [
        make(tmp_path / "old", 5, f"{tmp_path}/old/5/{OLD}") / OLD,
        make(tmp_path / "new", 5, f"{tmp_path}/new/5/{NEW}", source=source) / NEW,
    ]
    trial(made, operations(21, 5, 120), walk_every=10)
