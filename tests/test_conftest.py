"""The suite's own rules, on small suites that use its conftest."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

SUITE = """
import pytest
def test_short(): pass
@pytest.mark.long
def test_long(): pass
@pytest.mark.qemu
def test_boots(): pass
"""


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    shutil.copy(ROOT / "tests/conftest.py", tmp_path)
    (tmp_path / "test_suite.py").write_text(SUITE)
    return tmp_path


def run(folder: Path, *arguments: str, path: str = "", ci: str = "") -> tuple[int, str]:
    """Run pytest there; return its exit code and what it printed."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "CI": ci, "PATH": path or os.defpath}
    # Without hypothesis, which these suites do not use: its start takes a second.
    plugins = ("-p", "no:cacheprovider", "-p", "no:hypothesispytest")
    command = [sys.executable, "-m", "pytest", *plugins, ".", *arguments]
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout + done.stderr


@pytest.mark.qemu
@pytest.mark.parametrize("workers", ["-n0", "-n2"])
def test_long_tests_are_left_out_and_that_is_said(suite: Path, workers: str) -> None:
    code, said = run(suite, workers)
    assert code == 0, said
    assert "2 passed" in said
    assert "1 long tests left out: scripts/test --all runs them" in said
    code, said = run(suite, workers, "--all")
    assert "3 passed" in said
    assert "left out" not in said


def test_a_missing_qemu_skips_with_its_reason(suite: Path) -> None:
    code, said = run(suite, path=str(suite))
    assert code == 0, said
    assert "1 skipped" in said
    assert "qemu-system-x86_64 is missing: scripts/setup installs it" in said


def test_in_ci_a_missing_qemu_is_a_failure(suite: Path) -> None:
    code, said = run(suite, path=str(suite), ci="true")
    assert code == 1, said
    assert "qemu-system-x86_64 is missing, and in CI" in said
    assert "1 passed" in said


def test_a_test_that_boots_a_guest_must_be_marked(suite: Path) -> None:
    (suite / "test_unmarked.py").write_text("def test_it(menu_guest_5): pass\n")
    code, said = run(suite)
    assert code == pytest.ExitCode.USAGE_ERROR
    assert "test_unmarked.py::test_it boots a guest: mark it @pytest.mark.qemu" in said
