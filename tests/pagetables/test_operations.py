"""The old way and the new do the same, and it is what the operations mean."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.pagetables.operations import operations
from tests.pagetables.trial import trial

if TYPE_CHECKING:
    from tests.pagetables.conftest import Programs


@pytest.mark.parametrize("levels", [3, 4, 5])
@pytest.mark.parametrize("seed", [1])
def test_random_operations(programs: Programs, levels: int, seed: int) -> None:
    trial(programs(levels), operations(seed, levels, 150), walk_every=5)


def test_with_sanitizers(programs: Programs) -> None:
    trial(programs(5, sanitize=True), operations(7, 5, 40), walk_every=20)


@pytest.mark.long
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("levels", [3, 4, 5])
@pytest.mark.parametrize("seed", range(100, 110))
def test_thousands_of_random_operations(programs: Programs, levels: int, seed: int) -> None:
    trial(programs(levels), operations(seed, levels, 1000))


@pytest.mark.long
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("levels", [3, 4, 5])
def test_thousands_with_sanitizers(programs: Programs, levels: int) -> None:
    commands = operations(200, levels, 1500)
    trial(programs(levels, sanitize=True), commands, walk_every=100)
