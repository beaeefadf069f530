"""A sixth level, by the patches in `guest/pagetables/six`: no MMU has one, software walks it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.pagetables.machine import SOURCE, WALK, make
from tests.pagetables.operations import operations
from tests.pagetables.trial import NEW, OLD, trial

if TYPE_CHECKING:
    from pathlib import Path

    from tests.pagetables.conftest import Programs


@pytest.fixture(scope="module")
def patched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sources with both patches."""
    folder = tmp_path_factory.mktemp("six")
    make(folder, 6, "six")
    return folder / "six"


def built(patched: Path, levels: int, *names: str) -> list[Path]:
    """Build programs of the patched sources."""
    folder = patched / "build"
    make(folder, levels, *(f"{folder}/{levels}/{name}" for name in names), source=patched)
    return [folder / str(levels) / name for name in names]


def test_random_operations(patched: Path) -> None:
    trial(built(patched, 6, OLD, NEW), operations(3, 6, 150), walk_every=5)


@pytest.mark.parametrize("levels", [3, pytest.param(5, marks=pytest.mark.long)])
def test_the_patched_ways_are_what_they_were(
    patched: Path, programs: Programs, levels: int
) -> None:
    both = [*built(patched, levels, OLD, NEW), *programs(levels)]
    # Of holes a walk tells the depth, in which a level more counts, folded or not.
    commands = [c for c in operations(4, levels, 60) if c.op != WALK]
    trial(both, commands, walk_every=20)


def test_the_new_way_needs_one_more_row() -> None:
    lines = (SOURCE / "six" / "new.patch").read_text().splitlines()
    changed = [line for line in lines if line[:1] in "+-" and line[:3] not in ("+++", "---")]
    assert changed == ["+\t{ .shift = 57, .bits = 7 },"]


@pytest.mark.long
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("seed", range(300, 310))
def test_thousands_of_random_operations(patched: Path, seed: int) -> None:
    trial(built(patched, 6, OLD, NEW), operations(seed, 6, 1000))
