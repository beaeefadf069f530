"""The wheel: built from a clean copy, it works in an empty environment elsewhere."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# Nothing of the checkout or of the caller's environment may be what makes it work.
CLEAN = {
    key: value
    for key, value in os.environ.items()
    if not key.startswith(("PYTHON", "VIRTUAL_ENV", "COV"))
}


def run(*command: str | Path, cwd: Path, seconds: float = 300) -> str:
    done = subprocess.run(
        command, cwd=cwd, env=CLEAN, capture_output=True, text=True, check=False, timeout=seconds
    )
    assert done.returncode == 0, f"{command}:\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pack the sources, unpack them elsewhere and build the wheel there; return both's folder."""
    out = tmp_path_factory.mktemp("dist")
    # The build tools are those of the test environment: no download.
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", out, cwd=ROOT)
    return out


@pytest.fixture(scope="module")
def wheel(built: Path) -> Path:
    return next(built.glob("*.whl"))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the wheel in an empty environment; return the folder of its programs."""
    environment = tmp_path_factory.mktemp("environment")
    venv.create(environment, with_pip=True)
    pip = (environment / "bin/python", "-m", "pip", "--disable-pip-version-check", "install")
    run(*pip, "--quiet", wheel, cwd=environment)
    return environment / "bin"


def test_the_packed_sources_hold_nothing_that_was_built(built: Path) -> None:
    with tarfile.open(next(built.glob("*.tar.gz"))) as archive:
        names = [name.partition("/")[2] for name in archive.getnames()]
    assert {"guest/Makefile", "scripts/setup", "tests/conftest.py"} <= set(names)
    assert [name for name in names if name.endswith((".elf", ".o", ".pyc"))] == []


def test_the_wheel_carries_the_guest_and_its_types(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        for name in ("menu", "prober", "mapper", "domain"):
            assert archive.read(f"ptlive/guests/{name}.elf")[:4] == b"\x7fELF"
    assert len(names) == len(set(names))
    assert "ptlive/py.typed" in names
    ours = ("ptlive/", f"ptlive-{wheel.name.split('-')[1]}.dist-info/")
    assert [name for name in names if not name.startswith(ours)] == []


@pytest.mark.qemu
@pytest.mark.timeout(400)
def test_the_installed_wheel_tells_its_version(installed: Path, tmp_path: Path) -> None:
    assert run(installed / "ptlive", "--version", cwd=tmp_path).startswith("ptlive ")


@pytest.mark.qemu
@pytest.mark.timeout(400)
def test_the_installed_wheel_runs_the_demo(installed: Path, tmp_path: Path) -> None:
    run(installed / "ptlive", "demo", cwd=tmp_path)
    assert list(tmp_path.iterdir()) == []
