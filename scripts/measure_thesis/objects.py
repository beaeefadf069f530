"""What the compiler made of it: bytes, conditional branches, and how deep calls may go."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from scripts.measure_thesis.build import Compiler, compile_way
from scripts.measure_thesis.sources import Tree, run

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

_FRAME = re.compile(r'title: "([^"]+)" label: "[^"]*\\n(\d+) bytes \([a-z,]+\)"')
_EDGE = re.compile(r'edge: \{ sourcename: "([^"]+)" targetname: "([^"]+)"')
_INDIRECT = "__indirect_call"
# What a walk's caller looks with (guest/by_old_names.h, by_new_names.h).
_LOOKS = ("count_pte", "count_pmd", "count_pud", "count_leaf")
# Does not return; what a machine says then is no way's.
_END = "bug"
#: The one function that calls itself, and it is the new way's (figures.py checks both).
RECURSIVE = "pt_walk"


def code_bytes(objects: Sequence[Path]) -> int:
    """Return how long code and constants are."""
    lines = run(["size", *map(str, objects)]).splitlines()[1:]
    return sum(int(line.split()[0]) for line in lines)


def branches(objects: Sequence[Path]) -> int:
    """Count the conditional jumps."""
    text = run(["objdump", "-d", "--no-show-raw-insn", *map(str, objects)])
    return len(re.findall(r"\tj(?!mp)[a-z]+ ", text))


def kept_functions(objects: Sequence[Path]) -> int:
    """Count the functions that were not inlined everywhere."""
    text = run(["nm", "--defined-only", *map(str, objects)])
    return len(re.findall(r" [tT] ", text))


def measured(tree: Tree, way: str, compiler: Compiler, out: Path) -> dict[str, Any]:
    """Return what the objects of a way are, by operation, as JSON has it."""
    return {
        name: {
            "bytes": code_bytes(objects),
            "branches": branches(objects),
            "functions": kept_functions(objects),
        }
        for name, objects in compile_way(tree, way, compiler, out).items()
        if objects
    }


class Calls:
    """Who calls whom, and the stack that each function takes, as gcc says (`.ci` files)."""

    def __init__(self, graphs: Iterable[Path]) -> None:
        self.frame: dict[str, int] = {}
        self._calls: dict[str, set[str]] = {}
        for graph in graphs:
            text = graph.read_text()
            self.frame |= {name: int(size) for name, size in _FRAME.findall(text)}
            for caller, called in _EDGE.findall(text):
                self._calls.setdefault(caller, set()).add(called)

    def recursive(self) -> list[str]:
        """Return the functions that call themselves."""
        return sorted(name.rpartition(":")[2] for name, to in self._calls.items() if name in to)

    def deepest(self, name: str, levels: int, operation: str) -> int:
        """Return the most stack that a call takes, where recursion goes so many levels deep.

        operation: whose steps are called by pointer; those of the walk are its caller's
        """
        looks = tuple(f"/count.c:{look}" for look in _LOOKS) if operation == "walk" else ()
        own = f"/{operation}.c:"
        steps = {step for step in self.frame if own in step or step.endswith(looks)} - {name}
        return self._deepest(name, {RECURSIVE: levels, **dict.fromkeys(steps, 1)}, steps)

    def _deepest(self, name: str, left: dict[str, int], steps: set[str]) -> int:
        if name in left:
            if not left[name]:
                return 0
            left = {**left, name: left[name] - 1}
        called = self._calls.get(name, set()) if name != _END else set()
        if _INDIRECT in called:
            called = called - {_INDIRECT} | steps
        below = [self._deepest(one, left, steps) for one in called]
        return self.frame.get(name, 0) + max(below, default=0)
