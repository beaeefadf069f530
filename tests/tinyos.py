"""The operating system of scripts/examples/os_in_ci, built in a folder of its own."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

TINYOS = Path(__file__).parents[1] / "scripts/examples/os_in_ci"


@pytest.fixture(scope="session")
def tinyos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the example's folder, with its kernel built; tests leave it as it is."""
    folder = tmp_path_factory.mktemp("tinyos") / "os"
    shutil.copytree(TINYOS, folder, ignore=shutil.ignore_patterns("build", "__pycache__"))
    build(folder)
    return folder


def build(folder: Path) -> None:
    subprocess.run(["make", "-s", "-C", str(folder)], check=True, timeout=60)
