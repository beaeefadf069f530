"""Programs of `guest/pagetables`, built once for all tests that run them."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Protocol

import pytest

from tests.pagetables.machine import make
from tests.pagetables.trial import NEW, OLD

if TYPE_CHECKING:
    from pathlib import Path


class Programs(Protocol):
    """Builds the two ways, for so many levels."""

    def __call__(self, levels: int, *, sanitize: bool = False) -> list[Path]:
        """Return the programs of the old way and of the new."""
        ...


@pytest.fixture(scope="session")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Programs:
    @cache
    def build(levels: int, *, sanitize: bool = False) -> list[Path]:
        folder = tmp_path_factory.mktemp("pagetables")
        names = [str(folder / str(levels) / name) for name in (OLD, NEW)]
        out = make(folder, levels, *names, *(["SANITIZE=1"] if sanitize else []))
        return [out / OLD, out / NEW]

    return build
