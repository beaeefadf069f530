"""JSON on standard output is ASCII, whatever it holds."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from ptlive.show.json import print_json

if TYPE_CHECKING:
    import pytest


def test_text_of_a_guest_is_escaped(capsys: pytest.CaptureFixture[str]) -> None:
    value = {"guest": "\x1b[2J\x9b31m\u202e\ud800 ä", "n": 1}
    print_json(value)
    said = capsys.readouterr().out
    assert said.isascii()
    assert all(c.isprintable() or c == "\n" for c in said)
    assert json.loads(said) == value
