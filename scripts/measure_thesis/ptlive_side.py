"""ptlive's own side of it: one walk, operations as visitors of it, formats as data."""

from __future__ import annotations

import ast
import io
import subprocess
import tokenize
from typing import TYPE_CHECKING, Any

from scripts.measure_thesis.sources import ROOT, functions

if TYPE_CHECKING:
    from pathlib import Path

_PAGING = ROOT / "ptlive" / "paging"
_WALK = _PAGING / "walk.py"
# The walk as it was before any format but that of x86-64 was there.
_BEFORE = "9a83f57"
_BLANK = {
    *(tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT),
    tokenize.ENDMARKER,
}


def measured() -> dict[str, Any]:
    """Return lines and functions of the walk, the operations and the formats, as JSON has it."""
    return {
        "walk": {
            "lines": len(_code_lines(_WALK)),
            "functions": [list(function) for function in functions([_WALK])],
            "changed": _changed(),
        },
        "operations": _classes(_PAGING / "operations.py"),
        "formats": {
            file.stem: {
                "lines": len(_code_lines(file)),
                "functions": len(list(functions([file]))),
            }
            for file in sorted((_PAGING / "formats").glob("[!_]*.py"))
        },
    }


def _code_lines(file: Path) -> set[int]:
    """Return which lines have more on them than comments and documentation."""
    text = file.read_text()
    said: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in _BLANK:
            said |= set(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(text)):
        # Only a docstring is a string that nothing is done with.
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            said -= set(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    return said


def _classes(file: Path) -> dict[str, int]:
    """Return how many lines of code each public visitor takes."""
    said = _code_lines(file)
    tree = ast.parse(file.read_text())
    return {
        node.name.lower(): len(said & set(range(node.lineno, (node.end_lineno or 0) + 1)))
        for node in tree.body
        if isinstance(node, ast.ClassDef)
        and any(isinstance(part, ast.FunctionDef) and part.name == "enter" for part in node.body)
        and not node.name.startswith("_")
    }


def _changed() -> int | None:
    """Return how many lines of the walk are others than before; None where git cannot tell."""
    command = ["git", "-C", str(ROOT), "diff", "--numstat", _BEFORE, "--", str(_WALK)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:
        return None
    if done.returncode:
        return None
    return sum(int(word) for word in done.stdout.split()[:2])
