"""How alike levels are: what a function says of its level that another says of another."""

from __future__ import annotations

import re
from difflib import SequenceMatcher
from itertools import pairwise
from typing import TYPE_CHECKING

from scripts.measure_thesis.sources import Tree, functions, without_comments

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_LEVEL = re.compile(r"(?i)(?<![a-z0-9])(?:pgdir|pgd|p[45]d|pud|pmd|pte)(?![a-z0-9])")


def repeated(tree: Tree, way: str) -> int:
    """Count the lines of functions that another level's has too, but for the levels' names.

    Held against each other are functions whose own names differ in the level only.
    """
    alike: dict[str, list[list[str]]] = {}
    for file in (file for files in tree.read(way).values() for file in files):
        for name, body in _bodies(file):
            if _LEVEL.search(name):
                alike.setdefault(_LEVEL.sub("level", name), []).append(body)
    return sum(_common(a, b) for bodies in alike.values() for a, b in pairwise(bodies))


def _bodies(file: Path) -> Iterator[tuple[str, list[str]]]:
    """Yield functions, and their lines without comments, blanks and levels."""
    text = without_comments(file).splitlines()
    for function in functions([file]):
        end = text.index("}", function.line)
        lines = (" ".join(line.split()) for line in text[function.line - 1 : end + 1])
        yield function.name, [_LEVEL.sub("level", line) for line in lines if line]


def _common(a: list[str], b: list[str]) -> int:
    blocks = SequenceMatcher(None, a, b, autojunk=False).get_matching_blocks()
    return sum(block.size for block in blocks)
