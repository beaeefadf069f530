"""JSON on standard output is ASCII, whatever it holds."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from ptlive.show.json import print_json

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pytest


def test_text_of_a_guest_is_escaped(capsys: pytest.CaptureFixture[str]) -> None:
    value = {"guest": "\x1b[2J\x9b31m\u202e\ud800 ä", "n": 1}
    print_json(value)
    said = capsys.readouterr().out
    assert said.isascii()
    assert all(c.isprintable() or c == "\n" for c in said)
    assert json.loads(said) == value


def test_each_item_of_a_list_stands_on_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    value = {"n": 1, "empty": [], "rows": [{"a": {"b": 2}}, {"a": None}], "deep": {"c": [1, 2]}}
    print_json(value)
    said = capsys.readouterr().out
    assert json.loads(said) == value
    assert said.splitlines()[3:7] == [
        '  "rows": [',
        '    {"a": {"b": 2}},',
        '    {"a": null}',
        "  ],",
    ]


def test_an_iterator_is_a_list(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"rows": iter([1, [2]]), "none": iter(())})
    assert json.loads(capsys.readouterr().out) == {"rows": [1, [2]], "none": []}


def test_many_items_are_written_as_they_are_made(capsys: pytest.CaptureFixture[str]) -> None:
    written: list[bool] = []

    def rows() -> Iterator[int]:
        for n in range(10_000):
            if n == 9_999:
                written.append(len(capsys.readouterr().out) > 0)
            yield n

    print_json({"rows": rows()})
    assert written == [True]
