"""The compiled classification: the same function interpreted, and by numba where it is."""

from __future__ import annotations

import importlib.util
import sys
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings

from ptlive.arrays import u64
from ptlive.paging import compiled
from ptlive.paging.classify import Found
from ptlive.paging.formats import x86_64
from ptlive.paging.walk import walk
from tests.paging import listing
from tests.paging.mock_format import MOCK
from tests.paging.tables import Case, cases

if TYPE_CHECKING:
    from collections.abc import Iterator

NUMBA = importlib.util.find_spec("numba") is not None
without_numba = pytest.mark.skipif(not NUMBA, reason="numba is not installed (ptlive[fast])")


@pytest.fixture(params=["interpreted", pytest.param("numba", marks=without_numba)])
def function(request: pytest.FixtureRequest) -> Iterator[None]:
    """Classify by the function, not by numpy."""
    before = compiled.compiler.function
    if request.param == "numba":
        assert compiled.load()
    else:
        compiled.compiler.function = compiled.classify
    yield
    compiled.compiler.function = before


@pytest.mark.usefixtures("function")
@settings(max_examples=40)
@given(cases())
def test_leaves_and_holes_are_the_references(case: Case) -> None:
    graph = walk(case.fmt, case.ram, case.roots)
    assert listing.leaves(case.fmt, graph) == case.leaves
    assert listing.holes(graph) == case.holes


@pytest.mark.usefixtures("function")
def test_pieces_are_joined_with_their_positions() -> None:
    found = Found(x86_64.make_levels(5, maxphyaddr=46), 2, 6)
    found.add(u64(0x3000 | 1, 0, 0x80))  # a table, nothing, absent but not zero
    found.add(u64(0x200000 | 0x81, 1 << 50 | 1, 0x2000 | 0x81))  # a leaf, two malformed
    position, entry, kind = found.edges
    assert position.tolist() == [0, 3, 4, 5]
    assert entry.tolist() == [0x3001, 0x200081, 1 << 50 | 1, 0x2081]
    assert kind.tolist() == [1, 2, 3, 3]
    position, entry = found.rest
    assert (position.tolist(), entry.tolist()) == ([2], [0x80])


def test_a_format_of_operations_is_left_to_numpy(monkeypatch: pytest.MonkeyPatch) -> None:
    found = Found(MOCK, 1, 3)
    monkeypatch.setattr(compiled.compiler, "function", compiled.classify)
    found.add(u64(0, 2, 2))
    assert found.edges[0].tolist() == [1, 2]


def test_it_is_loaded_when_that_is_worth_it(monkeypatch: pytest.MonkeyPatch) -> None:
    fresh = compiled.Compiler()
    loaded: list[None] = []
    monkeypatch.setattr(fresh, "load", lambda: loaded.append(None))
    fresh.after(1 << 25)
    assert not loaded
    fresh.after(1 << 26)
    assert loaded


def test_without_numba_nothing_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "numba", None)
    fresh = compiled.Compiler()
    assert not fresh.load()
    assert fresh.function is None
    fresh.after(1 << 30)
