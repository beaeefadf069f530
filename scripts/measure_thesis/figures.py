"""All figures in one object: what `--json` writes, and what the page is made from."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ptlive.errors import PtliveError
from scripts.benchmark import machine
from scripts.measure_thesis import (
    compilers,
    experiments,
    objects,
    patches,
    proofs,
    ptlive_side,
    repetition,
    sources,
    special,
)
from scripts.measure_thesis.build import GCC, Compiler, link_counter
from scripts.measure_thesis.counts import Count, count
from scripts.measure_thesis.sources import COMPAT, LEVELS, OPERATIONS, WAYS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from scripts.measure_thesis.sources import Tree

_SMALL = Compiler("gcc", ("-Os",))
_NAMES = {
    "old": {
        "unmap": "unmap_page_range",
        "copy": "copy_page_range",
        "remap": "remap_pfn_range",
        "protect": "change_protection",
        "walk": "walk_page_range",
    },
    "new": {
        "unmap": "pt_unmap",
        "copy": "pt_copy",
        "remap": "pt_remap",
        "protect": "pt_protect",
        "walk": "pt_look",
    },
}


def measure(say: Callable[[str], None]) -> dict[str, Any]:
    """Measure everything; `say` is told what is being done."""
    with tempfile.TemporaryDirectory(prefix="ptlive-thesis-") as name:
        scratch = Path(name)
        trees = {tree.levels: tree for tree in sources.trees(scratch)}
        on = machine.describe()
        figures: dict[str, Any] = {
            "sources": sources.digest(),
            "made_with": {name: on[name] for name in ("gcc", "QEMU")},
        }
        say("sources")
        figures["source"] = _each(lambda way, tree: sources.measured(tree, way), trees)
        figures["repeated"] = {way: repetition.repeated(trees[5], way) for way in WAYS}
        figures["special"] = _each(_special, trees, (*WAYS, COMPAT))
        figures["six"] = {way: patches.measured(way, trees[5], trees[6]) for way in WAYS}
        compat = sorted((sources.PAGETABLES / COMPAT).glob("*.c"))
        figures["compat_lines"] = sum(map(sources.code_lines, compat))
        figures["ptlive"] = ptlive_side.measured()
        for key, compiler in (("objects", GCC), ("small", _SMALL)):
            say(f"objects, {compiler}")
            out = scratch / key
            figures[key] = _each(_objects(compiler, out), trees)
        say("one object for all levels")
        figures["same_object"] = _same(scratch / "objects")
        _check_recursion(scratch / "objects")
        for way in (*WAYS, COMPAT):
            for levels, tree in trees.items():
                say(f"counting: {way}, {levels} levels")
                counted = _counted(tree, way, scratch / f"count-{way}-{levels}")
                figures.setdefault("counts", {}).setdefault(way, {})[str(levels)] = counted
        say("experiments")
        figures["experiments"] = list(experiments.measured(scratch))
        say("compilers")
        figures["compilers"] = compilers.compared(trees[5], scratch)
        figures["proofs"] = list(_proofs(say))
    return figures


def _each(
    function: Callable[[str, Tree], Any],
    trees: dict[int, Tree],
    ways: tuple[str, ...] = WAYS,
) -> dict[str, Any]:
    return {
        way: {str(levels): function(way, tree) for levels, tree in trees.items()} for way in ways
    }


def _special(way: str, tree: Tree) -> list[list[Any]]:
    return [list(place) for place in special.places(tree, way)]


def _objects(compiler: Compiler, out: Path) -> Callable[[str, Tree], dict[str, Any]]:
    def of(way: str, tree: Tree) -> dict[str, Any]:
        return objects.measured(tree, way, compiler, out / f"{way}-{tree.levels}")

    return of


def _same(scratch: Path) -> dict[str, bool]:
    """Tell of each way whether its code is the same for three, four and five levels."""
    same = {}
    for way in WAYS:
        texts = {
            tuple(file.read_bytes() for file in sorted((scratch / f"{way}-{levels}").glob("*.o")))
            for levels in LEVELS[:-1]
        }
        same[way] = len(texts) == 1
    return same


def _check_recursion(scratch: Path) -> None:
    """Raise PtliveError unless functions call themselves as the page says (claims.py)."""
    for way, said in (("old", []), ("new", [objects.RECURSIVE])):
        found = objects.Calls(scratch.glob(f"{way}-*/*.ci")).recursive()
        if found != said:
            raise PtliveError(f"{way}: {found} call themselves, and not {said}")


def _counted(tree: Tree, way: str, out: Path) -> dict[str, Any]:
    """Count instructions and stack; hold what was painted against what the compiler says."""
    rows = count(link_counter(tree, way, GCC, out))
    painted = {op: max(row.stack for row in rows if row.operation == op) for op in OPERATIONS}
    calls = objects.Calls(out.glob("*.ci"))
    names = _NAMES["new" if way == "new" else "old"]
    bound = {op: calls.deepest(names[op], tree.levels, op) for op in OPERATIONS}
    for op in OPERATIONS:
        if painted[op] > bound[op]:
            raise PtliveError(f"{way} {op}: {painted[op]} bytes of stack, more than {bound[op]}")
    return {"rows": [list(row) for row in rows], "stack": painted, "bound": bound}


def _proofs(say: Callable[[str], None]) -> Iterator[dict[str, Any]]:
    for proof in proofs.PROOFS:
        say(f"pytest {proof}")
        yield proofs.proven(proof)


def rows(figures: dict[str, Any], way: str, levels: int) -> list[Count]:
    """Return what was counted of a way."""
    return [Count(*row) for row in figures["counts"][way][str(levels)]["rows"]]
