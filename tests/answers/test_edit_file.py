"""What is no undo file, or a damaged one, is refused in a sentence."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from ptlive.answers.edit_file import read_undo
from ptlive.errors import PtliveError
from tests.answers.edited import Held

if TYPE_CHECKING:
    from pathlib import Path


def damaged(found: dict[str, Any], how: str) -> None:
    """Damage the content of an undo file."""
    row = found["writes"][0]
    if how == "roots":
        found["roots"] = []
    elif how == "format":
        found["format"] = ["x86-64-5level"]
    elif how == "range":
        found["va"] = 5
    elif how == "address":
        row["address"] = "-0x5"
    elif how == "huge":
        row["address"] = hex(1 << 64)
    elif how == "short":
        row["old"] = row["old"][:-2]
    elif how == "missing":
        del row["mmu"]
    else:
        row["new"] = how


@pytest.mark.parametrize(
    "how", ["roots", "format", "range", "address", "huge", "short", "missing", "", "xyz"]
)
def test_a_damaged_file_is_refused(tmp_path: Path, how: str) -> None:
    held = Held(tmp_path).unmapped()
    found = json.loads(held.file.read_text())
    damaged(found, how)
    held.file.write_text(json.dumps(found))
    with pytest.raises(PtliveError, match="no undo file"):
        held.undo()


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", '{"schema": "x"}', '{"schema": "ptlive.edit-undo/1", "writes": 5}', "[" * 9999],
)
def test_a_file_that_is_no_undo_file_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "undo.json"
    file.write_text(text)
    with pytest.raises(PtliveError, match="no undo file"):
        read_undo(file)


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(PtliveError, match="No such file"):
        read_undo(tmp_path / "none")
