"""The sources of the two ways: which files are whose, their lines, functions, complexity."""

from __future__ import annotations

import hashlib
import re
import subprocess
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ptlive.errors import PtliveError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

ROOT = Path(__file__).parents[2]
PAGETABLES = ROOT / "guest" / "pagetables"
OPERATIONS = ("unmap", "copy", "remap", "protect", "walk")
WAYS = ("old", "new")
COMPAT = "compat"  # the old names on the new way
LEVELS = (3, 4, 5, 6)
SHARED = "shared"  # what is no operation's alone


@dataclass(frozen=True)
class Tree:
    """Sources of both ways, as they are or with the sixth level."""

    folder: Path
    levels: int

    def units(self, way: str) -> dict[str, list[Path]]:
        """Return the files that are compiled, by operation; the others are shared."""
        files = sorted((self.folder / way).glob("*.c"))
        units = {op: [self.folder / way / f"{op}.c"] for op in OPERATIONS}
        units[SHARED] = [file for file in files if file.stem not in OPERATIONS]
        return units

    def read(self, way: str) -> dict[str, list[Path]]:
        """Return the files that the compiler reads, by operation; headers are shared."""
        units = self.units(way)
        every = [str(file) for files in units.values() for file in files]
        said = run(["gcc", f"-DLEVELS={self.levels}", "-MM", *every], self.folder)
        words = {Path(word).resolve() for word in said.replace("\\\n", " ").split()}
        mine = {w for w in words if w.suffix == ".h" and w.parent == (self.folder / way).resolve()}
        return {**units, SHARED: [*units[SHARED], *sorted(mine)]}


class Function(NamedTuple):
    """A function as it is written. complexity: McCabe's, with && and || and #if."""

    name: str
    file: str
    line: int
    complexity: int


def run(command: list[str], folder: Path | None = None) -> str:
    """Return what a program prints. Raises PtliveError if it fails."""
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    except OSError as error:
        raise PtliveError(f"{command[0]} cannot be run: {error.strerror}") from error
    if done.returncode:
        raise PtliveError(f"{command[0]} failed: {(done.stderr or done.stdout).strip()}")
    return done.stdout


def trees(scratch: Path) -> list[Tree]:
    """Return the sources for each number of levels; those of six are made by the patches."""
    run(["make", "-s", "-C", str(PAGETABLES), f"BUILD={scratch}", "six"])
    folders = {6: scratch / "six"}
    return [Tree(folders.get(levels, PAGETABLES), levels) for levels in LEVELS]


def code_lines(file: Path) -> int:
    """Count the lines of C that have more on them than comments."""
    return sum(bool(line.strip()) for line in without_comments(file).splitlines())


def without_comments(file: Path) -> str:
    """Return the text of C, its lines where they were."""
    text = file.read_text()
    return re.sub(r"/\*.*?\*/", lambda found: "\n" * found[0].count("\n"), text, flags=re.DOTALL)


def functions(files: Iterable[Path]) -> Iterator[Function]:
    """Yield the functions of files; macros are not counted. Raises PtliveError without lizard."""
    try:
        lizard = import_module("lizard")
    except ImportError:
        raise PtliveError("lizard is missing: pip install 'ptlive[bench]'") from None
    for file in files:
        for found in lizard.analyze_file(str(file)).function_list:
            name = found.name.rpartition("::")[2]
            yield Function(name, file.name, found.start_line, found.cyclomatic_complexity)


def measured(tree: Tree, way: str) -> dict[str, Any]:
    """Return lines and functions by operation, as JSON has it."""
    return {
        name: {
            "lines": sum(code_lines(file) for file in files),
            "functions": [list(function) for function in functions(files)],
        }
        for name, files in tree.read(way).items()
    }


def digest() -> str:
    """Return what all sources are known by that are measured, or measure."""
    known = hashlib.sha256()
    for folder in (PAGETABLES, Path(__file__).parent):
        for file in sorted(folder.rglob("*")):
            part = file.relative_to(folder)
            if file.suffix in (".c", ".h", ".S", ".patch") and part.parts[0] != "build":
                known.update(f"{part}\n".encode() + file.read_bytes())
    return known.hexdigest()
