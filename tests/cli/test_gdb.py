"""`ptlive gdb`: what it becomes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import pytest

from ptlive.cli.gdb import LOADER, PACKAGES

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.cli.conftest import Done


class Started:
    """The program that this one would have become."""

    program = ""
    arguments: tuple[str, ...] = ()
    packages = ""

    def __call__(self, program: str, words: list[str]) -> NoReturn:
        self.program, self.arguments = program, tuple(words[1:])
        self.packages = os.environ[PACKAGES]
        raise SystemExit(0)


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> Started:
    made = Started()
    monkeypatch.setattr("ptlive.cli.gdb.os.execv", made)
    monkeypatch.setenv(PACKAGES, "")
    return made


@pytest.fixture
def program(tmp_path: Path) -> Path:
    made = tmp_path / "my gdb"
    made.touch(0o755)
    return made


def test_the_file_to_source_is_printed(ptlive: Callable[..., Done]) -> None:
    done = ptlive("gdb", "--path")
    assert done.status == 0
    assert Path(done.out.strip()) == LOADER
    assert LOADER.is_file()


def test_gdb_is_attached_and_loaded_and_has_the_users_arguments(
    ptlive: Callable[..., Done], started: Started, program: Path
) -> None:
    ptlive(
        *("gdb", "--program", str(program), "--gdb", "unix:/a/stub", "vmlinux", "-batch"),
        *("-ex", "bt", "--", "--path"),
    )
    assert started.program == str(program)
    assert started.arguments == (
        *("-ex", f"source {LOADER}", "-ex", "target remote /a/stub"),
        *("vmlinux", "-batch", "-ex", "bt", "--path"),
    )
    assert any(Path(folder, "numpy").is_dir() for folder in started.packages.split(":"))


def test_the_environment_names_gdb(
    ptlive: Callable[..., Done], started: Started, program: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PTLIVE_GDB", str(program))
    ptlive("gdb", "--gdb", "localhost:1")
    assert started.program == str(program)
    assert started.arguments[-1] == "target remote localhost:1"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--guest", "a", "--gdb", "b:1"), "both say where the guest is"),
        (("--guest", "nosuch"), "no guest 'nosuch' runs"),
        (("--program", "/nowhere/gdb"), "/nowhere/gdb is not installed"),
    ],
)
def test_what_cannot_be_meant_is_one_sentence(
    ptlive: Callable[..., Done], words: tuple[str, ...], told: str
) -> None:
    done = ptlive("gdb", *words)
    assert done.status == 2
    assert told in done.err
