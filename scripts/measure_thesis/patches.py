"""What a sixth level costs each way: its patch, and the functions that it brings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scripts.measure_thesis.sources import PAGETABLES, Tree, functions

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


def changed_lines(patch: Sequence[str], sign: str) -> int:
    """Count the lines that a patch brings (+) or takes (-)."""
    return sum(line.startswith(sign) and not line.startswith(sign * 3) for line in patch)


def measured(way: str, five: Tree, six: Tree) -> dict[str, Any]:
    """Return the size of a way's patch, and the functions that are new, as JSON has it."""
    lines = (PAGETABLES / "six" / f"{way}.patch").read_text().splitlines()
    return {
        "files": sum(line.startswith("+++ ") for line in lines),
        "added": changed_lines(lines, "+"),
        "removed": changed_lines(lines, "-"),
        "functions": sorted(set(_names(six, way)) - set(_names(five, way))),
    }


def _names(tree: Tree, way: str) -> Iterator[str]:
    # The header of a level is read or not: all of the folder are the way's.
    folder = tree.folder / way
    for function in functions([*folder.glob("*.c"), *folder.glob("*.h")]):
        yield function.name
