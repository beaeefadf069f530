"""Experiments: the new way, written so that the compiler sees more of it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scripts.measure_thesis import objects
from scripts.measure_thesis.build import GCC, link_counter
from scripts.measure_thesis.counts import count
from scripts.measure_thesis.patches import changed_lines
from scripts.measure_thesis.sources import PAGETABLES, Tree, run

if TYPE_CHECKING:
    from collections.abc import Iterator

LEVELS = 5
_HERE = Path(__file__).parent
_LOOP = _HERE / "leaf_loop.patch"
# Patches, one upon the other.
EXPERIMENTS = {
    "a loop for the last level": (_LOOP,),
    "... and a copy for each level and operation": (_LOOP, _HERE / "unwound.patch"),
}


def patched(name: str, folder: Path) -> Path:
    """Make a copy of the sources there, as an experiment has them."""
    here = folder / "pagetables"
    shutil.copytree(PAGETABLES, here, ignore=shutil.ignore_patterns("build"))
    for patch in EXPERIMENTS[name]:
        run(["patch", "-s", "-p1", "-i", str(patch)], here)
    return here


def measured(scratch: Path) -> Iterator[dict[str, Any]]:
    """Yield what each experiment comes to, as JSON has it."""
    for number, (name, patches) in enumerate(EXPERIMENTS.items()):
        folder = scratch / f"experiment-{number}"
        tree = Tree(patched(name, folder), LEVELS)
        lines = [line for patch in patches for line in patch.read_text().splitlines()]
        code = objects.measured(tree, "new", GCC, folder / "objects").values()
        yield {
            "name": name,
            "added": changed_lines(lines, "+"),
            "removed": changed_lines(lines, "-"),
            "bytes": sum(part["bytes"] for part in code),
            "rows": [list(row) for row in count(link_counter(tree, "new", GCC, folder / "out"))],
        }
