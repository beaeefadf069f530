"""Progress is for terminals only, and never on standard output."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ptlive.show.progress import progress

if TYPE_CHECKING:
    import pytest


def test_without_a_terminal_nothing_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    with progress() as tell:
        tell("stepped", 1, 10)
        tell("stepped", 10, 10)
    assert capsys.readouterr() == ("", "")
