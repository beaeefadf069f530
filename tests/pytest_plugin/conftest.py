"""Address spaces out of files, and suites of their own that a child runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import ptlive
from ptlive.target import launch, running
from tests.pytest_plugin import tables
from tests.tinyos import tinyos

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from ptlive import AddressSpace

__all__ = ["tinyos"]

# Its import takes as long as all the rest of a small suite.
_QUICK = ("-p", "no:hypothesispytest", "-p", "no:cacheprovider")


@pytest.fixture(autouse=True)
def _only_their_guests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Keep each test's guests apart from others', and see that it leaves none."""
    folder = tmp_path / "run"
    folder.mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(folder))
    yield
    left = running.guests()
    for guest in left:
        launch.stop(guest)
    assert left == []


@pytest.fixture
def space(tmp_path: Path) -> Iterator[AddressSpace]:
    """The address space of `tables`, without a page that is writable and executable."""
    with ptlive.open(tmp_path / "ram", assume=tables.write(tmp_path / "ram")) as guest:
        yield guest.space()


@pytest.fixture
def weak(tmp_path: Path) -> Iterator[AddressSpace]:
    """The address space of `tables`, with such a page."""
    with ptlive.open(tmp_path / "weak", assume=tables.write(tmp_path / "weak", wx=True)) as guest:
        yield guest.space()


@pytest.fixture
def suite(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., pytest.RunResult]:
    """Run a test file in a pytest of its own, as strict as one may set it."""
    # Whether a lack is a skip is up to each test.
    monkeypatch.delenv("CI", raising=False)

    def run(source: str, *arguments: str, ini: str = "") -> pytest.RunResult:
        strict = "addopts = --strict-markers --strict-config\nfilterwarnings = error"
        pytester.makeini(f"[pytest]\n{strict}\n{ini}\n")
        pytester.makepyfile(source)
        return pytester.runpytest_subprocess(*_QUICK, *arguments, timeout=60)

    return run
