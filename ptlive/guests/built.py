"""ELF files that travel with the package, and are built where this is a source checkout."""

from __future__ import annotations

import fcntl
import shutil
import subprocess
from typing import TYPE_CHECKING

from ptlive.errors import PtliveError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def provide(elf: Path, what: str, source: Path, progress: Callable[[str], None]) -> Path:
    """Return `elf`, which is `what` to the user, built from the folder `source` if it is missing.

    Raises PtliveError where that cannot be.
    """
    if not elf.exists():
        _build(elf, what, source, progress)
    return elf


def _build(elf: Path, what: str, source: Path, progress: Callable[[str], None]) -> None:
    if not (source / "Makefile").exists():
        raise PtliveError(f"{elf} is missing: this installation of ptlive is incomplete")
    if not (shutil.which("make") and shutil.which("gcc")):
        raise PtliveError(f"{what} is not built yet: run scripts/setup, which builds it")
    with open(source / "Makefile") as lock:  # two commands at once: the second one waits
        fcntl.flock(lock, fcntl.LOCK_EX)
        if elf.exists():
            return
        progress(f"building {what}")
        done = subprocess.run(
            ["make", "-s", "-C", str(source)], capture_output=True, text=True, check=False
        )
    if done.returncode != 0 or not elf.exists():
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise PtliveError(f"make -C {source} did not build {what}: {last}")
