"""Compiling and linking, by the Makefile's own options."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from ptlive.errors import PtliveError
from scripts.measure_thesis.sources import COMPAT, PAGETABLES, ROOT, Tree, run

if TYPE_CHECKING:
    from collections.abc import Sequence

_OURS = Path(__file__).parent / "guest"
_MENU = ROOT / "guest" / "menu"
# Boot, traps and console of the guest that counts are the menu's.
_BOOT = ("boot.S", "traps.S", "probe.S", "traps.c", "segments.c", "console.c", "string.c")
_COMMON = ("mm/tables.c", "mm/mmu_gather.c")


@dataclass(frozen=True)
class Compiler:
    """A compiler, and options that come after the Makefile's."""

    program: str = "gcc"
    options: Sequence[str] = ("-O2",)

    def __str__(self) -> str:
        return " ".join([self.program, *self.options])


GCC = Compiler()


@cache
def flags(levels: int, which: str) -> list[str]:
    """Return what a variable of the Makefile holds."""
    makefile = str(PAGETABLES)
    database = run(["make", "-pn", "-C", makefile, f"LEVELS={levels}", "clean"])
    found = re.search(rf"^{which} := (.*)$", database, re.MULTILINE)
    if not found:
        raise PtliveError(f"the Makefile of {makefile} has no {which}")
    return found[1].split()


def compile_way(tree: Tree, way: str, compiler: Compiler, out: Path) -> dict[str, list[Path]]:
    """Compile a way for bare metal; return its objects by operation. `.ci` lies beside each."""
    return {
        name: [compile_one(tree, file, compiler, out) for file in files]
        for name, files in tree.units(way).items()
    }


def compile_one(tree: Tree, source: Path, compiler: Compiler, out: Path, *more: str | Path) -> Path:
    """Compile a file; return the object."""
    out.mkdir(parents=True, exist_ok=True)
    target = out / f"{source.parent.name}-{source.name}.o"
    graph = ["-fcallgraph-info=su"] if compiler.program == "gcc" and source.suffix == ".c" else []
    options = [*flags(tree.levels, "CFLAGS"), *flags(tree.levels, "bare_flags"), *compiler.options]
    place = ["-I", str(tree.folder), "-I", str(_MENU)]
    # What BUG_ON() says holds the file's name: it must not be as long as the path to us.
    place.append(f"-fmacro-prefix-map={tree.folder}/=")
    command = [compiler.program, *options, *graph, *place, *map(str, more)]
    run([*command, "-c", "-o", str(target), str(source)], tree.folder)
    return target


def link_counter(tree: Tree, way: str, compiler: Compiler, out: Path) -> Path:
    """Build the guest that counts what a way's operations cost."""
    units = dict(tree.units(COMPAT if way == COMPAT else way))
    if way == COMPAT:
        units |= {"new": [file for files in tree.units("new").values() for file in files]}
    objects = [compile_one(tree, f, compiler, out) for files in units.values() for f in files]
    # What both ways stand on is compiled alike for all compilers, and so is what counts.
    shared = [*(tree.folder / name for name in _COMMON), *(_MENU / name for name in _BOOT)]
    objects += [compile_one(tree, file, GCC, out) for file in [*shared, _OURS / "call.S"]]
    names = "by_new_names.h" if way == "new" else "by_old_names.h"
    # A shape names only the fields that it has: the others are 0 by intent.
    more = (f'-DBY_NAMES="{names}"', "-Wno-missing-field-initializers")
    objects.append(compile_one(tree, _OURS / "count.c", GCC, out, *more))
    elf = out / "count.elf"
    link = [o for o in flags(tree.levels, "bare_link") if "-T," not in o]
    script = f"-Wl,-T,{_MENU / 'menu.ld'}"
    run([compiler.program, *compiler.options, *link, script, "-o", str(elf), *map(str, objects)])
    return elf
