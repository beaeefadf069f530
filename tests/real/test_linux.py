"""A real Linux, judged by itself: a cross-section; the matrix is in test_matrix.py."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.real import checks
from tests.real.world import booted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.real.world import World

pytestmark = pytest.mark.qemu


@pytest.fixture(scope="module", params=[False, True], ids=["5 levels", "4 levels, isolated"])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    isolated = bool(request.param)
    with booted(levels=4 if isolated else 5, isolated=isolated) as made:
        yield made


def test_the_witnesses_are_whole(world: World) -> None:
    checks.check_witnesses(world)


def test_every_page_of_every_process_is_where_its_pagemap_says(world: World) -> None:
    checks.check_processes(world)


def test_every_process_is_found_and_nothing_else(world: World) -> None:
    checks.check_roots(world)


def test_the_kernels_areas_are_where_its_symbols_say(world: World) -> None:
    checks.check_areas(world)


def test_qemus_info_tlb_shows_the_same_leaves(world: World) -> None:
    checks.check_tlb(world)
