"""Where the menu guest's file comes from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ptlive.errors import PtliveError
from ptlive.guests import menu, recipe

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Pretend that the package lies in an empty folder; return that of its guests' sources."""
    monkeypatch.setattr(menu, "ELF", tmp_path / "menu.elf")
    monkeypatch.setattr(menu, "_SOURCE", tmp_path / "guest")
    return tmp_path / "guest"


def test_it_is_built_where_there_is_a_source(checkout: Path) -> None:
    checkout.mkdir()
    (checkout / "Makefile").write_text("all:\n\techo built > ../menu.elf\n")
    told: list[str] = []
    boot = recipe("menu").prepare(told.append)
    assert boot.kernel
    assert boot.kernel.read_text() == "built\n"
    assert boot.symbols == boot.kernel
    assert told == ["building the menu guest"]
    recipe("menu").prepare(told.append)
    assert len(told) == 1


def test_a_compiler_that_fails_is_quoted(checkout: Path) -> None:
    checkout.mkdir()
    (checkout / "Makefile").write_text("all:\n\t@echo 'no such flag' >&2; false\n")
    with pytest.raises(PtliveError, match=r"did not build the menu guest: .*(flag|Error 1)"):
        recipe("menu").prepare(lambda _: None)


def test_without_a_compiler_it_names_the_script(
    checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkout.mkdir()
    (checkout / "Makefile").touch()
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(PtliveError, match="run scripts/setup"):
        recipe("menu").prepare(lambda _: None)


def test_an_installation_without_it_is_incomplete(checkout: Path) -> None:
    assert not checkout.exists()
    with pytest.raises(PtliveError, match="incomplete"):
        recipe("menu").prepare(lambda _: None)


def test_an_unknown_guest_is_refused_with_the_known_ones() -> None:
    with pytest.raises(PtliveError, match="no guest 'windows': there are menu, linux"):
        recipe("windows")
