"""The page: its prose is written by hand, its tables between markers by this."""

from __future__ import annotations

import re
from typing import Any

from ptlive.errors import PtliveError
from scripts.measure_thesis import tables
from scripts.measure_thesis.claims import claims
from scripts.measure_thesis.sources import PAGETABLES

PAGE = PAGETABLES / "THESIS.md"
PLOT = PAGETABLES / "thesis.svg"
FIGURES = PAGETABLES / "thesis.json"
_BLOCK = re.compile(r"(<!-- thesis: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def check(page: str) -> None:
    """See that all blocks of the page can be made, before any is. Raises PtliveError."""
    for _, name, _ in _BLOCK.findall(page):
        if name not in BLOCKS:
            raise PtliveError(f"the page asks for '{name}'; there are {', '.join(BLOCKS)}")


def filled(page: str, figures: dict[str, Any]) -> str:
    """Return the page with all its blocks made from the figures. Raises PtliveError."""

    def block(found: re.Match[str]) -> str:
        return f"{found[1]}\n{BLOCKS[found[2]](figures)}\n\n{found[3]}"

    check(page)
    return _BLOCK.sub(block, page)


BLOCKS = {
    "claims": claims,
    "source": tables.source,
    "complexity": tables.complexity,
    "functions": tables.all_functions,
    "objects": tables.objects,
    "instructions": tables.instructions,
    "levels": tables.levels,
    "experiments": tables.experiments,
    "stack": tables.stack,
    "compilers": tables.compilers,
    "special": tables.special_counts,
    "list": tables.special_list,
    "six": tables.six,
    "ptlive": tables.ptlive,
    "made_with": tables.made_with,
}
