"""An experiment: the new way with a loop of its own for the last level (leaf_loop.patch)."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scripts.measure_thesis.build import GCC, link_counter
from scripts.measure_thesis.counts import count
from scripts.measure_thesis.sources import PAGETABLES, Tree, run

if TYPE_CHECKING:
    from collections.abc import Sequence

PATCH = Path(__file__).parent / "leaf_loop.patch"
LEVELS = 5


def patched(folder: Path) -> Path:
    """Make a copy of the sources there, with the loop in it."""
    here = folder / "pagetables"
    shutil.copytree(PAGETABLES, here, ignore=shutil.ignore_patterns("build"))
    run(["patch", "-s", "-p1", "-i", str(PATCH)], here)
    return here


def changed_lines(patch: Sequence[str], sign: str) -> int:
    """Count the lines that a patch brings (+) or takes (-)."""
    return sum(line.startswith(sign) and not line.startswith(sign * 3) for line in patch)


def measured(scratch: Path) -> dict[str, Any]:
    """Return the size of the patch, and what was counted with it, as JSON has it."""
    tree = Tree(patched(scratch / "leaf-loop"), LEVELS)
    lines = PATCH.read_text().splitlines()
    rows = count(link_counter(tree, "new", GCC, scratch / "leaf-loop" / "out"))
    return {
        "added": changed_lines(lines, "+"),
        "removed": changed_lines(lines, "-"),
        "rows": [list(row) for row in rows],
    }
