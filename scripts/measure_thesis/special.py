"""What treats the top table or a folded level specially, counted and listed.

The old way has it by names: what stands in for a level that is not there is defined in a header
of its own (`pgtable_no*.h`), and what asks for it is found by those names. What the top table alone
has are its own helpers. Whoever reads the list can judge each line.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from scripts.measure_thesis.sources import Tree, functions

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# What is looked for, in the order of the table.
CONDITIONS = "#if on the number of levels"
STAND_INS = "stand-ins for a level that is not there"
ASKED = "branches that ask a stand-in"
ONCE = "functions whose loop runs once"
REAL = "branches that look for the level meant"
TOP = "helpers that only the top table has"
KINDS = (CONDITIONS, STAND_INS, ASKED, ONCE, REAL, TOP)

_LEVELS = re.compile(r"^\s*#\s*(?:if|ifdef|ifndef|elif)\b.*\b(?:LEVELS|P\wD_FOLDED)\b")
_DEFINED = re.compile(r"^#define (\w+)\b|^static inline .*?\b\*?(\w+)\(")
_BRANCH = re.compile(r"\b(?:if|while|for)\b|\?|&&|\|\|")
_REAL = re.compile(r"== 1\b.*|lvl == top")
_TOP = re.compile(
    r"^static inline .*\b(pgd_offset|pt_root)\(|^#define (PGDIR_SHIFT|PTRS_PER_PGD)\b"
)


class Place(NamedTuple):
    """A line that is special."""

    kind: str
    file: str
    line: int
    text: str


def places(tree: Tree, way: str) -> list[Place]:
    """Return what is special in a way, with so many levels, in the order of KINDS."""
    files = [file for several in tree.read(way).values() for file in several]
    absent = [file for file in files if file.name.startswith("pgtable_no")]
    names = {name for file in absent for name in _names(file)}
    levels = {file.stem.removeprefix("pgtable_no") for file in absent}
    found = [place for file in files for place in _lines(tree, file, names, file in absent)]
    found += [place for file in files for place in _run_once(tree, file, levels)]
    return sorted(found, key=lambda place: (KINDS.index(place.kind), place.file, place.line))


def _names(header: Path) -> Iterator[str]:
    """Yield what a header of a folded level defines, and the helpers that ask that."""
    for line in header.read_text().splitlines():
        found = _DEFINED.match(line)
        name = found and (found[1] or found[2])
        # How an entry is written down (p4d_val, __pud) asks nothing.
        if not name or name.startswith(("OLD_", "__")) or name.endswith("_val"):
            continue
        yield name
        if name.endswith("_none"):
            yield f"{name}_or_clear_bad"


def _lines(tree: Tree, file: Path, names: set[str], absent: bool) -> Iterator[Place]:
    asks = re.compile(rf"\b(?:{'|'.join(sorted(names))})\(") if names else None
    where = str(file.resolve().relative_to(tree.folder.resolve()))
    for number, line in enumerate(file.read_text().splitlines(), 1):
        text = line.strip()
        if _LEVELS.match(line):
            yield Place(CONDITIONS, where, number, text)
        elif absent and (found := _DEFINED.match(line)) and not (found[1] or "").startswith("OLD_"):
            yield Place(STAND_INS, where, number, text)
        elif _BRANCH.search(line) and _REAL.search(line):
            yield Place(REAL, where, number, text)
        elif _TOP.match(line):
            yield Place(TOP, where, number, text)
        elif not absent and asks and _BRANCH.search(line) and asks.search(line):
            yield Place(ASKED, where, number, text)


def _run_once(tree: Tree, file: Path, levels: set[str]) -> Iterator[Place]:
    where = str(file.resolve().relative_to(tree.folder.resolve()))
    for function in functions([file]):
        if any(function.name.endswith(f"_{level}_range") for level in levels):
            yield Place(ONCE, where, function.line, function.name)
