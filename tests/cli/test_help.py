"""Help as a person sees it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.cli.conftest import Done


@pytest.mark.parametrize("command", [("verify",), ("guest", "start")])
def test_lists_in_help_stand_as_they_were_written(
    ptlive: Callable[..., Done], command: tuple[str, ...]
) -> None:
    out = ptlive(*command, "--help").out
    assert "\\b" not in out
    assert "\b" not in out
    listed = {"verify": "  debug-walker  QEMU's", "guest": "  linux    Debian's"}[command[0]]
    assert any(line.startswith(listed) for line in out.splitlines())
