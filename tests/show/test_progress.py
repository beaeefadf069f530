"""Progress is for terminals only, and never on standard output."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from rich.console import Console

from ptlive.show.progress import progress

if TYPE_CHECKING:
    import pytest


def test_without_a_terminal_nothing_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    with progress() as tell:
        tell("stepped", 1, 10)
        tell("stepped", 10, 10)
    assert capsys.readouterr() == ("", "")


def test_on_a_terminal_large_numbers_can_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Console(file=io.StringIO(), force_terminal=True, width=100)
    monkeypatch.setattr("ptlive.show.progress.stderr", lambda: terminal)
    with progress() as tell:
        tell("RAM", 0, 5_368_578_048)
        tell("RAM", 1_073_741_824, 5_368_578_048)
    assert isinstance(terminal.file, io.StringIO)
    assert "1,073,741,824 of 5,368,578,048" in terminal.file.getvalue()
