"""The format that the page tells how to write is one, and finds what the page says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ptlive.paging.formats

if TYPE_CHECKING:
    import pytest

PAGE = (Path(ptlive.paging.formats.__file__).parent / "README.md").read_text()


def test_the_example_prints_what_the_page_says(capsys: pytest.CaptureFixture[str]) -> None:
    [snippet] = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    names: dict[str, Any] = {}
    exec(snippet, names)
    lines = capsys.readouterr().out.splitlines()
    assert f"It prints `{lines[0]}` and `{lines[1]}`." in PAGE
    assert len(lines) == 2
    assert repr(names["SV32"]) == "<Format sv32>"
