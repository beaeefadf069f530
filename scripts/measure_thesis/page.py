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


def filled(page: str, figures: dict[str, Any]) -> str:
    """Return the page with all its blocks made from the figures. Raises PtliveError."""

    def block(found: re.Match[str]) -> str:
        make = BLOCKS.get(found[2])
        if make is None:
            raise PtliveError(f"the page asks for '{found[2]}'; there are {', '.join(BLOCKS)}")
        return f"{found[1]}\n{make(figures)}\n\n{found[3]}"

    return _BLOCK.sub(block, page)


BLOCKS = {
    "claims": claims,
    "source": tables.source,
    "complexity": tables.complexity,
    "functions": tables.all_functions,
    "objects": tables.objects,
    "instructions": tables.instructions,
    "levels": tables.levels,
    "leaf_loop": tables.leaf_loop,
    "stack": tables.stack,
    "compilers": tables.compilers,
    "special": tables.special_counts,
    "list": tables.special_list,
    "six": tables.six,
    "ptlive": tables.ptlive,
    "made_with": tables.made_with,
}
