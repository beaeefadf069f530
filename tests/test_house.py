"""Imports run one way: down, and never between the pillars (CONTRIBUTING.md)."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import ptlive

ROOT = Path(ptlive.__file__).parent
LEFT, RIGHT, BOTH = "left", "right", "both"

# Room: (floor, pillar). Below floor 1 and above floor 4 there are no pillars.
ROOMS = {
    "errors": (0, BOTH),
    "arrays": (0, BOTH),
    "access_kind": (0, BOTH),
    "files": (0, BOTH),
    "paging": (1, LEFT),
    "wire": (1, RIGHT),
    "analysis": (2, LEFT),
    "memory": (2, RIGHT),
    "guests": (2, RIGHT),
    "show": (3, LEFT),
    "target": (3, RIGHT),
    "oracle": (4, RIGHT),
    "space": (5, BOTH),
    "verify": (5, BOTH),
    "answers": (5, BOTH),
    "api": (6, BOTH),
    "demo": (6, BOTH),
    "gdb": (6, BOTH),
    "pytest_plugin": (6, BOTH),
    "cli": (6, BOTH),
}

MODULES = sorted(path for path in ROOT.rglob("*.py") if path != ROOT / "__init__.py")


def room(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def imported_rooms(path: Path) -> set[str]:
    """Return the rooms that a module imports from, for types too."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        parts = (name.split(".") for name in names)
        found |= {part[1] for part in parts if part[0] == "ptlive" and len(part) > 1}
    return found & set(ROOMS)


def test_every_module_has_a_room() -> None:
    assert {room(path) for path in MODULES} == set(ROOMS)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_run_down_and_never_between_the_pillars(path: Path) -> None:
    floor, pillar = ROOMS[room(path)]
    for name in imported_rooms(path):
        below, other = ROOMS[name]
        assert below <= floor, f"{path} (floor {floor}) imports {name} (floor {below})"
        assert BOTH in (pillar, other) or pillar == other, f"{path} reaches over into {name}"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_file_is_longer_than_it_feels_right(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 400
