"""The examples of the plugin's page: they run, and what it shows is what is printed."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import ptlive.pytest_plugin
from tests.tinyos import TINYOS, build

pytestmark = pytest.mark.qemu

PAGE = (Path(ptlive.pytest_plugin.__file__).parent / "README.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The example's kernel with the page's settings and tests, not built yet."""
    folder = tmp_path / "os"
    shutil.copytree(TINYOS, folder, ignore=shutil.ignore_patterns("build", "__pycache__", "tests"))
    (ini,) = blocks("ini")
    (folder / "pytest.ini").write_text(ini)
    for number, source in enumerate(blocks("python")):
        (folder / f"test_{number}.py").write_text(source)
    return folder


def run(folder: Path, *arguments: str) -> list[str]:
    """Run the page's suite; return the lines that it printed."""
    command = [sys.executable, "-m", "pytest", "-p", "no:hypothesispytest", *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=100)
    return done.stdout.splitlines()


def changed(folder: Path, file: str, old: str, new: str) -> None:
    text = (folder / file).read_text()
    assert text.count(old) == 1
    (folder / file).write_text(text.replace(old, new))
    build(folder)


def without_addresses(lines: list[str]) -> list[str]:
    """Return lines without what the linker and the kernel chose."""
    return [re.sub(r"0x[0-9a-f]+|(?<=pte) +\d+", "0x", line) for line in lines]


def test_every_test_of_the_page_passes(project: Path) -> None:
    build(project)
    names = re.findall(r"^def test_\w+", "".join(blocks("python")), re.MULTILINE)
    assert len(names) >= 8
    said = run(project)
    assert f"= {len(names)} passed" in said[-1], "\n".join(said)


@pytest.mark.parametrize(
    ("number", "file", "old", "new", "name"),
    [
        (0, "paging.c", "rodata_start, EXECUTE)", "rodata_start, EXECUTE | WRITE)", "test_text"),
        (1, "kernel.c", "PAGE, EXECUTE | USER)", "PAGE, EXECUTE | WRITE | USER)", "two_pages"),
    ],
)
def test_what_it_shows_of_a_failure_is_what_is_printed(
    project: Path, number: int, file: str, old: str, new: str, name: str
) -> None:
    changed(project, file, old, new)
    shown = without_addresses(blocks("text")[number].splitlines())
    said = without_addresses(run(project, "-k", name, "--tb=short"))
    # In this order; pytest names the file between some of them.
    rest = iter(said)
    assert [line for line in shown if line not in rest] == [], "\n".join(said)
