"""Wrong walkers are caught: those written by hand, and the rules' source changed mechanically."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ptlive.verify.selftest.rules import OURS
from tests.verify.selftest.mechanical import FILES, Laboratory, mutations
from tests.verify.selftest.mutants import MUTANTS, NOT_TOLD
from tests.verify.selftest.records import caught_by, records
from tests.verify.selftest.survivors import SURVIVORS, argument

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.verify.selftest.records import Taken

pytestmark = pytest.mark.qemu


@pytest.fixture(scope="module")
def taken() -> Iterator[list[Taken]]:
    """What TCG's MMU did, asked once for all mutants."""
    with records() as made:
        yield made


def test_the_rules_as_they_are_agree(taken: list[Taken]) -> None:
    assert caught_by(taken, OURS) is None


@pytest.mark.parametrize("name", MUTANTS)
def test_a_wrong_walker_is_caught(taken: list[Taken], name: str) -> None:
    assert caught_by(taken, MUTANTS[name]) is not None


@pytest.mark.parametrize("name", NOT_TOLD)
def test_what_tcg_does_wrong_itself_is_the_only_thing_not_told(
    taken: list[Taken], name: str
) -> None:
    rules, why = NOT_TOLD[name]
    assert caught_by(taken, rules) is None, f"now it is told; it was said: {why}"


@pytest.mark.long
@pytest.mark.timeout(900)
def test_each_mechanical_mutation_is_caught_or_argued(taken: list[Taken], tmp_path: Path) -> None:
    survivors = list(survive(taken, tmp_path))
    assert [one for one in survivors if argument(one) is None] == []
    idle = [row for row, _ in SURVIVORS if not any(one.startswith(row) for one in survivors)]
    assert idle == [], "arguments for what does not survive"


def survive(taken: list[Taken], folder: Path) -> Iterator[str]:
    laboratory = Laboratory(folder)
    for file in FILES:
        for mutation in mutations(file):
            if laboratory.caught(mutation, lambda rules: caught_by(taken, rules)) is None:
                yield str(mutation)
