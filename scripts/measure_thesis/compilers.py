"""What compilers make of the cascades and of the recursion, at five levels."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

from scripts.measure_thesis.build import GCC, Compiler, link_counter
from scripts.measure_thesis.counts import count
from scripts.measure_thesis.objects import measured
from scripts.measure_thesis.sources import WAYS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from scripts.measure_thesis.sources import Tree

_CLANGS = ("clang", "clang-19", "clang-16", "clang-14")
# On what instructions and stack are compared: 4096 pages of 4K, side by side.
LEAVES = 4096


def compilers() -> Iterator[Compiler]:
    """Yield the compilers to compare: gcc in five ways, and clang where there is one."""
    yield GCC
    yield Compiler("gcc", ("-O3",))
    yield Compiler("gcc", ("-Os",))
    yield Compiler("gcc", ("-O2", "-flto"))
    # Calls by pointer as a kernel has them that mistrusts the CPU's guesses.
    yield Compiler("gcc", ("-O2", "-mindirect-branch=thunk"))
    clang = next(filter(shutil.which, _CLANGS), None)
    if clang:
        yield Compiler(clang, ("-O2",))


def compared(tree: Tree, scratch: Path) -> list[dict[str, Any]]:
    """Return what each compiler makes of each way, as JSON has it."""
    rows = []
    for number, compiler in enumerate(compilers()):
        for way in WAYS:
            out = scratch / f"compiler-{number}-{way}"
            counts = count(link_counter(tree, way, compiler, out))
            taken = [c for c in counts if c.shape == "length" and c.leaves == LEAVES]
            # Of link-time optimisation an object is no code yet.
            whole = "-flto" not in compiler.options
            objects = measured(tree, way, compiler, out).values() if whole else ()
            rows.append(
                {
                    "compiler": str(compiler),
                    "way": way,
                    "bytes": sum(part["bytes"] for part in objects) or None,
                    "functions": sum(part["functions"] for part in objects) or None,
                    "instructions": {c.operation: c.instructions for c in taken},
                    "stack": {c.operation: c.stack for c in taken},
                }
            )
    return rows
