"""The example of an operating system in its own CI: its suite passes, and finds what is wrong."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.tinyos import TINYOS, build

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.qemu

TEXT = "map_image(text_start, rodata_start, EXECUTE);"


def suite(folder: Path, *arguments: str) -> str:
    """Run the example's own suite; return what it printed."""
    command = [sys.executable, "-m", "pytest", "-p", "no:hypothesispytest", *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=100)
    assert done.stderr == ""
    return done.stdout


@pytest.fixture
def example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the example, not built yet; its guests are apart from others'."""
    (tmp_path / "run").mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "run"))
    folder = tmp_path / "os"
    shutil.copytree(TINYOS, folder, ignore=shutil.ignore_patterns("build", "__pycache__"))
    return folder


def test_its_suite_passes(example: Path) -> None:
    build(example)
    assert "14 passed" in suite(example).splitlines()[-1]


def test_a_kernel_that_is_not_built_is_told(example: Path) -> None:
    said = suite(example, "-k", "null")
    assert re.search("^ptlive: cannot read the kernel .*kernel.elf: No such file or", said, re.M)


def test_a_wrong_mapping_is_told_so_that_a_person_sees_what_is_wrong(example: Path) -> None:
    source = example / "paging.c"
    text = source.read_text()
    assert text.count(TEXT) == 1
    source.write_text(text.replace(TEXT, TEXT.replace("EXECUTE", "EXECUTE | WRITE")))
    build(example)
    said = suite(example, "-k", "image or executable or weak", "--tb=short")
    assert "3 failed, 3 passed" in said.splitlines()[-1]
    # Addresses are those that the linker chose.
    shown = re.sub(r"ffffffff8010\d000|\b0x1\d\d\w*\b", "ADDRESS", said)
    for line in (
        "E   AssertionError: 0xADDRESS..0xffffffff80105fff: rights are rwx-, not r-x-",
        "E     !  0xADDRESS  0xffffffff80105fff    4K  1 x 4K  rwx-    G           RAM  ADDRESS",
        "E     user denied by the PTE (level 1)",
        "E   AssertionError: 1 region is writable and executable",
        "E   AssertionError: the audit has 1 finding at or above medium",
        "E     high: wx-kernel: supervisor pages are writable and executable",
        "tinyos: up",
    ):
        assert line in shown.splitlines(), shown
