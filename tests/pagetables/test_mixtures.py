"""Operation by operation the callers of the old names may come to run on the new way."""

from __future__ import annotations

import tempfile
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.pagetables import machine as m
from tests.pagetables.machine import Process, make
from tests.pagetables.operations import operations

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.pagetables.machine import Command

LETTERS = "ucrpw"  # unmap, copy, remap, protect, walk, as the Makefile names mixtures
MIXTURES = ["".join(kept) for kept in product(*(("", letter) for letter in LETTERS))]


def behaviour(program: Path, commands: Sequence[Command]) -> tuple[int, list[object]]:
    """Return which operations are on the new way, and all that can be seen of a run."""
    with tempfile.TemporaryDirectory() as folder:
        process = Process(program, Path(folder))
        seen: list[object] = []
        for at in range(0, len(commands), 10):
            seen += process.machine.run(commands[at : at + 10])
            seen.append(process.machine.area().tobytes())
        process.close()
        return process.machine.mixture, seen


def all_alike(folder: Path, levels: int, count: int, seed: int) -> None:
    out = make(folder, levels, "-j2", "mixtures")
    executed = (m.LOAD, m.STORE)
    commands = [c for c in operations(seed, levels, count) if c.op not in executed]
    _, expected = behaviour(out / "host-old", commands)
    assert len(MIXTURES) == 32
    for letters in MIXTURES:
        mixture, seen = behaviour(out / f"host-{letters or 'old'}", commands)
        assert mixture == sum(1 << LETTERS.index(letter) for letter in letters)
        assert seen == expected, f"'{letters}' on the new way does something else"


def test_all_mixtures_do_the_same(tmp_path: Path) -> None:
    all_alike(tmp_path, 5, 300, seed=11)


@pytest.mark.long
def test_an_operation_is_taken_over_by_a_setting(tmp_path: Path) -> None:
    out = make(tmp_path, 4, "host", "CONFIG_PT_PTR_UNMAP=y", "CONFIG_PT_PTR_WALK=y")
    assert [path.name for path in out.glob("host-*")] == ["host-uw"]


@pytest.mark.long
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("levels", [3, 4, 5])
def test_all_mixtures_do_the_same_for_long(tmp_path: Path, levels: int) -> None:
    all_alike(tmp_path, levels, 3000, seed=12)
